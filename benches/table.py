"""The table as it is printed."""

from __future__ import annotations

import textwrap

from benches.samples import P50, P99, Row, Series

WIDTH = 130
LEGEND = (
    "this, against: p50 / p99 of all samples (ms). Ratio: the median of the rounds'. "
    "Spread: lowest to highest round."
)
COLUMNS = (
    ("what", 58, "<"),
    ("this", 12, ">"),
    ("against", 12, ">"),
    ("figure", 9, ">"),
    ("spread", 15, ">"),
    ("n", 6, ">"),
    ("target", 8, ">"),
)


def lines(facts: dict[str, str], rows: list[Row]) -> list[str]:
    width = max(map(len, facts))
    told = [f"{name:<{width}}  {value}" for name, value in facts.items()]
    heads = [f"{name:{side}{size}}" for name, size, side in COLUMNS]
    told += ["", " ".join(heads).rstrip(), "-" * WIDTH]
    notes = []
    for row in rows:
        mark = ""
        if row.note:
            notes.append(row.note)
            mark = f" [{len(notes)}]"
        told.append(_line(row, mark))
    told += ["", LEGEND]
    for number, note in enumerate(notes, 1):
        told += textwrap.wrap(f"[{number}] {note}", WIDTH, subsequent_indent="    ")
    return told


def _line(row: Row, mark: str) -> str:
    sides = [_side(side) for side in row.sides] + ["", ""]
    verdict = ""
    if row.target:
        verdict = f"{row.target} " + ("met" if row.target.is_met(row.figure) else "MISSED")
    spread = f"{_number(row.spread[0])} - {_number(row.spread[1])}" if row.spread else ""
    samples = str(min(len(side.values) for side in row.sides)) if row.sides else ""
    cells = [
        row.what + mark,
        sides[0],
        sides[1],
        f"{_number(row.figure)}{row.unit and ' ' + row.unit}",
        spread,
        samples,
    ]
    shown = [f"{cell:{side}{size}}" for cell, (_, size, side) in zip(cells, COLUMNS)]
    return " ".join([*shown, f" {verdict}"]).rstrip()


def _side(series: Series) -> str:
    if series.unit == "/s":
        return f"{series.at(P50):,.0f}/s"
    if len(series.values) < 30:
        return f"{_number(series.at(P50))} {series.unit}".rstrip()
    return f"{_number(series.at(P50))} / {_number(series.at(P99))}"


def _number(value: float) -> str:
    if value == int(value) and value < 100:
        return f"{value:.0f}"
    return f"{value:.2f}" if value < 10 else f"{value:.1f}" if value < 100 else f"{value:.0f}"
