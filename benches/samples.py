"""What was measured, and the rows of the table that come of it."""

from __future__ import annotations

import math
import statistics
from dataclasses import dataclass, field

P50, P99 = 0.5, 0.99


def quantile(values: list[float], at: float) -> float:
    """The nearest-rank quantile."""
    return sorted(values)[max(0, math.ceil(at * len(values)) - 1)]


@dataclass
class Series:
    """One of the two things that a row compares: its samples, by round."""

    what: str
    unit: str = "ms"
    rounds: list[list[float]] = field(default_factory=list)

    def add(self, values: list[float]) -> None:
        """One more round."""
        self.rounds.append(values)

    @property
    def values(self) -> list[float]:
        return [value for values in self.rounds for value in values]

    def at(self, level: float) -> float:
        return quantile(self.values, level)

    def summary(self) -> dict:
        return {
            "what": self.what,
            "unit": self.unit,
            "samples": len(self.values),
            "p50": round(self.at(P50), 4),
            "p99": round(self.at(P99), 4),
        }


@dataclass(frozen=True)
class Target:
    bound: float
    relation: str = "≤"

    def __str__(self) -> str:
        return f"{self.relation} {self.bound:g}"

    def is_met(self, figure: float) -> bool:
        # As many digits as are shown.
        figure = round(figure, 2)
        return {
            "≤": figure <= self.bound,
            "≥": figure >= self.bound,
            "=": figure == self.bound,
        }[self.relation]


@dataclass(frozen=True)
class Row:
    """One line of the table. `spread`: the lowest and highest figure of a round."""

    what: str
    figure: float
    unit: str = ""
    sides: tuple[Series, ...] = ()
    spread: tuple[float, float] | None = None
    target: Target | None = None
    note: str = ""

    def told(self) -> dict:
        """For JSON."""
        return {
            "what": self.what,
            "figure": round(self.figure, 4),
            "unit": self.unit or "ratio",
            "spread": self.spread and [round(bound, 4) for bound in self.spread],
            "sides": [side.summary() for side in self.sides],
            "target": self.target and str(self.target),
            "met": self.target and self.target.is_met(self.figure),
            "note": self.note,
        }


def ratio(
    this: Series,
    against: Series,
    target: Target | None = None,
    note: str = "",
    level: float = P50,
    what: str | None = None,
) -> Row:
    """`this` over `against` at a quantile: the median of the rounds' ratios, for within a round
    both had the same of whatever else the machine was doing."""
    by_round = [
        quantile(a, level) / quantile(b, level) for a, b in zip(this.rounds, against.rounds)
    ]
    return Row(
        what or f"{this.what} / {against.what}",
        statistics.median(by_round),
        sides=(this, against),
        spread=(min(by_round), max(by_round)),
        target=target,
        note=note,
    )


def figure(series: Series, target: Target | None = None, note: str = "", level: float = P50) -> Row:
    """A median, or another quantile, on its own."""
    values = series.values
    spread = (min(values), max(values))
    what = series.what if level == P50 else f"the same, {100 * level:.0f}th percentile"
    return Row(what, series.at(level), series.unit, (series,), spread, target, note)


def computed(what: str, value: float, target: Target | None = None, note: str = "") -> Row:
    """Not measured itself, but following from what was."""
    return Row(f"{what} (computed)", value, target=target, note=note)
