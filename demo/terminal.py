"""A person at a cloud: types commands, which are shown as they are run, with all they print."""

from __future__ import annotations

import contextlib
import os
import pty
import re
import select
import shlex
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

CHECKOUT = Path(__file__).resolve().parent.parent
DEADLINE = 120.0
#: Longest line of a command's output that is shown whole.
WIDTH = 150
#: What is asked with a bare token: east's Glance and east's Keystone.
IMAGES, PROJECTS = "$EAST_IMAGE/v2/images", "$EAST/auth/projects"
COLOURS = {"bold": "1", "dim": "2", "red": "31", "green": "32", "cyan": "36"}
#: What a person at a fresh terminal would not have.
FOREIGN = ("OS_", "ALLIANCE_SOCKET", "ALLIANCE_CONFIG", "ALLIANCE_PID", "PYTHON", "VIRTUAL_ENV")


class NotAsTold(Exception):
    """What happened is not what the demo says happens."""


def coloured(text: str, *names: str) -> str:
    if not sys.stdout.isatty() or "NO_COLOR" in os.environ:
        return text
    return f"\x1b[{';'.join(COLOURS[name] for name in names)}m{text}\x1b[0m"


def say(text: str = "") -> None:
    print(text, flush=True)


def chapter(title: str, *lines: str) -> None:
    say()
    say(coloured(f"── {title} " + "─" * max(3, 96 - len(title)), "bold"))
    for line in lines:
        say(f"   {line}")


@dataclass(frozen=True)
class Answer:
    """How a command ended."""

    status: int
    text: str
    seconds: float


class Terminal:
    """One person's shell. Variables stay from command to command."""

    def __init__(self, who: str, cloud: str, user: str = "admin", project: str | None = None):
        self.prompt = f"{who}$"
        words = ["lab/env", cloud, user, *([project] if project else [])]
        script = f'eval "$({shlex.join(words)})" && env -0'
        self.variables = _environment(script)

    def without(self, *prefixes: str) -> Terminal:
        """The same person, after these variables are gone."""
        other = object.__new__(Terminal)
        other.prompt = self.prompt
        kept = {n: v for n, v in self.variables.items() if not n.startswith(prefixes)}
        other.variables = kept
        return other

    def types(
        self,
        command: str,
        *,
        ends: str = "well",
        shows: tuple[str, ...] = (),
        hides: tuple[str, ...] = (),
        into: str | None = None,
        retry: float = 0,
    ) -> Answer:
        """Runs `command` in bash and shows both.

        `ends` is `well` or `badly`; `shows` and `hides` are what its output must and must not
        have. `into` keeps the output in a variable instead of showing it. With `retry` the command
        may be wrong for that many seconds before it is right; only the last answer is shown.
        """
        shown = f"{into}=$({command})" if into else command
        say(f"{coloured(self.prompt, 'bold', 'cyan')} {coloured(shown, 'bold')}")
        until = time.monotonic() + retry
        while True:
            answer = self._run(command)
            wrong = _wrong(answer, ends, shows, hides)
            if not wrong or time.monotonic() > until:
                break
        if into:
            self.variables[into] = answer.text.strip()
        if wrong or not into:
            _show(answer.text)
        if wrong:
            raise NotAsTold(f"{self.prompt} {command}: {wrong}")
        return answer

    def sends(self, token: str, url: str, status: str, *, retry: float = 0) -> Answer:
        """Asks with a bare token, and must be answered `status`."""
        command = f"curl -sS -m 30 -o /dev/null -w '%{{http_code}}\\n' -H \"X-Auth-Token: {token}\""
        return self.types(f"{command} {url}", shows=(status,), retry=retry)

    def _run(self, command: str) -> Answer:
        began = time.monotonic()
        done = subprocess.run(
            ["bash", "-c", command],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=self.variables,
            cwd=self.variables.get("HOME", "/"),
            timeout=DEADLINE,
            text=True,
            errors="replace",
        )
        return Answer(done.returncode, done.stdout, time.monotonic() - began)

    def opens(self, command: str) -> Dialogue:
        """Starts a command that will ask something."""
        say(f"{coloured(self.prompt, 'bold', 'cyan')} {coloured(command, 'bold')}")
        return Dialogue(self, command)


class Dialogue:
    """A running command that reads from its terminal. What it prints is shown as it comes."""

    running: ClassVar[list[Dialogue]] = []

    def __init__(self, terminal: Terminal, command: str):
        self.prompt, self.command, self._text = terminal.prompt, command, ""
        self._keyboard, keyboard = pty.openpty()
        screen, output = os.pipe()
        self._child = subprocess.Popen(
            ["bash", "-c", command],
            stdin=keyboard,
            stdout=output,
            stderr=output,
            env=terminal.variables,
            start_new_session=True,
        )
        os.close(keyboard)
        os.close(output)
        self._screen, self._shown = screen, 0
        self.running.append(self)

    def until(self, pattern: str, *, shorten: str | None = None) -> str:
        """Waits for what `pattern` describes; the match's group, or all of it. `shorten` names a
        pattern whose matches are shown by their beginning only."""
        limit = time.monotonic() + DEADLINE
        while True:
            match = re.search(pattern, self._text)
            if match:
                break
            if time.monotonic() > limit or not self._read(limit - time.monotonic()):
                self._flush(shorten)
                raise NotAsTold(f"{self.prompt} {self.command}: never showed {pattern!r}")
        self._flush(shorten)
        return match.group(match.lastindex or 0)

    def answers(self, text: str) -> None:
        """Types a line."""
        os.write(self._keyboard, f"{text}\n".encode())
        say(f"  {coloured(text, 'bold')}")

    def ends_well(self) -> None:
        limit = time.monotonic() + DEADLINE
        while self._read(limit - time.monotonic()):
            pass
        self._flush(None)
        status = self._child.wait(max(1, limit - time.monotonic()))
        self.close()
        if status != 0:
            raise NotAsTold(f"{self.prompt} {self.command}: ended with status {status}")

    def close(self) -> None:
        self.running.remove(self)
        if self._child.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._child.pid, signal.SIGKILL)
            self._child.wait()
        for descriptor in (self._keyboard, self._screen):
            with contextlib.suppress(OSError):
                os.close(descriptor)

    @classmethod
    def close_all(cls) -> None:
        """Ends what still runs and shows what it printed last."""
        for dialogue in list(cls.running):
            while dialogue._read(0):
                pass
            dialogue._flush(None)
            dialogue.close()

    def _read(self, seconds: float) -> bool:
        ready, _, _ = select.select([self._screen], [], [], max(0, seconds))
        chunk = os.read(self._screen, 65536) if ready else b""
        self._text += chunk.decode(errors="replace")
        return bool(chunk)

    def _flush(self, shorten: str | None) -> None:
        fresh, self._shown = self._text[self._shown :], len(self._text)
        if shorten:
            fresh = re.sub(shorten, lambda found: found.group()[:24] + "…", fresh)
        _show(fresh)


def _environment(script: str) -> dict[str, str]:
    """The variables that a fresh shell has after `script`."""
    clean = {n: v for n, v in os.environ.items() if not n.startswith(FOREIGN)}
    done = subprocess.run(
        ["bash", "-c", script], cwd=CHECKOUT, env=clean, stdout=subprocess.PIPE, text=True
    )
    if done.returncode:
        raise NotAsTold(f"{script}: status {done.returncode}")
    pairs = (line.partition("=") for line in done.stdout.split("\0") if "=" in line)
    return {name: value for name, _, value in pairs}


def _wrong(answer: Answer, ends: str, shows: tuple[str, ...], hides: tuple[str, ...]) -> str | None:
    if (answer.status == 0) != (ends == "well"):
        return f"ended with status {answer.status}"
    missing = [text for text in shows if text not in answer.text]
    if missing:
        return f"did not show {', '.join(map(repr, missing))}"
    present = [text for text in hides if text in answer.text]
    if present:
        return f"showed {', '.join(map(repr, present))}"
    return None


def _show(text: str) -> None:
    for line in text.rstrip("\n").splitlines():
        if line.strip():
            say(f"  {line if len(line) <= WIDTH else line[: WIDTH - 1] + '…'}")
