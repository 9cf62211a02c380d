"""What scripts/package makes: all that is to be there, and the same bytes again."""

import json
import subprocess

import pytest
import tomllib

from lab import binary
from lab.cache import Environment
from lab.packages import CLIENT, PLUGIN
from lab.state import CHECKOUT, Lab

LOADS = """
import importlib.metadata as metadata, sys
for entry in metadata.distribution(sys.argv[1]).entry_points:
    print(entry.group, entry.name, entry.load().__name__)
"""


def test_everything_has_its_checksum(made):
    subprocess.run(["sha256sum", "--check", "--quiet", "SHA256SUMS"], cwd=made, check=True)
    listed = [line.split("  ")[1] for line in (made / "SHA256SUMS").read_text().splitlines()]
    assert sorted([*listed, "SHA256SUMS"]) == sorted(file.name for file in made.iterdir())
    kinds = sorted(name[name.rindex(".") :] for name in listed)
    assert kinds == [".deb", ".gz", ".gz", ".json", ".tar", ".whl", ".whl"]


def test_the_same_program_gives_the_same_bytes(made, package, tmp_path):
    again = package(tmp_path / "again", env={"TZ": "Asia/Tokyo"}, cwd=tmp_path, umask=0o077)
    assert (again / "SHA256SUMS").read_text() == (made / "SHA256SUMS").read_text()


@pytest.mark.parametrize(
    ("name", "environment", "loads"),
    [
        ("keystone-alliance", "keystone", "keystone.token.provider alliance Provider"),
        ("keystoneauth1-alliance", "client", "keystoneauth1.plugin v3alliance Alliance"),
    ],
)
@pytest.mark.parametrize("kind", [".whl", ".tar.gz"])
def test_python_packages_install_and_load(made, tmp_path, name, environment, loads, kind):
    (file,) = (f for f in made.glob(f"{name.replace('-', '_')}-*") if f.name.endswith(kind))
    pip, python = (Environment(n).ensure().bin("python") for n in ("package", environment))
    options = ["--quiet", "--no-deps", "--no-build-isolation", "--target", tmp_path]
    subprocess.run([pip, "-m", "pip", "install", *options, file], check=True)
    command = [python, "-W", "ignore", "-c", LOADS, name]
    loaded = subprocess.check_output(command, env={"PYTHONPATH": str(tmp_path)}, text=True)
    assert loads in loaded.splitlines()
    assert list(tmp_path.glob(f"{name.replace('-', '_')}-*/**/LICENSE"))


def test_a_lab_can_be_made_of_them(made, tmp_path, monkeypatch):
    monkeypatch.delenv("ALLIANCE_BIN", raising=False)
    monkeypatch.setenv("ALLIANCE_PACKAGES", str(made))
    lab = Lab(tmp_path)
    binary.build(lab)
    version = subprocess.check_output([lab.folder / "_bin" / "alliance", "--version"], text=True)
    assert version.startswith("alliance ")
    for package, module in ((PLUGIN, "keystone_alliance"), (CLIENT, "keystoneauth1_alliance")):
        package.install(lab)
        (origin,) = package.path(lab).glob(f"{module}-*/direct_url.json")
        assert json.loads(origin.read_text())["url"].endswith(".whl")
        assert (package.path(lab) / module / "__init__.py").is_file()


def test_the_bill_names_what_the_lock_file_has(made):
    (file,) = made.glob("*.cdx.json")
    bill = json.loads(file.read_text())
    lock = tomllib.loads((CHECKOUT / "Cargo.lock").read_text())["package"]
    locked = {f"{p['name']}@{p['version']}": p.get("checksum") for p in lock}
    named = {c["bom-ref"]: [h["content"] for h in c.get("hashes", ())] for c in bill["components"]}
    assert bill["metadata"]["component"]["name"] == "alliance"
    assert {"rustls", "sqlx-core", "alliance-core"} <= {ref.split("@")[0] for ref in named}
    for ref, digests in named.items():
        assert digests == ([locked[ref]] if locked[ref] else [])
    assert "proptest" not in {ref.split("@")[0] for ref in named}, "a dependency of tests"
