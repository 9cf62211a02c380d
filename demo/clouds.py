"""The clouds on the stage: what the lab does to them, and what it chose for them."""

from __future__ import annotations

import json
import os
import re
import subprocess
import time
from pathlib import Path

from demo.terminal import CHECKOUT, NotAsTold, coloured, say

#: Whether clouds have several nodes, and with what words they are made then.
HA = bool(os.environ.get("ALLIANCE_HA"))
NODES = ("--ha",) if HA else ()
#: Of what lab/up and lab/down print: what has changed.
NEWS = re.compile(r".*(?:ready after|services ended).*")


def lab(command: str, *words: str, whole: bool = False) -> float:
    """Runs `lab/up` or `lab/down`; how many seconds that took. Shows only news, unless `whole`."""
    shown = " ".join((f"lab/{command}", *words))
    say(f"{coloured('$', 'bold', 'cyan')} {coloured(shown, 'bold')}")
    began = time.monotonic()
    done = subprocess.run(
        [CHECKOUT / "lab" / command, *words],
        env=os.environ | _program(),
        stdout=None if whole else subprocess.PIPE,
        text=True,
    )
    for line in (done.stdout or "").splitlines():
        if done.returncode or NEWS.fullmatch(line):
            say(f"  {line}")
    if done.returncode:
        raise NotAsTold(f"{shown}: ended with status {done.returncode}")
    return time.monotonic() - began


def _program() -> dict[str, str]:
    """What was built at the start is used to the end, whatever becomes of the sources meanwhile."""
    built = Path(os.environ["ALLIANCE_LAB"]) / "_bin" / "alliance"
    return {"ALLIANCE_BIN": str(built)} if built.exists() else {}


def image_url(cloud: str) -> str:
    return f"http://127.0.0.1:{_chosen(cloud)['ports']['glance']}"


def password(cloud: str, user: str) -> str:
    return _chosen(cloud)["passwords"][user]


def _chosen(cloud: str) -> dict:
    return json.loads((Path(os.environ["ALLIANCE_LAB"]) / "lab.json").read_text())["clouds"][cloud]
