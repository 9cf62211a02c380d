"""`alliance doctor` on configuration files: quiet where all works, and what mends the others."""

import contextlib
import http.client
import http.server
import threading
import time
import urllib.parse
from pathlib import Path

import pytest

from tests.kit.doctor import found


def findings(cloud, *keystone_conf: Path) -> dict[str, list[str]]:
    """What it says of keystone.conf."""
    words = []
    for file in (cloud.folder / "keystone" / "keystone.conf", *keystone_conf):
        words += ["--keystone-conf", str(file)]
    return found(cloud, "keystone.conf", *words)


def test_a_keystone_that_works_has_nothing_but_what_its_operator_wanted(west):
    said = findings(west)
    # The lab's agreements name such roles.
    [wanted] = said.pop("note")
    assert "grant_admin_roles" in wanted
    assert not said


def test_what_keeps_guests_out_is_named_before_they_are_kept_out(west, tmp_path):
    wrong = tmp_path / "wrong.conf"
    wrong.write_text("[token]\ncache_time = 600\n\n[alliance]\nsocket = /nowhere/d.sock\n")
    cache, socket = sorted(findings(west, wrong)["fail"], key=lambda text: "socket" in text)
    assert "[token] cache_time" in cache
    assert f"[alliance] socket = {west.daemon_socket}" in socket
    assert "fail" not in findings(west)


def test_what_a_service_keeps_is_found_in_its_configuration(west):
    conf = west.folder / "glance" / "etc" / "glance-api.conf"
    assert list(found(west, str(conf), "--service-conf", str(conf))) == ["ok"]


def test_a_memcached_of_two_clouds_is_named(west, east):
    memcached = f"127.0.0.1:{west.port('memcached')}"
    with east.configured(alliance={"services": {"memcached": [memcached]}}):
        west.told("status")
        status = east.told("status")
        [said] = [text for text in status["warnings"] if "memcached" in text]
        assert west.cloud_id in said
        assert status["faults"] == [said]


@contextlib.contextmanager
def keystone_ahead(cloud, seconds: int):
    """Where Keystone answers as if behind a web server whose clock is so many seconds ahead."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def passed(self):
            length = int(self.headers.get("content-length", 0))
            body = self.rfile.read(length)
            url = urllib.parse.urlsplit(cloud.identity)
            keystone = http.client.HTTPConnection(url.netloc, timeout=30)
            with contextlib.closing(keystone):
                keystone.request(self.command, self.path, body, dict(self.headers))
                answer = keystone.getresponse()
                content = answer.read()
                self.send_response_only(answer.status)
                self.send_header("Date", self.date_time_string(time.time() + seconds))
                for name, value in answer.getheaders():
                    if name.lower() not in {"date", "connection", "transfer-encoding"}:
                        self.send_header(name, value)
                self.end_headers()
                self.wfile.write(content)

        do_GET = do_POST = passed

        def log_message(self, *_):
            """Nobody reads it."""

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/v3"
        server.shutdown()


@pytest.mark.parametrize(("seconds", "state"), [(45, "warn"), (-90, "fail"), (1, None)])
def test_a_keystone_whose_clock_is_another_is_named(east, tmp_path, seconds, state):
    text = (east.folder / "alliance" / "alliance.toml").read_text()
    file = tmp_path / "alliance.toml"
    file.touch(0o600)
    with keystone_ahead(east, seconds) as url:
        assert east.identity in text
        file.write_text(text.replace(east.identity, url))
        words = ("--format", "json", "doctor", "--before-start", "--config", str(file))
        found = east.alliance(*words, status=None).json()
    said = [one for one in found if one["what"] == "clock"]
    assert [one["state"] for one in said] == ([state] if state else [])
    for one in said:
        assert f"{abs(seconds)} s {'ahead of' if seconds > 0 else 'behind'}" in one["detail"]
        assert "timedatectl" in one["detail"]


def test_before_the_first_start_the_files_alone_decide(east, tmp_path):
    text = (east.folder / "alliance" / "alliance.toml").read_text()
    file = tmp_path / "alliance.toml"
    file.touch(0o600)
    file.write_text(text)
    socket = ("--socket", str(tmp_path / "alliance.sock"))
    words = (*socket, "--format", "json", "doctor", "--config", str(file))
    # Its only fault is that it is not there.
    [missed] = [one for one in east.alliance(*words, status=4).json() if one["state"] == "fail"]
    assert missed["what"] == "daemon"
    fine = east.alliance(*words, "--before-start").json()
    assert "daemon" not in {one["what"] for one in fine}
    [password] = [line for line in text.splitlines() if line.startswith("password = ")]
    file.write_text(text.replace(password, 'password = "another one"'))
    wrong = east.alliance(*words, "--before-start", status=1).json()
    assert [one["what"] for one in wrong if one["state"] == "fail"] == ["Keystone's user"]
