"""The `alliance` program: built from this checkout, or the one that $ALLIANCE_BIN names, or that of
the packages in $ALLIANCE_PACKAGES."""

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from lab.cache import locked
from lab.commands import run
from lab.errors import LabError
from lab.packages import packaged
from lab.state import CHECKOUT, Lab


def build(lab: Lab) -> None:
    """Brings the program into the lab; the build's own output goes to the caller's stderr."""
    named, ours = os.environ.get("ALLIANCE_BIN"), _of(lab)
    if named:
        if not os.access(named, os.X_OK) or Path(named).is_dir():
            raise LabError(f"ALLIANCE_BIN={named} is not a program")
        _replace(Path(named), ours)
        return
    if package := packaged("alliance_*.deb"):
        with tempfile.TemporaryDirectory() as folder:
            run(["dpkg-deb", "--extract", package, folder], f"unpacking {package}")
            _replace(Path(folder) / "usr" / "bin" / "alliance", ours)
        return
    target = CHECKOUT / os.environ.get("CARGO_TARGET_DIR", "target")
    # Checkouts may share a target folder, and then overwrite each other's program.
    with locked(target / "alliance-lab.lock", f"another build in {target}", deadline=2400):
        _replace(_cargo(target), ours)


def give(lab: Lab, target: Path) -> None:
    """Gives one cloud the lab's program.

    As a link: clouds start at once, in threads, and a child that another one forks while this one
    writes a copy would hold it open for writing: it could not be run ("Text file busy").
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    target.unlink(missing_ok=True)
    os.link(_of(lab), target)


def _of(lab: Lab) -> Path:
    return lab.folder / "_bin" / "alliance"


def _replace(source: Path, target: Path) -> None:
    # A running program's file cannot be written to, but it can be replaced.
    target.parent.mkdir(parents=True, exist_ok=True)
    fresh = target.with_name(target.name + ".new")
    shutil.copy2(source, fresh)
    os.replace(fresh, target)


def _cargo(target: Path) -> Path:
    profile = os.environ.get("ALLIANCE_PROFILE", "dev")
    # Of the workspace, so that dependencies have the features that its tests build them with.
    options = ["--quiet", "--locked", "--profile", profile, "--workspace", "--bin", "alliance"]
    print(f"building alliance ({profile})", flush=True)
    try:
        done = subprocess.run(["cargo", "build", *options], cwd=CHECKOUT, stdin=subprocess.DEVNULL)
    except FileNotFoundError:
        raise LabError("cargo not found: install Rust or set ALLIANCE_BIN") from None
    if done.returncode:
        raise LabError("alliance does not build (above): ALLIANCE_BIN can name another binary")
    return target / ("debug" if profile == "dev" else profile) / "alliance"
