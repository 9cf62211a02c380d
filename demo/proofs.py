"""What the demo has shown so far, and how long the deciding commands took."""

from __future__ import annotations

import time

from demo.terminal import coloured, say


class Proofs:
    def __init__(self):
        self._began, self._rows = time.monotonic(), []

    def add(self, what: str, seconds: float) -> None:
        self._rows.append((what, seconds))
        say(f"  {coloured('✓', 'green')} {what}")

    def table(self, failure: str | None = None) -> None:
        width = max([len(what) for what, _ in self._rows] + [len("proved")])
        say()
        say(coloured(f"{'proved':<{width}}  {'time':>8}", "bold"))
        for what, seconds in self._rows:
            say(f"{what:<{width}}  {seconds:>6.2f} s")
        total = time.monotonic() - self._began
        if failure:
            say(coloured(f"✗ not as told: {failure}", "bold", "red"))
        else:
            say(f"{'everything, from nothing':<{width}}  {total:>6.2f} s")
