"""What the tests put between two programs: tests/kit/proxy.py and tests/kit/wiretap.py."""

import contextlib
import socket
import ssl
import subprocess
import threading
import time

import pytest

from tests.kit import http
from tests.kit.proxy import Proxy
from tests.kit.wiretap import Wiretap, bodies

TOKEN = "k3v9q2xa~" + "gAAAAABn" * 40


def wait_for(condition):
    until = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < until, "not in time"
        time.sleep(0.01)


@pytest.fixture
def server():
    """Answers everything that comes with 204; `.port`, and `.got`, all that came."""

    class Server:
        def __init__(self):
            self.got, self.context = bytearray(), None
            self._listener = socket.create_server(("127.0.0.1", 0))
            self.port = self._listener.getsockname()[1]
            threading.Thread(target=self._serve, daemon=True).start()

        def _serve(self):
            with contextlib.suppress(OSError):
                while True:
                    stream, _ = self._listener.accept()
                    if self.context:
                        stream = self.context.wrap_socket(stream, server_side=True)
                    while chunk := stream.recv(65536):
                        self.got += chunk
                        stream.sendall(b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n")
                        if not self.context:
                            break
                    stream.close()

        def close(self):
            with contextlib.suppress(OSError):
                self._listener.shutdown(socket.SHUT_RDWR)
            self._listener.close()

    made = Server()
    yield made
    made.close()


def test_a_proxy_keeps_what_a_plain_service_was_asked(server):
    with Proxy(server.port) as proxy:
        body = {"auth": {"token": {"id": TOKEN}}}
        for sent, content in (({"X-Subject-Token": TOKEN}, None), ({}, body), ({}, None)):
            assert http.send("GET", f"{proxy.url}/v3/auth", sent, content).status == 204
        first, second, third = proxy.requests()
    assert (first.method, first.target) == ("GET", "/v3/auth")
    assert first.headers["x-subject-token"] == TOKEN
    assert [each.has(TOKEN) for each in (first, second, third)] == [True, True, False]
    assert len(proxy.connections) == 3
    assert b"204" in proxy.connections[0].received


def test_a_proxy_delays_a_question_and_its_answer(server):
    # Lower bounds only: a busy machine is slow by itself.
    with Proxy(server.port, delay=0.1) as proxy:
        began = time.monotonic()
        assert http.send("GET", f"{proxy.url}/").status == 204
        assert time.monotonic() - began >= 0.2
        question, answer = proxy.connections[0].passed[:2]
    assert (question.sent, answer.sent) == (True, False)
    assert began <= question.arrived <= question.left - 0.1
    assert question.left <= answer.arrived <= answer.left - 0.1


def test_a_proxy_tells_the_client_that_nobody_is_there(server):
    server.close()
    with Proxy(server.port) as proxy, pytest.raises((AssertionError, ConnectionError)):
        http.send("GET", f"{proxy.url}/", deadline=5)


def test_a_proxy_resets_the_connections_that_are_there_and_those_that_come(server):
    def is_reset(stream) -> bool:
        try:
            while stream.recv(1):
                pass
        except ConnectionResetError:
            return True
        return False

    silent = socket.create_server(("127.0.0.1", 0))
    with silent, Proxy(silent.getsockname()[1]) as proxy:
        address = ("127.0.0.1", proxy.port)
        with socket.create_connection(address, timeout=10) as before:
            before.sendall(b"x")
            wait_for(lambda: proxy.size(sent=True))
            with proxy.resetting():
                assert is_reset(before)
                try:
                    with socket.create_connection(address, timeout=10) as during:
                        assert is_reset(during)
                except ConnectionResetError:
                    pass  # before it was there
        proxy.target = server.port
        assert http.send("GET", f"{proxy.url}/").status == 204


def frame(kind: int, stream: int, content: bytes, flags: int = 0) -> bytes:
    return (
        len(content).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big") + content
    )


def test_a_body_in_several_frames_is_one(server):
    preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
    frames = [
        frame(4, 0, b""),
        frame(1, 1, b"headers"),
        frame(0, 1, b'{"token": "k3v9'),
        frame(0, 3, b"other"),
        frame(0, 1, b"\x02" + b'q2xa~gAAA"}' + b"\0\0", flags=0x08),
    ]
    assert bodies(preface + b"".join(frames)) == [b'{"token": "k3v9q2xa~gAAA"}', b"other"]


def test_a_wiretap_reads_what_one_daemon_sends_another(server, tmp_path):
    keys = [tmp_path / "server.key", tmp_path / "client.key"]
    certificates = [key.with_suffix(".pem") for key in keys]
    for key, certificate in zip(keys, certificates):
        words = "openssl req -x509 -nodes -newkey ec -pkeyopt ec_paramgen_curve:P-256 -subj /CN=x"
        made = [*words.split(), "-keyout", key, "-out", certificate]
        subprocess.run(made, check=True, capture_output=True)
    server.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.context.load_cert_chain(certificates[0], keys[0])
    server.context.set_alpn_protocols(["h2"])
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client.check_hostname, client.verify_mode = False, ssl.CERT_NONE
    client.set_alpn_protocols(["h2"])
    with Wiretap(server.port, *keys) as tap:
        with (
            socket.create_connection(("127.0.0.1", tap.port), timeout=10) as stream,
            client.wrap_socket(stream) as secured,
        ):
            assert secured.selected_alpn_protocol() == "h2"
            secured.sendall(frame(0, 1, TOKEN[:20].encode()))
            secured.sendall(frame(0, 1, TOKEN[20:].encode()))
            assert secured.recv(100).startswith(b"HTTP/1.1 204")
            wait_for(lambda: len(server.got) == len(TOKEN) + 18)
        assert tap.has(TOKEN)
        assert not tap.has(TOKEN[::-1])
