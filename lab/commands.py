"""Commands that run to their end, and what they see of the caller's environment."""

from __future__ import annotations

import os
import subprocess

from lab.errors import LabError


def base_settings() -> dict[str, str]:
    """The caller's environment without OS_*, proxies or Python paths: for what works in a cloud."""
    kept = ("PATH", "HOME", "LANG", "TZ", "TMPDIR", "USER")
    return {name: os.environ[name] for name in kept if name in os.environ}


def run(command: list, what: str, *, env: dict | None = None, timeout: float = 900) -> str:
    """Returns what a command printed; one that fails is shown with its last lines.

    Without `env` it has the caller's environment.
    """
    try:
        done = subprocess.run(
            [str(word) for word in command],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            env=env,
            timeout=timeout,
        )
    except FileNotFoundError:
        raise LabError(f"{what}: {command[0]} not found (scripts/prerequisites)") from None
    except subprocess.TimeoutExpired:
        raise LabError(f"{what}: not done after {timeout:.0f} s") from None
    if done.returncode:
        lines = [*done.stdout.splitlines(), *done.stderr.splitlines()][-15:]
        tail = "".join(f"\n    {line}" for line in lines)
        raise LabError(f"{what} failed with status {done.returncode}:{tail}")
    return done.stdout
