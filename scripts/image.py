"""scripts/image.py PROGRAM LICENCES ARCHIVE: a container image of the program, as an OCI archive.

Nothing is in it but the program, the licences of what it is linked with, what the loader needs for
it, Debian's authorities, and a user of its own. No container engine takes part. The same program,
the same packages of Debian and the same SOURCE_DATE_EPOCH give the same bytes.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import platform
import re
import subprocess
import sys
import tarfile
import tempfile
from datetime import datetime, timezone
from pathlib import Path, PurePosixPath

CHECKOUT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(CHECKOUT))

from lab.cache import ensure_file  # noqa: E402

RELEASE = "bookworm"
#: gcc-12-base has the licence of libgcc-s1.
LIBRARIES = ("libc6", "libgcc-s1", "gcc-12-base")
AUTHORITIES = "ca-certificates"
USER, UID = "alliance", 65532
FOLDERS = {
    "etc/alliance": 0o750,
    "run/alliance": 0o755,
    "var/lib/alliance": 0o750,
    "var/log/alliance": 0o750,
}
EPOCH = int(os.environ.get("SOURCE_DATE_EPOCH", "0"))
MACHINES = {"x86_64": "amd64", "aarch64": "arm64"}
KIND = "application/vnd.oci.image."


def said(*command: str | Path, **options) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True, **options).stdout


class Layer:
    """A layer in the making: what is put in first comes first, folders are made on the way."""

    def __init__(self):
        self._entries: dict[str, tuple[tarfile.TarInfo, bytes]] = {}

    def folder(self, path: str, mode: int = 0o755, owner: int = 0) -> None:
        if path not in self._entries and path != ".":
            self.folder(str(PurePosixPath(path).parent))
            self._add(path, tarfile.DIRTYPE, mode, owner)

    def file(self, path: str, content: bytes, mode: int = 0o644) -> None:
        self.folder(str(PurePosixPath(path).parent))
        self._add(path, tarfile.REGTYPE, mode, 0, content)

    def link(self, path: str, target: str) -> None:
        self.folder(str(PurePosixPath(path).parent))
        self._add(path, tarfile.SYMTYPE, 0o777, 0, target=target)

    def _add(self, path, kind, mode, owner, content: bytes = b"", target: str = "") -> None:
        entry = tarfile.TarInfo(path)
        entry.type, entry.mode, entry.mtime = kind, mode, EPOCH
        entry.uid = entry.gid = owner
        entry.size, entry.linkname = len(content), target
        self._entries[path] = entry, content

    def done(self) -> bytes:
        whole = io.BytesIO()
        with tarfile.open(fileobj=whole, mode="w", format=tarfile.USTAR_FORMAT) as tar:
            for entry, content in self._entries.values():
                tar.addfile(entry, io.BytesIO(content))
        return whole.getvalue()


class Package:
    """One of Debian's packages, as apt has it: checked by the archive's signature."""

    def __init__(self, name: str):
        try:
            uris = said("apt-get", "download", "--print-uris", name).split()
        except subprocess.CalledProcessError as error:
            raise SystemExit(
                f"image: apt has no {name}; run apt-get update\n{error.stderr}"
            ) from None
        self.name = name
        file = ensure_file(uris[1], self._download)
        self.version = said("dpkg-deb", "--field", file, "Version").strip()
        #: What it has: where links lead, what is in files.
        self.links: dict[str, str] = {}
        self.files: dict[str, bytes] = {}
        tree = subprocess.run(["dpkg-deb", "--fsys-tarfile", file], check=True, capture_output=True)
        with tarfile.open(fileobj=io.BytesIO(tree.stdout)) as tar:
            for entry in tar:
                path = entry.name.removeprefix("./")
                if entry.issym():
                    self.links[path] = entry.linkname
                elif entry.isreg():
                    self.files[path] = tar.extractfile(entry).read()

    def _download(self, path: Path) -> None:
        with tempfile.TemporaryDirectory() as folder:
            options = ("-qq", "-o", "APT::Sandbox::User=root")
            try:
                said("apt-get", *options, "download", self.name, cwd=folder)
            except subprocess.CalledProcessError as error:
                raise SystemExit(
                    f"image: {self.name} was not fetched; run apt-get update\n{error.stderr}"
                ) from None
            (file,) = Path(folder).iterdir()
            path.write_bytes(file.read_bytes())


def libraries(program: Path) -> list[str]:
    """What the loader loads for the program, itself included."""
    return re.findall(r"(/\S+) \(0x", said("ldd", program))


def base(program: Path) -> tuple[bytes, dict[str, str]]:
    """What changes when Debian does."""
    layer = Layer()
    packages = [Package(name) for name in (*LIBRARIES, AUTHORITIES)]
    for path in libraries(program):
        _library(layer, packages, path.removeprefix("/"))
    for package in packages:
        licence = f"usr/share/doc/{package.name}/copyright"
        if licence in package.files:
            layer.file(licence, package.files[licence])
    authorities = sorted(packages[-1].files.items())
    bundle = b"".join(content for path, content in authorities if path.endswith(".crt"))
    layer.file("etc/ssl/certs/ca-certificates.crt", bundle)
    layer.file("etc/passwd", _user("root", 0, "/root") + _user(USER, UID, "/var/lib/alliance"))
    layer.file("etc/group", f"root:x:0:\n{USER}:x:{UID}:\n".encode())
    layer.file("etc/nsswitch.conf", b"passwd: files\ngroup: files\nhosts: files dns\n")
    layer.folder("tmp", 0o1777)
    for path, mode in FOLDERS.items():
        layer.folder(path, mode, UID)
    return layer.done(), {package.name: package.version for package in packages}


def _user(name: str, number: int, home: str) -> bytes:
    return f"{name}:x:{number}:{number}::{home}:/nonexistent\n".encode()


def _library(layer: Layer, packages: list[Package], path: str) -> None:
    """One library, and the links that lead to it."""
    for package in packages:
        if path in package.files:
            layer.file(path, package.files[path], 0o755)
            return
        if target := package.links.get(path):
            layer.link(path, target)
            there = os.path.normpath(PurePosixPath("/", path).parent / target)
            _library(layer, packages, there.lstrip("/"))
            return
    raise SystemExit(f"image: {path} is in none of {', '.join(LIBRARIES)}")


def top(program: Path, licences: Path) -> bytes:
    """What changes when the program does."""
    layer = Layer()
    layer.file("usr/bin/alliance", program.read_bytes(), 0o755)
    documents = "usr/share/doc/alliance"
    layer.file(f"{documents}/copyright", (CHECKOUT / "LICENSE").read_bytes())
    layer.file(f"{documents}/third-party-licenses", licences.read_bytes())
    return layer.done()


def image(program: Path, licences: Path) -> bytes:
    made = datetime.fromtimestamp(EPOCH, timezone.utc).isoformat().replace("+00:00", "Z")
    version = said(program, "--version").split()[1]
    lower, versions = base(program)
    labels = {
        "org.opencontainers.image.title": "alliance",
        "org.opencontainers.image.description": "Resource federation between OpenStack clouds",
        "org.opencontainers.image.version": version,
        "org.opencontainers.image.licenses": "Apache-2.0",
        "org.opencontainers.image.created": made,
        **{f"debian.{name}": found for name, found in versions.items()},
    }
    blobs: dict[str, bytes] = {}

    def blob(content: bytes, kind: str) -> dict:
        digest = hashlib.sha256(content).hexdigest()
        blobs[digest] = content
        return {"mediaType": KIND + kind, "digest": f"sha256:{digest}", "size": len(content)}

    layers = (lower, top(program, licences))
    packed = [blob(gzip.compress(one, 6, mtime=0), "layer.v1.tar+gzip") for one in layers]
    settings = {
        "User": f"{UID}:{UID}",
        "Env": ["PATH=/usr/bin", "SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt"],
        "Entrypoint": ["/usr/bin/alliance"],
        "Cmd": ["serve", "--config", "/etc/alliance/alliance.toml"],
        "ExposedPorts": {"5443/tcp": {}, "9464/tcp": {}},
        "StopSignal": "SIGTERM",
        "WorkingDir": "/",
        "Labels": labels,
    }
    plan = {
        "architecture": MACHINES[platform.machine()],
        "os": "linux",
        "created": made,
        "config": settings,
        "rootfs": {
            "type": "layers",
            "diff_ids": [f"sha256:{hashlib.sha256(one).hexdigest()}" for one in layers],
        },
        "history": [
            {"created": made, "created_by": "scripts/image.py: Debian's libraries"},
            {"created": made, "created_by": "scripts/image.py: the program"},
        ],
    }
    manifest = {
        "schemaVersion": 2,
        "mediaType": KIND + "manifest.v1+json",
        "config": blob(_json(plan), "config.v1+json"),
        "layers": packed,
        "annotations": labels,
    }
    entry = blob(_json(manifest), "manifest.v1+json")
    entry["annotations"] = {"org.opencontainers.image.ref.name": f"alliance:{version}"}
    index = {"schemaVersion": 2, "mediaType": KIND + "index.v1+json", "manifests": [entry]}
    archive = Layer()
    archive.file("oci-layout", _json({"imageLayoutVersion": "1.0.0"}))
    archive.file("index.json", _json(index))
    for digest, content in sorted(blobs.items()):
        archive.file(f"blobs/sha256/{digest}", content)
    return archive.done()


def _json(value: dict) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()


def main(program: str, licences: str, archive: str) -> None:
    if f"VERSION_CODENAME={RELEASE}\n" not in Path("/etc/os-release").read_text():
        raise SystemExit(f"image: it is made of the libraries of Debian's {RELEASE}, on one")
    Path(archive).write_bytes(image(Path(program), Path(licences)))


if __name__ == "__main__":
    main(*sys.argv[1:])
