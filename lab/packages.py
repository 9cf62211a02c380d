"""Python packages of this checkout, or of the folder $ALLIANCE_PACKAGES that scripts/package made:
for Keystones and for clients, installed beside a lab, never into a cached environment."""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from pathlib import Path

import tomllib

from lab.cache import Environment
from lab.commands import run
from lab.errors import LabError
from lab.state import CHECKOUT, RETIRED, Cloud, Lab

LEFT_OUT = shutil.ignore_patterns("tests", "__pycache__", "*.egg-info", "build", ".*")


def packaged(name: str) -> Path | None:
    """The package of that name in $ALLIANCE_PACKAGES, if there is such a folder to be used."""
    if not (folder := os.environ.get("ALLIANCE_PACKAGES")):
        return None
    found = list(Path(folder).glob(name))
    if len(found) != 1:
        raise LabError(f"ALLIANCE_PACKAGES={folder} has {len(found)} of {name}, not one")
    return found[0].resolve()


class Package:
    def __init__(self, source: Path, folder: str, wheel: str | None = None):
        self.source, self.folder, self._wheel = source, folder, wheel

    def install(self, lab: Lab) -> None:
        """Installs it as it is now; programs that start from now on load it."""
        if not (self.source / "pyproject.toml").is_file():
            raise LabError(f"no package in {self.source}: lab/up west=plain is a stock cloud")
        current = self._current(lab)
        target = self._installed(lab)
        fresh = current.with_name("current.new")
        fresh.unlink(missing_ok=True)
        fresh.symlink_to(target.name)
        os.replace(fresh, current)

    def path(self, lab: Lab) -> Path:
        """What Python must look into to find it."""
        return self._current(lab).resolve()

    def _current(self, lab: Lab) -> Path:
        return lab.folder / self.folder / "current"

    def _installed(self, lab: Lab) -> Path:
        """Named by what it was made from, so that a running Keystone keeps what it has loaded."""
        if self._wheel and (wheel := packaged(self._wheel)):
            digest = hashlib.sha256(wheel.read_bytes())
            return self._made_of(wheel, lab, digest)
        with tempfile.TemporaryDirectory() as folder:
            digest = hashlib.sha256()
            copy = Path(shutil.copytree(self.source, Path(folder) / "package", ignore=LEFT_OUT))
            for file in sorted(copy.rglob("*")):
                if file.is_file():
                    digest.update(f"{file.relative_to(copy)}\0".encode() + file.read_bytes())
            return self._made_of(copy, lab, digest)

    def _made_of(self, source: Path, lab: Lab, digest) -> Path:
        target = lab.folder / self.folder / digest.hexdigest()[:12]
        if not target.exists():
            _install(source, target)
        return target


def _install(source: Path, target: Path) -> None:
    python = Environment("keystone").ensure().bin("python")
    fresh = target.with_suffix(".new")
    shutil.rmtree(fresh, ignore_errors=True)
    options = ["--quiet", "--disable-pip-version-check", "--no-deps", "--no-build-isolation"]
    install = [python, "-m", "pip", "install", *options, "--target", fresh, source]
    run(install, "installing a package of this checkout")
    os.replace(fresh, target)


PLUGIN = Package(CHECKOUT / "keystone-plugin", "_plugin", "keystone_alliance-*.whl")
#: For users who log in by passport.
CLIENT = Package(CHECKOUT / "keystoneauth-plugin", "_client", "keystoneauth1_alliance-*.whl")
#: Token providers that today's Keystone has no longer.
TOKENS = Package(CHECKOUT / "lab" / "tokens", "_tokens")


def drivers() -> list[str]:
    """Sections of keystone.conf in which `driver = alliance` can stand: what the plugin has."""
    project = tomllib.loads((PLUGIN.source / "pyproject.toml").read_text())["project"]
    groups = (group.split(".") for group in project["entry-points"])
    return [name for keystone, name, *more in groups if keystone == "keystone" and not more]


def needed(cloud: Cloud) -> list[Package]:
    """Those that a cloud's Keystone loads."""
    tokens = [TOKENS] if cloud.token_provider in RETIRED else []
    return [*tokens, PLUGIN] if cloud.alliance else tokens
