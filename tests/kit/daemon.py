"""A further cloud's daemon: its own keys, database, ports and name, at the Keystone of one of the
lab's clouds. Light enough to have many, and to be killed at any moment."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import tempfile
import threading
from pathlib import Path

from lab.commands import base_settings
from lab.services.service import http_status
from lab.state import free_port, write_secret
from tests.kit import known_secrets
from tests.kit.cloud import Cloud, Done
from tests.kit.waiting import until

COMMAND = 60.0
INVITATION = re.compile(r"alliance1-[\w-]+")


class Daemon:
    def __init__(self, at: Cloud, name: str, within: Path | None = None):
        tests = within or at.lab.folder / "_tests"
        tests.mkdir(exist_ok=True)
        # Short, for the path of its socket is bounded.
        self.folder = Path(tempfile.mkdtemp(prefix="d", dir=tests))
        self.at, self.name = at, name
        self.program = at.program
        self.peer_port, self.metrics_port = free_port(), free_port()
        #: Where others find it: another than its own port when something stands before that.
        self.public_port = self.peer_port
        self.configuration, self.log = self.folder / "alliance.toml", self.folder / "log"
        self.socket, self.state = self.folder / "sock", self.folder / "state"
        self.database = self.state / "alliance.db"
        self._process: subprocess.Popen | None = None
        known_secrets.note_log(self.log)
        self.configure()

    def configure(self, **sections: str) -> None:
        """Writes the configuration; `sections` adds lines to sections."""
        settings = {
            "cloud": f'name = "{self.name}"\nstate_dir = "{self.state}"',
            "delegate": f'socket = "{self.socket}"',
            "peer": f'listen = "127.0.0.1:{self.peer_port}"\nurl = "{self.url}"',
            "metrics": f'listen = "127.0.0.1:{self.metrics_port}"',
            "keystone": self.at.daemon_login(),
            "catalog": "allow_http = true",
            "log": 'format = "json"',
        }
        for section, lines in sections.items():
            settings[section] = "\n".join(filter(None, [settings.get(section), lines]))
        text = "\n".join(f"[{section}]\n{lines}\n" for section, lines in settings.items())
        write_secret(self.configuration, text)

    @property
    def url(self) -> str:
        return f"https://127.0.0.1:{self.public_port}"

    # Its process

    def init(self) -> Daemon:
        self.run("init", "--config", self.configuration)
        return self

    def start(self, *, ready: bool = True) -> Daemon:
        with open(self.log, "ab") as log:
            self._process = subprocess.Popen(
                [
                    "setpriv",
                    "--pdeathsig",
                    "KILL",
                    self.program,
                    "serve",
                    "--config",
                    self.configuration,
                ],
                env=base_settings(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        if ready:
            until(self.is_ready, f"{self.name} is ready: {self.log}", deadline=20)
        return self

    def is_ready(self) -> bool:
        assert self._process.poll() is None, f"{self.name} ended: {self.log.read_text()[-2000:]}"
        return http_status(self.metrics_port, "/readyz") == 200

    def wait(self, deadline: float = 20) -> int:
        """The exit status of a daemon that ends by itself."""
        return self._process.wait(deadline)

    def kill(self) -> None:
        """kill -9"""
        if self._process:
            self._process.kill()
            self._process.wait()

    def stop(self) -> int:
        if self._process and self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
            try:
                return self._process.wait(20)
            finally:
                self._process.kill()
        return 0

    # Its operator

    def variables(self) -> dict[str, str]:
        return {
            **self.at.variables(),
            "ALLIANCE_SOCKET": str(self.socket),
            "ALLIANCE_CONFIG": str(self.configuration),
        }

    def run(self, *words, status: int | None = 0, stdin: str = "") -> Done:
        done = subprocess.run(
            [self.program, *words],
            input=stdin,
            capture_output=True,
            text=True,
            env=self.variables(),
            timeout=COMMAND,
        )
        ended = Done(done.returncode, done.stdout, done.stderr)
        if status is not None:
            assert ended.status == status, f"{self.name}: alliance {words}: {ended}"
        return ended

    def told(self, *words):
        return self.run("--format", "json", *words).json()

    @property
    def cloud_id(self) -> str:
        return self.told("id")["cloud_id"]

    def partners(self) -> dict[str, str]:
        """The status of each partner by its alias."""
        return {one["name"]: one["status"] for one in self.told("partner", "list")}

    @contextlib.contextmanager
    def inviting(self, name: str, *more: str):
        """`alliance partner invite` as it runs; it is interrupted at the end of the block."""
        command = Invite(self, ("partner", "invite", name, *more))
        try:
            yield command
        finally:
            command.end()

    def accept(self, invitation: str, *more: str, status: int | None = 0) -> Done:
        return self.run("partner", "accept", invitation, *(more or ("--yes",)), status=status)

    def accepting(self, invitation: str, *more: str) -> Running:
        """`alliance partner accept` as it runs."""
        return Running(self, ("partner", "accept", invitation, *(more or ("--yes",))))


class Running:
    """A command of an operator that is not done yet."""

    def __init__(self, daemon: Daemon, words: tuple[str, ...]):
        self.daemon, self.words = daemon, words
        self._process = subprocess.Popen(
            ["setpriv", "--pdeathsig", "KILL", daemon.program, *words],
            env=daemon.variables(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        self._said = {1: b"", 2: b""}
        self._listeners = [
            threading.Thread(target=self._listen, args=(number, stream), daemon=True)
            for number, stream in ((1, self._process.stdout), (2, self._process.stderr))
        ]
        for listener in self._listeners:
            listener.start()

    def _listen(self, number: int, stream) -> None:
        while chunk := os.read(stream.fileno(), 65536):
            self._said[number] += chunk

    @property
    def stdout(self) -> str:
        return self._said[1].decode()

    @property
    def stderr(self) -> str:
        return self._said[2].decode()

    def says(self, text: str) -> None:
        """Waits until it has said that on standard error."""
        until(lambda: text in self.stderr or self.is_done(), f"{self.words} says {text!r}")
        assert text in self.stderr, f"{self.words} ended: {self.stderr}"

    def is_done(self) -> bool:
        """Whether it has ended, and all that it said is here."""
        return self._process.poll() is not None and not any(
            listener.is_alive() for listener in self._listeners
        )

    def status(self, deadline: float = COMMAND) -> int:
        status = self._process.wait(deadline)
        for listener in self._listeners:
            listener.join(deadline)
        return status

    def interrupt(self) -> None:
        """Ctrl-C"""
        self._process.send_signal(signal.SIGINT)

    def halt(self) -> None:
        """Its operator looks away: it does nothing until `go_on`."""
        self._process.send_signal(signal.SIGSTOP)

    def go_on(self) -> None:
        self._process.send_signal(signal.SIGCONT)

    def end(self) -> None:
        """Ctrl-C, and what follows from it."""
        if not self.is_done():
            self.go_on()
            self.interrupt()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(10)
        self.kill()

    def kill(self) -> None:
        """kill -9"""
        self._process.kill()
        self._process.wait()


class Invite(Running):
    @property
    def invitation(self) -> str:
        found = until(
            lambda: INVITATION.search(self.stdout) or self.is_done(),
            f"{self.words} prints an invitation",
        )
        assert found is not True, f"{self.words} ended: {self.stderr}"
        return known_secrets.note_invitation(found.group())


@contextlib.contextmanager
def running(host: Daemon, home: Daemon):
    """Both are made, run and are partners for as long as the context is."""
    for daemon in (home, host):
        daemon.init().start()
    try:
        pair(host, home)
        yield
    finally:
        for daemon in (home, host):
            daemon.kill()


def pair(inviter: Daemon, acceptor: Daemon, role: str = "both", name: str | None = None) -> None:
    """Makes partners of two daemons, as their operators do."""
    expect = ("--role", role, "--expect", acceptor.cloud_id)
    with inviter.inviting(name or acceptor.name, *expect) as invite:
        acceptor.accept(invite.invitation, "--yes", "--name", inviter.name)
        assert invite.status() == 0, invite.stderr
