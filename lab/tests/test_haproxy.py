"""What the HAProxy of a cloud with several nodes does when one of them does not answer."""

import contextlib
import http.server
import socket
import struct
import threading
import time

import pytest

from lab.services import services_of
from lab.services.alliance import BALANCER
from lab.services.database import Database
from lab.services.haproxy import HaProxy
from lab.services.mariadb import nodes_of
from lab.state import Lab, free_port
from tests.kit import http as client

PEERS = "alliance-peer"


class Server:
    """Answers what health checks ask with 200 while `healthy`, everything else with `status`.

    One that `is_told_whose` expects each connection to begin with the PROXY protocol, version 2,
    and keeps from where it came and whose it is said to be.
    """

    def __init__(self, port: int, *, is_told_whose: bool = False):
        self.status, self.healthy, self.asked, self.connections = 200, True, [], []
        server = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def handle(self):
                if is_told_whose:
                    said = proxied(self.rfile)
                    server.connections.append((self.client_address[0], said))
                super().handle()

            def do_GET(self):
                is_check = self.command == "GET" and self.path in ("/v3", "/readyz")
                if not is_check:
                    server.asked.append(f"{self.command} {self.path}")
                healthy = 200 if server.healthy else 503
                self.send_response(healthy if is_check else server.status)
                self.send_header("Content-Length", "0")
                self.end_headers()

            do_POST = do_GET

            def log_message(self, *_):
                pass

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", port), Handler)
        # Connections are cut off on purpose.
        self._server.handle_error = lambda *_: None
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def end(self) -> None:
        self._server.shutdown()
        self._server.server_close()


def proxied(stream) -> tuple[str, int]:
    """The address and port of who connected to the balancer, over IPv4 (its proxy-protocol.txt)."""
    signature, version, family, length = struct.unpack("!12sBBH", stream.read(16))
    assert (signature, version, family) == (b"\r\n\r\n\0\r\nQUIT\n", 0x21, 0x11)
    source, _, port, _ = struct.unpack_from("!4s4sHH", stream.read(length))
    return socket.inet_ntoa(source), port


def wait_for(condition):
    until = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < until, "not in time"
        time.sleep(0.02)


def cloud_with_ports(tmp_path, **more):
    cloud = Lab(tmp_path / "lab").add("west", services=["keystone"], ha=True, **more)
    for name in (name for service in services_of(cloud) for name in service.ports):
        cloud.ports[name] = free_port({*cloud.ports.values()})
    return cloud


@pytest.fixture
def haproxy(tmp_path):
    service = HaProxy(cloud_with_ports(tmp_path))
    yield service
    service.stop()


@pytest.fixture
def servers(haproxy):
    """Those that stand for the cloud's Keystones; HAProxy runs before them."""
    made = [Server(keystone.port) for keystone in haproxy.keystones]
    haproxy.start(threading.Event())
    wait_for(lambda: len(haproxy.passing("keystone")) == 3)
    yield made
    for server in made:
        server.end()


def statuses(haproxy, method: str, path: str) -> set[int]:
    url = f"http://127.0.0.1:{haproxy.port}{path}"
    body = {} if method == "POST" else None
    return {client.send(method, url, body=body).status for _ in range(6)}


@pytest.mark.parametrize(
    ("method", "path"), [("GET", "/v3/auth/projects"), ("POST", "/v3/auth/tokens")]
)
def test_what_one_node_cannot_tell_another_one_is_asked(haproxy, servers, method, path):
    servers[0].status = servers[1].status = 503
    assert statuses(haproxy, method, path) == {200}
    assert all(f"{method} {path}" in server.asked for server in servers), "a positive control"
    servers[2].status = 503
    assert statuses(haproxy, method, path) == {503}


def test_what_changes_something_is_asked_once(haproxy, servers):
    for server in servers:
        server.status = 503
    assert statuses(haproxy, "POST", "/v3/projects") == {503}
    assert sum(len(server.asked) for server in servers) == 6


def test_a_node_that_is_gone_costs_nobody_a_request(haproxy, servers):
    servers[1].end()
    assert statuses(haproxy, "POST", "/v3/projects") == {200}
    wait_for(lambda: len(haproxy.passing("keystone")) == 2)


def test_partners_are_passed_to_daemons_that_are_ready_and_cut_off_from_those_that_are_not(
    haproxy, servers
):
    ports = haproxy.cloud.ports
    peers = {
        node: Server(ports[f"{PEERS}-{node}"], is_told_whose=True) for node in haproxy.cloud.nodes
    }
    metrics = {node: Server(ports[f"alliance-metrics-{node}"]) for node in peers}
    wait_for(lambda: len(haproxy.passing(PEERS)) == 3)
    streams = {}
    for node, peer in peers.items():
        peer.status = 200 + node
    for _ in peers:
        stream = socket.create_connection(("127.0.0.1", ports[PEERS]), timeout=20)
        streams[asks(stream) - 200] = stream
    assert {*streams} == {*peers}
    for node, stream in streams.items():
        assert peers[node].connections == [(BALANCER, stream.getsockname())]
    metrics[1].healthy = False
    wait_for(lambda: len(haproxy.passing(PEERS)) == 2)
    assert streams[1].recv(1) == b""
    assert [asks(streams[node]) for node in (2, 3)] == [202, 203]
    for stream in streams.values():
        stream.close()
    for server in [*peers.values(), *metrics.values()]:
        server.end()


def asks(stream) -> int:
    stream.sendall(b"GET /poll HTTP/1.1\r\n\r\n")
    return int(stream.recv(1000).split()[1])


class Node:
    """Greets who comes with its name, as a database does."""

    def __init__(self, name: str, port: int):
        self._name = name.encode()
        self._server = socket.create_server(("127.0.0.1", port))
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                stream, _ = self._server.accept()
            except OSError:
                return
            with stream, contextlib.suppress(OSError):
                stream.sendall(self._name)

    def end(self) -> None:
        # What waits in accept would go on.
        self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()


def test_nobody_goes_back_to_a_node_of_the_database_that_was_away(tmp_path):
    cloud = cloud_with_ports(tmp_path, galera=True)
    ports = {node.name: node.port for node in nodes_of(cloud)}
    nodes = {name: Node(name, port) for name, port in ports.items()}
    balancer = Database(cloud)

    def met() -> str:
        with socket.create_connection(("127.0.0.1", balancer.port), timeout=20) as stream:
            return stream.recv(100).decode()

    def stays(name: str) -> None:
        wait_for(lambda: met() == name)
        # HAProxy looks each half second, and believes what it has seen twice.
        until = time.monotonic() + 3
        while time.monotonic() < until:
            assert met() == name
            time.sleep(0.1)

    try:
        balancer.start(threading.Event())
        stays("mariadb-1")
        for dies, next_one in (("mariadb-1", "mariadb-2"), ("mariadb-2", "mariadb-1")):
            nodes[dies].end()
            stays(next_one)
            nodes[dies] = Node(dies, ports[dies])
            stays(next_one)
    finally:
        balancer.stop()
        for node in nodes.values():
            node.end()
