"""A daemon with a thousand partners and a million live tokens: start, and memory."""

from __future__ import annotations

import base64
import contextlib
import json
import secrets
import sqlite3
import time
import uuid
from pathlib import Path

from benches.rows.start import most_resident, resident, serving
from benches.samples import Row, Series, Target, figure
from benches.stage import Stage
from lab.state import write_secret
from tests.kit.waiting import until

PARTNERS, USERS, TOKENS = 1000, 100, 10
STARTS = 3
READY, MEMORY = Target(1000), Target(500)
HOUR = 3600


def measure(stage: Stage) -> list[Row]:
    """Partners that do not answer, each with users who have bought ten tokens from one login."""
    live = PARTNERS * USERS * TOKENS
    has = f"{PARTNERS:,} partners and {live:,} live tokens"
    ready = Series(f"start to /readyz 200, {has}")
    known = Series("and until each token's session is in memory")
    memory = Series(f"memory with {has} (RSS)", "MB")
    peak = Series("the most that it held until then (RSS)", "MB")
    assert stage.east.lets_in(stage.guest.login())
    service = stage.daemon
    until(lambda: _is_noted(service.state / "alliance.db"), "a token is noted")
    with stage.east.stopped("alliance"), _copied(service.state) as database:
        _crowd(database)
        configuration = service.folder / "crowded.toml"
        text = service.configuration.read_text()
        write_secret(configuration, f'{text}\n[database]\nurl = "sqlite://{database}"\n')
        for _ in range(STARTS):
            with serving(service, configuration) as daemon:
                began = time.monotonic()
                ready.add([daemon.ready])
                until(lambda: _here(stage) >= live, "all sessions are here", deadline=120)
                known.add([daemon.ready + (time.monotonic() - began) * 1000])
                memory.add([resident(daemon.pid)])
                peak.add([most_resident(daemon.pid)])
        configuration.unlink()
    note = f"{USERS} users of each, {TOKENS} tokens of each user. Nobody answers for the partners."
    return [
        figure(ready, READY, note),
        figure(known, None, "Until then what changes at partners waits."),
        figure(memory, MEMORY, note),
        figure(peak),
    ]


def _here(stage: Stage) -> float:
    return stage.east.metric("alliance_sessions", side="here")


def _is_noted(database: Path) -> bool:
    with contextlib.closing(sqlite3.connect(database)) as rows:
        query = "SELECT COUNT(*) FROM seen_tokens WHERE origin IS NOT NULL"
        return rows.execute(query).fetchone()[0] > 0


@contextlib.contextmanager
def _copied(state: Path):
    copy = state / "crowded.db"
    with (
        contextlib.closing(sqlite3.connect(state / "alliance.db")) as source,
        contextlib.closing(sqlite3.connect(copy)) as target,
    ):
        source.backup(target)
    try:
        yield copy
    finally:
        for file in state.glob("crowded.db*"):
            file.unlink()


def _crowd(path: Path) -> None:
    """More partners like the one that is there, each with an agreement and with tokens."""
    with contextlib.closing(sqlite3.connect(path)) as database:
        database.row_factory = sqlite3.Row
        database.execute("PRAGMA synchronous = OFF")
        like = dict(database.execute("SELECT * FROM partners WHERE name = 'west'").fetchone())
        query = "SELECT * FROM agreements WHERE partner_id = ?"
        agreement = dict(database.execute(query, [like["id"]]).fetchone())
        query = "SELECT * FROM seen_tokens WHERE cloud_id = ? AND origin IS NOT NULL"
        token = dict(database.execute(query, [like["cloud_id"]]).fetchone())
        # In place of those that are there.
        for table in ("seen_tokens", "ended_sessions"):
            database.execute(f"DELETE FROM {table}")
        for number in range(PARTNERS):
            partner = like if number == 0 else _partner(database, like, agreement, number)
            _insert(database, "seen_tokens", list(_tokens(token, partner["cloud_id"])))
        database.commit()


def _partner(database, like: dict, agreement: dict, number: int) -> dict:
    cloud_id = base64.b32encode(secrets.token_bytes(32)).decode().lower().rstrip("=")
    partner = {
        **like,
        "id": str(uuid.uuid4()),
        "name": f"p{number}",
        "peer_url": f"https://127.1.{number // 256}.{number % 256}:1",
        **dict.fromkeys(("cloud_id", "live_cloud_id"), cloud_id),
        "live_tag": cloud_id[:8],
    }
    alias = {"alias": partner["name"], "holder": f"partner:{partner['id']}"}
    project = uuid.uuid4().hex
    given = {
        **agreement,
        "id": str(uuid.uuid4()),
        "partner_id": partner["id"],
        "live_key": f"{partner['id']}/{project}",
        "project_id": project,
    }
    for table, row in (("partners", partner), ("aliases", alias), ("agreements", given)):
        _insert(database, table, [row])
    return partner


def _tokens(like: dict, cloud_id: str):
    """In their own user's project; all but the first were bought with that."""
    origin, expires_at = json.loads(like["origin"]), int(time.time()) + 12 * HOUR
    for _ in range(USERS):
        user, first = uuid.uuid4().hex, _audit_id()
        for number in range(TOKENS):
            audit_ids = [first] if number == 0 else [_audit_id(), first]
            session = _audit_id()
            yield {
                **like,
                "token_sha256": secrets.token_hex(32),
                "cloud_id": cloud_id,
                "user_id": user,
                "project_id": user[::-1],
                "expires_at": expires_at,
                "session": session,
                "origin": json.dumps({**origin, "session": session, "audit_ids": audit_ids}),
            }


def _audit_id() -> str:
    return base64.urlsafe_b64encode(secrets.token_bytes(16)).decode().rstrip("=")


def _insert(database, table: str, rows: list[dict]) -> None:
    places = ", ".join(f":{column}" for column in rows[0])
    columns = ", ".join(rows[0])
    database.executemany(f"INSERT INTO {table} ({columns}) VALUES ({places})", rows)
