"""Labs of clouds with several nodes."""

import contextlib
import os
import subprocess
from pathlib import Path

from lab.state import CHECKOUT, Lab


@contextlib.contextmanager
def several_nodes(name: str, kind: str, program: Path | None = None):
    """A lab of that name with two clouds of a kind, `--ha` or `--galera`, and this program as their
    daemons. It ends with the block: such clouds take memory and time."""
    folder = Path(os.environ["ALLIANCE_LAB"]).with_name(name)
    settings = {**os.environ, "ALLIANCE_LAB": str(folder)}

    def run(command: str, *words: str, **more: str) -> None:
        said = subprocess.PIPE
        command = [CHECKOUT / "lab" / command, *words]
        variables = {**settings, **more}
        done = subprocess.run(command, env=variables, stdout=said, stderr=subprocess.STDOUT)
        assert done.returncode == 0, done.stdout.decode(errors="replace")

    earlier = {"ALLIANCE_BIN": str(program)} if program else {}
    run("up", kind, "--services", "glance", "west", "east", **earlier)
    try:
        yield Lab(folder)
    finally:
        run("down")
