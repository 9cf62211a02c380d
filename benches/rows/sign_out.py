"""A logout at home: what it costs there, and how soon the host refuses."""

from __future__ import annotations

import os
import secrets
import statistics
import threading
import time
from pathlib import Path

from benches.client import Request, to_cloud
from benches.rows.border import far_away
from benches.samples import P99, Row, Series, Target, figure, ratio
from benches.stage import Stage
from tests.kit import http
from tests.kit.cloud import Cloud
from tests.kit.people import Person

ROUNDS, EACH = 10, 30
#: Milliseconds for which each direction is held back.
DELAYS = (0, 20, 100)
LOGOUTS = 40
#: Seconds. East rings its Keystone at most each 0.5 s, so that who logs out sooner waits for it.
PAUSE = 0.7
#: Longest time that a refusal may take.
LONGEST = 60.0
STRANGERS, FLOODS = 10_000, 3
MATCHING = 400
BEYOND, INTAKE = Target(50), Target(10_000, "≥")
WATCHED = (
    "99th percentile. From Keystone's answer at west to the first refusal of a token that both had "
    "cached; each is asked one question after the other. Half a round trip is subtracted. A logout "
    f"every {PAUSE} s or so."
)
TICK = os.sysconf("SC_CLK_TCK")


def at_home(stage: Stage) -> list[Row]:
    ours, theirs = stage.resident()
    a, b = Series("logout, with a partner that is told"), Series("stock")
    for _ in range(ROUNDS):
        pairs = zip(*(stage.tokens(person, EACH + 1) for person in (ours, theirs)), strict=True)
        requests = [
            _logout(person, token) for pair in pairs for person, token in zip((ours, theirs), pair)
        ]
        took = stage.sender.in_order(requests).all_are(204).milliseconds[2:]
        a.add(took[0::2])
        b.add(took[1::2])
    note = (
        "DELETE /v3/auth/tokens, one after the other. West's daemon reads Keystone's table after "
        "each, and east's is told, on the same two processors."
    )
    return [ratio(a, b, Target(1.05), note, what="logout at home, with a partner / stock")]


def _logout(person: Person, token: str) -> Request:
    headers = {"X-Auth-Token": token, "X-Subject-Token": token}
    return to_cloud("DELETE", f"{person.cloud.identity}/auth/tokens", headers)


def refusals(stage: Stage) -> list[Row]:
    rows = []
    with far_away(stage) as border:
        for delay in DELAYS:
            border.delay = delay / 1000
            keystone = Series(f"logout to refusal by east's Keystone, beyond {delay} ms")
            glance = Series(f"by its Glance, beyond {delay} ms")
            # The first one may have to wait for a connection.
            for token in stage.tokens(stage.guest, LOGOUTS + 1):
                at_keystone, at_glance = _log_out_and_watch(stage, token)
                keystone.add([at_keystone - delay])
                glance.add([at_glance - delay])
            for series in (keystone, glance):
                del series.rounds[0]
                values = series.values
                note = "" if rows else WATCHED
                spread = (min(values), max(values))
                rows.append(Row(series.what, series.at(P99), "ms", (series,), spread, BEYOND, note))
    return rows


def _log_out_and_watch(stage: Stage, token: str) -> tuple[float, float]:
    """Milliseconds until east's Keystone and its Glance refused."""
    east, service = stage.east, stage.service
    headers = {"X-Auth-Token": service, "X-Subject-Token": token}

    def keystone() -> int:
        return http.send("GET", f"{east.identity}/auth/tokens", headers).status

    # Keystone first: it makes the guest's user.
    assert (keystone(), east.images(token)) == (200, 200)
    began = time.monotonic()
    answer = stage.west.ask("DELETE", "/auth/tokens", token, X_Subject_Token=token)
    answered = time.monotonic()
    assert answer.status == 204
    refused: dict[int, float] = {}

    def watch(ask, refusal: int) -> None:
        while time.monotonic() < answered + LONGEST:
            status = ask()
            if status == refusal:
                refused[refusal] = (time.monotonic() - answered) * 1000
                return
            assert status in (200, 503), status

    watchers = [
        threading.Thread(target=watch, args=(keystone, 404)),
        threading.Thread(target=watch, args=(lambda: east.images(token), 401)),
    ]
    for watcher in watchers:
        watcher.start()
    for watcher in watchers:
        watcher.join()
    time.sleep(max(0.0, began + PAUSE + secrets.randbelow(100) / 1000 - time.monotonic()))
    return refused[404], refused[401]


def intake(stage: Stage) -> list[Row]:
    none, alone = Series("events that match nothing, taken in", "/s"), []
    for _ in range(FLOODS):
        events = [{"audit_id": secrets.token_urlsafe(16)} for _ in range(STRANGERS)]
        told, busy = _tell(stage, events)
        none.add([STRANGERS / told])
        alone.append(STRANGERS / busy)
    matching = Series("events that each end a session, taken in", "/s")
    audit_ids = []
    for token in stage.tokens(stage.guest, MATCHING):
        stage.told_by_daemon(token)
        answer = stage.west.ask("GET", "/auth/tokens", token, X_Subject_Token=token)
        audit_ids.append(answer.json()["token"]["audit_ids"][0])
    # So that east's Keystone knows the user.
    assert stage.east.validate(stage.tokens(stage.guest, 1)[0]).status == 200
    told, busy = _tell(stage, [{"audit_id": audit_id} for audit_id in audit_ids])
    matching.add([MATCHING / told])
    return [
        figure(
            none,
            INTAKE,
            f"{STRANGERS:,} at once in west's table: from west's log having them to east having "
            "acknowledged the last, in batches of 500, so with west's signing of each. East's "
            f"daemon alone: {statistics.median(alone):,.0f} per second of its processor time.",
        ),
        figure(
            matching,
            None,
            f"{MATCHING} at once, until acknowledged, so with east's database. East's daemon took "
            f"{busy / MATCHING * 1000:.2f} ms of processor time for each.",
        ),
    ]


def _tell(stage: Stage, events: list[dict]) -> tuple[float, float]:
    """Seconds until east has acknowledged the last, and those of them in which its daemon was
    busy."""
    west, pid = stage.west, stage.east.pid("alliance")
    before, busy = _noted(west), _busy(pid)
    west.store_revocations(events)
    _wait(lambda: _noted(west) >= before + len(events), "west has noted them")
    began = time.monotonic()
    _wait(lambda: _heard(west) >= before + len(events), "east has heard them")
    return time.monotonic() - began, _busy(pid) - busy


def _wait(condition, what: str) -> None:
    limit = time.monotonic() + LONGEST
    while not condition():
        assert time.monotonic() < limit, f"not within {LONGEST:.0f} s: {what}"
        time.sleep(0.002)


def _noted(home: Cloud) -> int:
    return home.daemon_rows("SELECT COALESCE(MAX(seq), 0) FROM sign_outs")[0][0]


def _heard(home: Cloud) -> int:
    return home.daemon_rows("SELECT COALESCE(MIN(seq), 0) FROM heard_sign_outs")[0][0]


def _busy(pid: int) -> float:
    """Seconds of processor time."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICK
