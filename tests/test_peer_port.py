"""The port that faces the Internet."""

import contextlib
import shutil
import socket
import ssl
import uuid

import pytest

from tests.kit import http
from tests.kit.daemon import Daemon, pair
from tests.kit.waiting import until


@pytest.fixture
def trio(west):
    """Three clouds, the first two of them partners."""
    names = [f"{word}-{uuid.uuid4().hex[:8]}" for word in ("one", "two", "thief")]
    daemons = [Daemon(west, name).init().start() for name in names]
    pair(daemons[0], daemons[1])
    yield daemons
    for daemon in daemons:
        daemon.kill()


def test_plain_http_to_the_tls_port_is_cut_off_and_disturbs_nobody(east):
    port = east.port("alliance-peer")
    with socket.create_connection(("127.0.0.1", port), timeout=10) as stream:
        stream.sendall(b"GET /v1/descriptor HTTP/1.1\r\nHost: east\r\n\r\n")
        received = b""
        with contextlib.suppress(ConnectionResetError):
            while chunk := stream.recv(4096):
                received += chunk
    assert not received.startswith(b"HTTP")
    assert east.told("status")["keystone"]["ok"]


def test_a_connection_that_says_nothing_is_cut_off(east):
    with socket.create_connection(("127.0.0.1", east.port("alliance-peer")), timeout=40) as stream:
        assert stream.recv(1) == b""


def test_without_a_client_certificate_nothing_is_answered(east):
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with (
        socket.create_connection(("127.0.0.1", east.port("alliance-peer")), timeout=10) as stream,
        context.wrap_socket(stream, server_hostname="east") as tls,
    ):
        tls.sendall(b"GET /v1/descriptor HTTP/1.1\r\nHost: east\r\n\r\n")
        with pytest.raises(ssl.SSLError, match=r"certificate.required"):
            tls.recv(1)


def test_older_tls_is_not_spoken(east):
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    with (
        socket.create_connection(("127.0.0.1", east.port("alliance-peer")), timeout=10) as stream,
        pytest.raises((ssl.SSLError, ConnectionError)),
    ):
        context.wrap_socket(stream, server_hostname="east")


def test_a_peer_of_the_right_name_and_address_with_the_wrong_key_is_not_believed(trio):
    """The thief has taken over two's address and calls itself two."""
    one, two, thief = trio
    two.stop()
    thief.stop()
    thief.name, thief.peer_port = two.name, two.peer_port
    thief.configure()
    thief.start()
    repaired = one.run("partner", "repair", two.name)
    assert "another cloud answers" in repaired.stdout + repaired.stderr
    shown = one.told("partner", "show", two.name)
    assert shown["cloud_id"] != thief.cloud_id
    assert "another cloud answers" in shown["last_error"]
    assert thief.partners() == {}
    thief.stop()
    two.start()
    one.run("partner", "repair", two.name)
    until(
        lambda: not one.told("partner", "show", two.name)["last_error"],
        "the true partner is heard again",
    )


def test_a_stolen_database_without_the_key_is_nobody(trio):
    """Who has two's database, but not its key, cannot speak as two."""
    one, two, thief = trio
    two.stop()
    thief.stop()
    shutil.copy(two.database, thief.database)
    thief.start(ready=False)
    assert thief.wait() == 1
    assert one.partners() == {two.name: "active"}


def test_monitoring_holds_no_secret_and_changes_nothing(east):
    port = east.port("alliance-metrics")
    for path in ("/v1/partners", "/v1/descriptor", "/debug", "/"):
        assert http.send("GET", f"http://127.0.0.1:{port}{path}").status == 404
    for path in ("/healthz", "/readyz", "/metrics"):
        assert http.send("GET", f"http://127.0.0.1:{port}{path}").status == 200
