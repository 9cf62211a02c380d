"""Usage in process: notifications that are read and stored, and a report over many records."""

from __future__ import annotations

from benches import programs
from benches.samples import Row, Series, Target, computed, figure
from benches.stage import Stage

EVENTS, RECORDS, ROUNDS = 1_000_000, 1_000_000, 8
RATE, GROWTH, REPORT = Target(5000, "≥"), Target(1.1), Target(1000)


def measure(stage: Stage) -> list[Row]:
    told = programs.told(
        stage.programs / "inside-usage",
        *("--events", EVENTS, "--records", RECORDS, "--rounds", ROUNDS),
        stdin=None,
    )
    rates = Series(f"notifications read and stored, a second, of {EVENTS:,}", "/s")
    for rate in told["rates"]:
        rates.add([rate])
    reports = Series(f"report of a month with {RECORDS:,} records")
    for seconds in told["reports"]:
        reports.add([seconds * 1000])
    growth = told["at_the_end"] / told["settled"]
    note = f"{told['at_the_end'] / 1e6:.1f} MB resident at the end, SQLite's pages included."
    return [
        figure(rates, RATE, "SQLite, 500 in a transaction; a server's beginning and end each."),
        computed("memory after all of them / after 100,000", growth, GROWTH, note),
        figure(reports, REPORT, "The sums that `alliance usage report` prints, in the database."),
    ]
