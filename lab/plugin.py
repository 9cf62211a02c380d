"""The Keystone plugin of this checkout, installed beside a lab, never into a cached environment."""

import hashlib
import os
import shutil
import tempfile
from pathlib import Path

from lab.cache import Environment
from lab.commands import run
from lab.errors import LabError
from lab.state import CHECKOUT, Lab

SOURCE = CHECKOUT / "keystone-plugin"
LEFT_OUT = shutil.ignore_patterns("tests", "__pycache__", "*.egg-info", "build", ".*")


def _installed(lab: Lab) -> Path:
    """Named by what it was made from, so that a running Keystone keeps what it has loaded."""
    with tempfile.TemporaryDirectory() as folder:
        digest = hashlib.sha256()
        copy = Path(shutil.copytree(SOURCE, Path(folder) / "plugin", ignore=LEFT_OUT))
        for file in sorted(copy.rglob("*")):
            if file.is_file():
                digest.update(f"{file.relative_to(copy)}\0".encode() + file.read_bytes())
        target = lab.folder / "_plugin" / digest.hexdigest()[:12]
        if not target.exists():
            _install(copy, target)
    return target


def _install(source: Path, target: Path) -> None:
    python = Environment("keystone").bin("python")
    fresh = target.with_suffix(".new")
    shutil.rmtree(fresh, ignore_errors=True)
    options = ["--quiet", "--disable-pip-version-check", "--no-deps", "--no-build-isolation"]
    install = [python, "-m", "pip", "install", *options, "--target", fresh, source]
    run(install, "installing the Keystone plugin")
    os.replace(fresh, target)


def install(lab: Lab) -> None:
    """Installs the plugin as it is now; Keystones that start from now on load it."""
    if not (SOURCE / "pyproject.toml").is_file():
        raise LabError(f"no plugin in {SOURCE}: lab/up --without-alliance starts stock clouds")
    current = lab.folder / "_plugin" / "current"
    target = _installed(lab)
    fresh = current.with_name("current.new")
    fresh.unlink(missing_ok=True)
    fresh.symlink_to(target.name)
    os.replace(fresh, current)


def python_path(lab: Lab) -> list[Path]:
    current = lab.folder / "_plugin" / "current"
    return [current.resolve()] if lab.alliance else []
