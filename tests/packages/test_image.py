"""The container image: what is in it, and that it runs as a user without rights, alone."""

import gzip
import hashlib
import io
import json
import os
import signal
import subprocess
import sys
import tarfile
import time
import urllib.request
from pathlib import Path

import pytest

from lab.commands import base_settings
from lab.state import CHECKOUT, free_port
from tests.kit.waiting import until

USER = 65532
CONFIGURATION = "/etc/alliance/alliance.toml"
SETTINGS = """
[cloud]
name = "west"
[delegate]
socket = "/run/alliance/delegate.sock"
[peer]
listen = "127.0.0.1:{peer}"
url = "https://127.0.0.1:{peer}"
[metrics]
listen = "127.0.0.1:{metrics}"
[keystone]
auth_url = "https://keystone.invalid/v3"
password = "secret"
[audit]
file = "/var/log/alliance/audit.log"
"""


class Archive:
    """An OCI image layout in a tar file, read by its specification; what its digests say is so."""

    def __init__(self, content: bytes):
        self._files = dict(_entries(content, lambda tar, one: tar.extractfile(one).read()))
        assert self._json("oci-layout") == {"imageLayoutVersion": "1.0.0"}
        (self.entry,) = self._json("index.json")["manifests"]
        self.manifest = json.loads(self._blob(self.entry))
        self.plan = json.loads(self._blob(self.manifest["config"]))
        self.layers = [gzip.decompress(self._blob(one)) for one in self.manifest["layers"]]
        digests = [f"sha256:{hashlib.sha256(layer).hexdigest()}" for layer in self.layers]
        assert digests == self.plan["rootfs"]["diff_ids"]

    def _json(self, name: str):
        return json.loads(self._files[name])

    def _blob(self, told: dict) -> bytes:
        kind, digest = told["digest"].split(":")
        content = self._files[f"blobs/{kind}/{digest}"]
        assert (hashlib.sha256(content).hexdigest(), len(content)) == (digest, told["size"])
        return content

    def unpack(self, folder: Path) -> Path:
        for layer in self.layers:
            with tarfile.open(fileobj=io.BytesIO(layer)) as tar:
                # Owners are of the image; links may lead to its root.
                tar.extractall(folder, numeric_owner=True)
        return folder

    def names(self) -> set[str]:
        return {name for layer in self.layers for name, _ in _entries(layer, lambda *_: None)}


def _entries(content: bytes, what) -> list[tuple[str, object]]:
    """All that is no folder, with something about each."""
    with tarfile.open(fileobj=io.BytesIO(content)) as tar:
        return [(one.name, what(tar, one)) for one in tar if not one.isdir()]


def build(program: Path, folder: Path, **settings) -> bytes:
    """Light: the licences of a real one are those of the Debian package."""
    archive, licences = folder / "image.tar", folder / "licences"
    licences.write_text("none\n")
    command = [sys.executable, "-B", CHECKOUT / "scripts/image.py", program, licences, archive]
    subprocess.run(command, check=True, env={**os.environ, **settings})
    return archive.read_bytes()


@pytest.fixture(scope="module")
def content(program, tmp_path_factory):
    return build(program, tmp_path_factory.mktemp("image"), SOURCE_DATE_EPOCH="1795900000")


@pytest.fixture(scope="module")
def archive(content):
    return Archive(content)


@pytest.fixture(scope="module")
def root(archive, tmp_path_factory):
    if os.geteuid() != 0:
        pytest.skip("another root, and another user, need root")
    folder = archive.unpack(tmp_path_factory.mktemp("root"))
    folder.chmod(0o755)
    return folder


def inside(root: Path, archive: Archive, *words: str) -> list:
    """A command in the image as an engine starts it, but for the network."""
    settings = archive.plan["config"]
    # It ends with this process, and so does what it starts.
    command = ["setpriv", "--no-new-privs", "--pdeathsig", "KILL"]
    command += ["unshare", "--mount", "--pid", "--fork", "--kill-child"]
    command += ["chroot", f"--userspec={settings['User']}", "--groups=", root]
    return [*command, *settings["Entrypoint"], *words]


def test_the_same_program_gives_the_same_bytes(program, content, tmp_path):
    again = build(program, tmp_path, SOURCE_DATE_EPOCH="1795900000", TZ="Asia/Tokyo")
    assert hashlib.sha256(again).digest() == hashlib.sha256(content).digest()


def test_nothing_else_is_in_it(archive):
    names = archive.names()
    assert {name for name in names if "/bin/" in name} == {"usr/bin/alliance"}
    libraries = {name.rpartition("/")[2] for name in names if ".so" in name}
    assert libraries <= {
        "ld-linux-x86-64.so.2",
        "ld-linux-aarch64.so.1",
        "libc.so.6",
        "libgcc_s.so.1",
        "libm.so.6",
    }


def test_it_says_what_it_is(archive, program):
    version = subprocess.check_output([program, "--version"], text=True).split()[1]
    labels = archive.plan["config"]["Labels"]
    assert labels["org.opencontainers.image.version"] == version
    assert labels == archive.manifest["annotations"]
    assert labels["debian.libc6"]
    assert archive.plan["config"]["User"] == f"{USER}:{USER}"


def test_it_runs_in_nothing_but_itself(root, archive):
    ports = {"peer": free_port(), "metrics": free_port()}
    configuration = root / CONFIGURATION.lstrip("/")
    configuration.write_text(SETTINGS.format(**ports))
    os.chown(configuration, USER, USER)
    run = {"env": base_settings(), "capture_output": True, "text": True, "timeout": 60}
    made = subprocess.run(inside(root, archive, "init", "--config", CONFIGURATION), **run)
    assert made.returncode == 0, made.stderr
    said = root.parent / "said"
    with said.open("w") as file:
        command = inside(root, archive, *archive.plan["config"]["Cmd"])
        # A group of its own: what becomes another user is not killed with its parent.
        daemon = subprocess.Popen(
            command, env=base_settings(), stdout=file, stderr=file, process_group=0
        )
    try:
        until(lambda: _answers(ports["metrics"]), f"the daemon answers: {said}", deadline=60)
        socket = (root / "run/alliance/delegate.sock").stat()
        assert socket.st_uid == USER
        asked = subprocess.run(inside(root, archive, "id"), **run)
        assert asked.returncode == 0, asked.stderr
        assert len(asked.stdout.split()[0]) == 52
    finally:
        os.killpg(daemon.pid, signal.SIGKILL)
        daemon.wait()
    assert '"ready"' in said.read_text()


def _answers(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=2) as answer:
            return answer.status == 200
    except OSError:
        time.sleep(0.1)
        return False
