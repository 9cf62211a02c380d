"""scripts/materials.py FOLDER: what the program is made of, by Cargo.lock.

Writes materials.cdx.json, a CycloneDX bill of materials, and third-party-licenses, the licences of
the libraries that the program is linked with. The same Cargo.lock and SOURCE_DATE_EPOCH give the
same bytes.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import uuid
from collections import defaultdict
from datetime import datetime, timezone
from pathlib import Path

import tomllib
from cyclonedx.contrib.license.factories import LicenseFactory
from cyclonedx.model import HashAlgorithm, HashType
from cyclonedx.model.bom import Bom, BomMetaData
from cyclonedx.model.component import Component, ComponentScope, ComponentType
from cyclonedx.output.json import JsonV1Dot6
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from packageurl import PackageURL

CHECKOUT = Path(__file__).resolve().parent.parent
LICENCES = ("licen", "copying", "copyright", "notice", "unlicense")


class Crates:
    """What Cargo has resolved for this machine's kind. Features are those of the whole workspace:
    there may be a crate too many, never one too few."""

    def __init__(self):
        host = subprocess.check_output(["rustc", "--print", "host-tuple"], text=True).strip()
        command = ["cargo", "metadata", "--locked", "--format-version", "1"]
        command += ["--filter-platform", host]
        told = json.loads(subprocess.check_output(command, cwd=CHECKOUT))
        self.by_id = {crate["id"]: crate for crate in told["packages"]}
        self._edges = {node["id"]: node["deps"] for node in told["resolve"]["nodes"]}
        (self.program,) = (id for id, crate in self.by_id.items() if crate["name"] == "alliance")

    def of(self, id: str, *kinds: str | None) -> list[str]:
        """What one crate needs itself; None is the kind of what is linked or expanded."""
        edges = self._edges[id]
        return [edge["pkg"] for edge in edges if {k["kind"] for k in edge["dep_kinds"]} & {*kinds}]

    def below(self, *kinds: str | None) -> set[str]:
        """All that the program needs, itself included."""
        found, left = set(), [self.program]
        while left:
            if (id := left.pop()) not in found:
                found.add(id)
                left += self.of(id, *kinds)
        return found


def bill(crates: Crates) -> str:
    lock = tomllib.loads((CHECKOUT / "Cargo.lock").read_text())
    digests = {(p["name"], p["version"]): p.get("checksum") for p in lock["package"]}
    linked, all_of_them = crates.below(None), crates.below(None, "build")
    components = {
        id: _component(crates.by_id[id], digests, linked=id in linked) for id in all_of_them
    }
    program = components[crates.program]
    program.type = ComponentType.APPLICATION
    made = datetime.fromtimestamp(int(os.environ["SOURCE_DATE_EPOCH"]), timezone.utc)
    bom = Bom(
        components=[one for one in components.values() if one is not program],
        metadata=BomMetaData(component=program, timestamp=made),
        serial_number=uuid.uuid5(uuid.NAMESPACE_URL, json.dumps([str(made), lock])),
    )
    for id, component in components.items():
        needs = [components[other] for other in crates.of(id, None, "build")]
        bom.register_dependency(component, needs)
    written = JsonV1Dot6(bom).output_as_string(indent=1)
    if fault := JsonStrictValidator(SchemaVersion.V1_6).validate_str(written):
        sys.exit(f"materials: not what CycloneDX 1.6 asks for: {fault}")
    return written + "\n"


def _component(crate: dict, digests: dict, *, linked: bool) -> Component:
    name, version, digest = crate["name"], crate["version"], None
    if crate["source"]:
        digest = digests[name, version]
    # Cargo once took a slash.
    terms = (crate["license"] or "").replace("/", " OR ")
    return Component(
        name=name,
        version=version,
        type=ComponentType.LIBRARY,
        bom_ref=f"{name}@{version}",
        # CycloneDX calls so what only builds it.
        scope=ComponentScope.REQUIRED if linked else ComponentScope.EXCLUDED,
        description=" ".join((crate["description"] or "").split()) or None,
        licenses=[LicenseFactory().make_from_string(terms)] if terms else (),
        hashes=[HashType(alg=HashAlgorithm.SHA_256, content=digest)] if digest else (),
        purl=PackageURL("cargo", name=name, version=version) if crate["source"] else None,
    )


def licences(crates: Crates) -> str:
    """Each text once, under the names of all whose it is."""
    whose, without = defaultdict(list), []
    foreign = [crates.by_id[id] for id in crates.below(None) if crates.by_id[id]["source"]]
    for crate in sorted(foreign, key=lambda crate: (crate["name"], crate["version"])):
        called = f"{crate['name']} {crate['version']}"
        texts = list(_texts(Path(crate["manifest_path"]).parent))
        if not texts:
            without.append(f"{called}: {crate['license']}")
        for text in texts:
            whose[text].append(called)
    line = "-" * 78
    parts = [f"{line}\n{', '.join(names)}\n{line}\n{text}\n" for text, names in whose.items()]
    return "\n".join(["Without a text of their own:", *without, "", *parts])


def _texts(folder: Path):
    for found in sorted(folder.iterdir()):
        if found.name.lower().startswith(LICENCES):
            files = sorted(found.rglob("*")) if found.is_dir() else [found]
            for file in files:
                if file.is_file() and file.suffix != ".rs":
                    yield "\n".join(file.read_text(errors="replace").strip().splitlines())


if __name__ == "__main__":
    folder, crates = Path(sys.argv[1]), Crates()
    (folder / "materials.cdx.json").write_text(bill(crates))
    (folder / "third-party-licenses").write_text(licences(crates))
