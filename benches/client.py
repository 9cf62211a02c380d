"""Requests, and the small program that sends them: Python would be what is measured."""

from __future__ import annotations

import contextlib
import json
import subprocess
from dataclasses import asdict, dataclass
from pathlib import Path
from urllib.parse import urlsplit

#: Longest time that one call of the program may take.
LONGEST = 180.0


@dataclass(frozen=True)
class Request:
    """`to` is HOST:PORT or unix:PATH, `text` what goes on the wire."""

    to: str
    text: str


@dataclass(frozen=True)
class Answers:
    """In the order in which they came; status 0 is none."""

    seconds: float
    statuses: list[int]
    milliseconds: list[float]

    def all_are(self, *statuses: int) -> Answers:
        others = {status for status in self.statuses if status not in statuses}
        assert not others, f"answers other than {statuses}: {others}"
        return self

    @property
    def per_second(self) -> float:
        return len(self.statuses) / self.seconds


def to_cloud(method: str, url: str, headers: dict[str, str], body=None) -> Request:
    parts = urlsplit(url)
    return Request(parts.netloc, _text(method, parts.path, parts.netloc, headers, body))


def to_daemon(path: Path, method: str, target: str, headers=None, body=None) -> Request:
    """A request to a daemon's socket."""
    return Request(f"unix:{path}", _text(method, target, "alliance", headers or {}, body))


def _text(method: str, target: str, host: str, headers: dict[str, str], body) -> str:
    content = "" if body is None else json.dumps(body)
    lines = [f"{method} {target} HTTP/1.1", f"Host: {host}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    if body is not None:
        lines += ["Content-Type: application/json", f"Content-Length: {len(content)}"]
    return "\r\n".join(lines) + "\r\n\r\n" + content


class Sender:
    """The program `alliance-load`."""

    def __init__(self, program: Path):
        self._program = program

    def in_order(self, requests: list[Request]) -> Answers:
        """One after the other, on one kept-alive connection to each address."""
        return self._send(requests, "in-order")

    def repeated(self, requests: list[Request], connections: int, seconds: float) -> Answers:
        """As fast as it goes, over so many kept-alive connections."""
        words = ("repeated", "--connections", connections, "--seconds", seconds)
        return self._send(requests, *words)

    def at_rate(
        self, requests: list[Request], per_second: float, seconds: float, connections: int
    ) -> Answers:
        """So many a second; times count from when a request was due."""
        with self.meanwhile(requests, per_second, seconds, connections) as running:
            return running.answers()

    @contextlib.contextmanager
    def meanwhile(
        self, requests: list[Request], per_second: float, seconds: float, connections: int
    ):
        """Sends at a rate while the block runs, which may wait for the `answers()`."""
        words = ["at-rate", "--per-second", per_second, "--seconds", seconds]
        running = Running(self._program, requests, [*words, "--connections", connections])
        try:
            yield running
        finally:
            running.end()

    def _send(self, requests: list[Request], *words) -> Answers:
        running = Running(self._program, requests, words)
        try:
            return running.answers()
        finally:
            running.end()


class Running:
    """The program at work."""

    def __init__(self, program: Path, requests: list[Request], words):
        self._process = subprocess.Popen(
            ["setpriv", "--pdeathsig", "KILL", program, *map(str, words)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        # It reads all of them before it sends the first.
        self._process.stdin.write(json.dumps([asdict(request) for request in requests]))
        self._process.stdin.close()
        self._process.stdin = None

    def answers(self) -> Answers:
        printed, _ = self._process.communicate(timeout=LONGEST)
        assert self._process.returncode == 0, f"alliance-load: {self._process.returncode}"
        told = json.loads(printed)
        statuses = [status for status, _ in told["answers"]]
        return Answers(told["seconds"], statuses, [us / 1000 for _, us in told["answers"]])

    def end(self) -> None:
        self._process.kill()
        self._process.communicate()
