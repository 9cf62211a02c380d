"""Measures row after row and prints the table. Nothing is asserted on speed: status 0 as long as
everything could be measured."""

from __future__ import annotations

import argparse
import json
import shlex
import sys
import time
from pathlib import Path

from benches import machine, table
from benches.rows import ALL, NEEDED
from benches.samples import Row
from benches.stage import Stage
from lab import cli


def bench(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="benches/run", description=__doc__)
    parser.add_argument(
        "rows", nargs="*", metavar="ROW", help=f"only these of {', '.join(ALL)}; default: all"
    )
    parser.add_argument("--json", metavar="FILE", type=Path, help="write it there as well")
    options = parser.parse_args(argv)
    unknown = [name for name in options.rows if name not in ALL]
    if unknown:
        parser.error(f"no row {unknown[0]!r}: there are {', '.join(ALL)}")
    named = options.rows or list(ALL)
    chosen = {*named, *(other for name in named for other in NEEDED.get(name, ()))}

    began = time.monotonic()
    stage = Stage()
    facts = machine.facts(stage.east.program)
    rows: list[Row] = []
    failures: dict[str, str] = {}
    for name in ALL:
        if name in chosen:
            print(f"measuring: {name}", file=sys.stderr, flush=True)
            try:
                rows += ALL[name](stage)
            except (AssertionError, OSError) as error:
                failures[name] = str(error)
    facts.update(machine.load_after())
    command = "make bench" if not options.rows else shlex.join(["benches/run", *options.rows])
    facts["command"] = f"{command}, {time.monotonic() - began:.0f} s"

    print("\n".join(["", *table.lines(facts, rows)]))
    for name, why in failures.items():
        print(f"not measured: {name}: {why}")
    if options.json:
        told = {**facts, "rows": [row.told() for row in rows], "not_measured": failures}
        options.json.write_text(json.dumps(told, indent=1, ensure_ascii=False) + "\n")
    return 1 if failures else 0


cli.main(bench)
