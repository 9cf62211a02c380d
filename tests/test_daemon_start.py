"""A daemon that cannot work says why, says what to do, and leaves everything as it was."""

import contextlib
import os
import shutil
import socket
import sqlite3
import subprocess
import tempfile
from pathlib import Path

import pytest

from lab.commands import base_settings
from tests.kit.daemon import Daemon

NOBODY = 65534
#: Before a command of somebody who is not root.
AS_NOBODY = (
    ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"]
    if os.geteuid() == 0
    else []
)


@pytest.fixture
def daemon(west):
    daemon = Daemon(west, "lone").init()
    yield daemon
    daemon.stop()


def refuses_to_start(daemon, *texts: str) -> None:
    daemon.start(ready=False)
    assert daemon.wait() == 1
    said = daemon.log.read_text()
    assert all(text in said for text in texts), said


def test_init_twice_keeps_the_keys(daemon):
    before = daemon.told("init", "--config", str(daemon.configuration))
    assert daemon.told("init", "--config", str(daemon.configuration)) == before


def test_a_daemon_whose_log_cannot_be_written_works(daemon):
    daemon.log.unlink(missing_ok=True)
    daemon.log.symlink_to("/dev/full")
    daemon.start()
    assert "lone" in daemon.run("status").stdout
    daemon.log.unlink()
    daemon.log.touch()


def test_a_typo_in_the_configuration_is_named_with_what_was_meant(daemon):
    text = daemon.configuration.read_text()
    daemon.configuration.write_text(text.replace("state_dir", "state_dri"))
    refuses_to_start(daemon, "state_dri", "did you mean", "state_dir", str(daemon.configuration))
    checked = daemon.run("config", "check", "--config", daemon.configuration, status=1)
    assert "did you mean" in checked.stderr


def test_a_misspelt_section_is_named(daemon):
    text = daemon.configuration.read_text()
    daemon.configuration.write_text(text.replace("[delegate]", "[delegat]"))
    refuses_to_start(daemon, "delegat", "did you mean")


def test_a_broken_configuration_shows_no_password(daemon, west):
    text = daemon.configuration.read_text()
    daemon.configuration.write_text(text.replace('password = "', "password = "))
    daemon.start(ready=False)
    assert daemon.wait() == 1
    password = west.daemon_login().partition('password = "')[2].partition('"')[0]
    assert password not in daemon.log.read_text()


def test_the_database_of_another_cloud_is_refused(daemon, west):
    daemon.start().stop()
    other = Daemon(west, "other").init().start()
    other.stop()
    shutil.copy(other.database, daemon.database)
    for suffix in ("-wal", "-shm"):
        (daemon.database.with_name(daemon.database.name + suffix)).unlink(missing_ok=True)
    refuses_to_start(daemon, "belongs to cloud", "right key or the right database")
    # It is still the other's.
    other.start().stop()


def test_keys_without_their_database_start_anew_but_a_database_without_its_keys_does_not(daemon):
    daemon.start().stop()
    identity = daemon.state / "identity.key"
    kept = identity.read_bytes()
    identity.unlink()
    refuses_to_start(daemon, "identity.key")
    assert not identity.exists()
    identity.write_bytes(kept)
    identity.chmod(0o600)
    daemon.start().stop()


def test_a_key_that_others_may_read_is_refused(daemon):
    (daemon.state / "identity.key").chmod(0o644)
    refuses_to_start(daemon, "0644", "chmod 600")


@pytest.fixture
def public(west):
    """A daemon in a folder that everybody may enter."""
    with tempfile.TemporaryDirectory(prefix="alliance-", dir="/tmp") as folder:
        os.chmod(folder, 0o755)
        daemon = Daemon(west, "public", Path(folder)).init()
        os.chmod(daemon.folder, 0o755)
        yield daemon
        daemon.stop()


@pytest.fixture
def unprivileged(public):
    """That daemon run by somebody whom file modes bind: not root."""
    if AS_NOBODY:
        for path in (public.folder, *public.folder.rglob("*")):
            os.chown(path, NOBODY, NOBODY)
    program = public.folder / "alliance"
    shutil.copy(public.program, program)
    program.chmod(0o755)

    def serve() -> subprocess.CompletedProcess:
        return subprocess.run(
            [*AS_NOBODY, "timeout", "20", program, "serve", "--config", public.configuration],
            env=base_settings(),
            capture_output=True,
            text=True,
            timeout=30,
        )

    return serve


def test_a_read_only_database_is_named_and_left_alone(public, unprivileged):
    public.start().stop()
    for path in public.state.glob("alliance.db*"):
        path.chmod(0o444)
    public.state.chmod(0o555)
    before = public.database.read_bytes()
    done = unprivileged()
    assert done.returncode == 1
    assert "alliance.db" in done.stderr
    assert "writ" in done.stderr
    assert public.database.read_bytes() == before


def test_a_file_that_is_no_database_is_named(daemon):
    daemon.database.write_bytes(b"this is a text, not a database, and long enough to be read" * 50)
    refuses_to_start(daemon, "not a database", "alliance.db")


def test_a_database_of_a_newer_version_is_refused(daemon):
    daemon.start().stop()
    with contextlib.closing(sqlite3.connect(daemon.database)) as database, database:
        newer = "UPDATE meta SET value = value + 1000 WHERE name IN ('schema', 'least')"
        database.execute(newer)
    refuses_to_start(daemon, "schema", "newer version")


def test_a_second_daemon_on_the_same_socket_does_not_start(daemon, west):
    daemon.start()
    second = Daemon(west, "second").init()
    second.socket = daemon.socket
    second.configure()
    refuses_to_start(second, "another daemon is listening")
    assert daemon.is_ready()


def test_a_file_in_place_of_the_socket_is_not_removed(daemon):
    daemon.socket.write_text("precious")
    refuses_to_start(daemon, "no socket")
    assert daemon.socket.read_text() == "precious"


def test_a_taken_port_is_named(daemon):
    with socket.create_server(("127.0.0.1", daemon.peer_port)):
        refuses_to_start(daemon, str(daemon.peer_port))
    with socket.create_server(("127.0.0.1", daemon.metrics_port)):
        refuses_to_start(daemon, str(daemon.metrics_port))


def test_a_socket_left_by_a_killed_daemon_is_in_nobodys_way(daemon):
    daemon.start().kill()
    assert daemon.socket.exists()
    daemon.start()
    assert daemon.partners() == {}


def test_a_daemon_ends_gracefully_when_asked(daemon):
    daemon.start()
    assert daemon.stop() == 0
    assert not daemon.socket.exists()
    assert "stopped" in daemon.log.read_text()


def test_commands_say_so_when_no_daemon_runs(daemon):
    missing = daemon.run("partner", "list", status=4)
    assert "not running" in missing.stderr
    daemon.start().kill()
    deserted = daemon.run("status", status=4)
    assert "not running" in deserted.stderr


def test_a_daemon_starts_and_answers_while_its_keystone_is_away(west):
    daemon = Daemon(west, "early").init()
    daemon.configure()
    text = daemon.configuration.read_text().replace(west.identity, "http://127.0.0.1:9/v3")
    daemon.configuration.write_text(text)
    try:
        daemon.start()
        assert not daemon.told("status")["keystone"]["ok"]
    finally:
        daemon.stop()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_others_than_operators_may_ask_about_tokens_and_nothing_else(public):
    public.start()
    public.socket.chmod(0o777)
    script = (
        "import socket, sys\n"
        "def ask(line):\n"
        "    s = socket.socket(socket.AF_UNIX); s.connect(sys.argv[1])\n"
        "    head = 'Host: x\\r\\nContent-Type: application/json\\r\\nContent-Length: 2'\n"
        "    s.sendall(f'{line} HTTP/1.1\\r\\n{head}\\r\\n\\r\\n{{}}'.encode())\n"
        "    return s.recv(4096).split()[1].decode()\n"
        "print(*map(ask, sys.argv[2:]))\n"
    )
    asked = [
        "GET /v1/partners",
        "POST /v1/partners/x/remove",
        "POST /v1/invitations",
        "POST /v1/agreements",
        "POST /v1/tokens/validate",
    ]
    done = subprocess.run(
        [*AS_NOBODY, "/usr/bin/python3", "-c", script, public.socket, *asked],
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert done.returncode == 0, done.stderr
    *orders, question = done.stdout.split()
    assert orders == ["403"] * 4
    assert question in ("400", "422")
