"""Several daemons on one database, and what the choice of the database costs."""

from __future__ import annotations

import shutil
import threading
import time
from urllib.parse import urlsplit

from benches import programs
from benches.client import to_daemon
from benches.samples import P99, Row, Series, Target, figure, ratio
from benches.stage import Stage, down, up
from lab import mariadb
from lab.commands import run
from lab.services.alliance import Alliance
from lab.state import Lab, lab_folder
from tests.ha.instances import spread
from tests.kit.cloud import Cloud

#: So many askers and tokens; of each measurement, the length in seconds.
ASKERS, TOKENS, SECONDS = 24, 24, 1.5
ROUNDS, TIMES = 6, 25
#: Milliseconds until another instance refuses; so many seconds are waited for that.
SOON, LONGEST = Target(100), 10.0


def measure(stage: Stage) -> list[Row]:
    """Three daemons of a cloud of its own, which ends with it."""
    folder = lab_folder().with_name(lab_folder().name + "-ha")
    up(folder, "--ha", "west", "east")
    try:
        lab = Lab(folder)
        west, east = Cloud(lab, "west"), Cloud(lab, "east")
        daemons = [Alliance(lab.cloud("east"), node) for node in east.nodes]
        person = west.person(roles=("member", "reader"))
        east.agree("west", person.project)
        spread(east, person.login())
        tokens = stage.tokens(person, TOKENS)
        return [
            *_questions(stage, daemons, tokens, 60, "from memory"),
            *_questions(stage, daemons, tokens, 0, "none from memory"),
            *_ended(stage, daemons, stage.tokens(person, TIMES)),
        ]
    finally:
        down(folder)


def _questions(
    stage: Stage, daemons: list[Alliance], tokens: list[str], max_age: float, how: str
) -> list[Row]:
    """The same askers, at one daemon, at two, at three."""
    what = f"questions a second, {how}"
    rates = [Series(f"{what}: {count} daemons", "/s") for count in range(1, 4)]
    rates[0].what = f"{what}: one daemon"
    for _ in range(ROUNDS):
        for number, rate in enumerate(rates):
            some = daemons[: number + 1]
            requests = [
                stage.asks_daemon(token, max_age, some[turn % len(some)])
                for turn, token in enumerate(tokens)
            ]
            stage.sender.in_order(requests).all_are(200)
            answers = stage.sender.repeated(requests, ASKERS, SECONDS).all_are(200)
            rate.add([answers.per_second])
    one, *more = rates
    note = (
        f"{ASKERS} askers, {len(tokens)} tokens. Askers, daemons and Keystones share the machine."
    )
    several = (ratio(rate, one, what=f"{rate.what} / one") for rate in more)
    return [figure(one, None, note), *several]


def _ended(stage: Stage, daemons: list[Alliance], tokens: list[str]) -> list[Row]:
    """From the order at one instance until another refuses the token."""
    took = Series("a session ended at one instance, until another refuses it")
    for number, token in enumerate(tokens):
        for daemon in daemons:
            assert stage.told_by_daemon(token, daemon)["status"] == "valid"
        first = number % len(daemons)
        ordered, others = daemons[first], daemons[:first] + daemons[first + 1 :]
        end = to_daemon(ordered.socket, "POST", "/v1/tokens/revoke", None, {"token": token})
        began = time.monotonic()
        # It answers when its Keystone knows, which others do not wait for.
        order = threading.Thread(target=lambda end=end: stage.sender.in_order([end]).all_are(200))
        order.start()
        for other in others:
            while stage.told_by_daemon(token, other)["status"] == "valid":
                assert time.monotonic() - began < LONGEST, f"{other.name} still serves it"
            took.add([(time.monotonic() - began) * 1000])
        order.join()
    note = "The start of the program that orders it included."
    return [figure(took, SOON, note), figure(took, SOON, level=P99)]


def database(stage: Stage) -> list[Row]:
    """In process: what a daemon waits for."""
    with mariadb.mariadb(in_memory=False) as url:
        _be_durable(url)
        sqlite, other = programs.told(
            stage.programs / "inside-database",
            *("--mariadb", url, "--rounds", ROUNDS, "--times", TIMES),
            stdin=None,
        )
    rows = []
    for name, what in (
        ("alone", "a new token noted"),
        ("together", "64 new tokens noted at once"),
        ("ended", "the end of a session noted"),
    ):
        this, against = Series(f"{what}, MariaDB"), Series("SQLite")
        this.rounds, against.rounds = other[name], sqlite[name]
        rows.append(ratio(this, against, None, "Each on disk before it goes on."))
    return rows


def _be_durable(url: str) -> None:
    """As MariaDB is unless it is told otherwise: a lab's is."""
    parts = urlsplit(url)
    client = shutil.which("mariadb", path=mariadb.SERVER_PATH)
    login = ["--no-defaults", f"--host={parts.hostname}", f"--port={parts.port}"]
    login += [f"--user={parts.username}", f"--password={parts.password}"]
    order = "SET GLOBAL innodb_flush_log_at_trx_commit = 1"
    run([client, *login, "--execute", order], "mariadb")
