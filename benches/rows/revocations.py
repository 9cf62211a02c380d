"""Live revocations in process: what one costs, and what it costs that there are many."""

from __future__ import annotations

from benches import programs
from benches.samples import Row, Series, Target, figure, ratio
from benches.stage import Stage

FEW, MANY = 1000, 1_000_000
ROUNDS, SECONDS = 6, 0.3
MEMORY, GROWTH = Target(100), Target(10)


def measure(stage: Stage) -> list[Row]:
    few, many = programs.told(
        stage.programs / "inside-revocations",
        *("--live", FEW, "--live", MANY, "--rounds", ROUNDS, "--seconds", SECONDS),
        stdin=None,
    )
    return [
        _growth(few, many, "token", "a token, none of so many revocations is about it"),
        _growth(few, many, "event", "a revocation, about none of so many sessions"),
        *_bytes(many, "revocation", MEMORY, "Keystone's event with all its fields, and its index."),
        *_bytes(many, "session", None, "Of one token, found by its user and by its audit ids."),
    ]


def _growth(few: dict, many: dict, name: str, what: str) -> Row:
    this, against = Series(f"{what}: {MANY:,}", "ns"), Series(f"{FEW:,}", "ns")
    for series, told in ((this, many), (against, few)):
        for each in told[name]:
            series.add([each])
    note = f"In process, found by index. There are {MANY // FEW:,} times as many."
    return ratio(this, against, GROWTH, note)


def _bytes(told: dict, name: str, target: Target | None, note: str) -> list[Row]:
    series = Series(f"memory for each of {MANY:,} {name}s", "B")
    series.add([told[name]])
    return [figure(series, target, note)]
