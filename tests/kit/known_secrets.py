"""Every token, password and invitation that the tests used, and the logs that may have none."""

from __future__ import annotations

import base64
import json
import re
from pathlib import Path

_secrets: dict[str, str] = {}
_logs: set[Path] = set()


def note(secret: str, what: str) -> str:
    """Remembers a secret; returns it."""
    if len(secret) >= 8:
        _secrets.setdefault(secret, what)
    return secret


def note_token(token: str) -> str:
    note(token.rpartition("~")[2], "token")
    return token


def note_invitation(invitation: str) -> str:
    note(invitation, "invitation")
    encoded = invitation.removeprefix("alliance1-")
    content = base64.urlsafe_b64decode(encoded + "=" * (-len(encoded) % 4))
    note(json.loads(content[:-4])["secret"], "secret of an invitation")
    return invitation


def note_log(path: Path) -> Path:
    _logs.add(path)
    return path


def count() -> int:
    return len(_secrets)


def logs() -> list[Path]:
    return sorted(path for path in _logs if path.is_file())


def found_in(path: Path, known: str | None = None) -> list[str]:
    """What of it all stands in a file: kind and line number, never the secret itself. Of lines that
    have `known` in them the part behind it does not count."""
    found = []
    with open(path, "rb") as file:
        content = file.read()
    if known:
        content = re.sub(re.escape(known).encode() + rb".*", b"", content)
    for secret, what in _secrets.items():
        at = content.find(secret.encode())
        if at >= 0:
            line = 1 + content.count(b"\n", 0, at)
            found.append(f"{path}:{line}: a {what}")
    return found
