"""Makes the seeds in ``corpus``, a few small files for each target, from the tokens that the tests
of alliance-token have, and from what partners and services say. Findings are added by hand, under
names of their own."""

import base64
import json
import zlib
from pathlib import Path

FUZZ = Path(__file__).resolve().parent
TOKEN = FUZZ.parent / "crates" / "alliance-token"
DATA = TOKEN / "tests" / "data"

#: Cloud ids, as long as they are.
EAST, WEST = "e" * 52, "w" * 52


def event(kind, number, data, **more):
    return {
        "specversion": "1.0",
        "id": str(number),
        "source": f"urn:alliance:cloud:{EAST}",
        "type": kind,
        "time": "2026-11-28T08:00:00Z",
        "datacontenttype": "application/json",
        "data": data,
        **more,
    }


def statement(**claims):
    return {"iss": EAST, "aud": WEST, "iat": 1_795_600_000, "after": 0, **claims}


def notification(event_type, payload):
    said = {"event_type": event_type, "timestamp": "2026-11-28 08:00:00.000000", "payload": payload}
    return {"oslo.version": "2.0", "oslo.message": json.dumps(said)}


RECORD = {
    "kind": "server",
    "id": "4b1d",
    "part": 0,
    "project_id": "science",
    "user_id": "ann",
    "region": "RegionOne",
    "size": {"flavor": "m1", "vcpus": 1, "ram_mb": 64, "disk_gb": 1},
    "from": 1000,
    "to": 2000,
}
RECEIPT = {
    "retirement": "r1",
    "revision": 1,
    "page": 1,
    "pages": 1,
    "project_id": "science",
    "cause": "project_deleted",
    "began": 1,
    "at": 2,
    "items": [{"kind": "server", "id": "4b1d", "fate": "deleted"}],
}
CLAIMS = {
    "usage": statement(events=[event("urn:alliance:event:usage", 1, RECORD)]),
    "notices": statement(
        last=1,
        events=[event("urn:alliance:event:server.created", "n1", {"subject": "s1"}, sequence="1")],
    ),
    "receipt": statement(receipt=RECEIPT),
    "none": statement(last=18446744073709551615, events=[]),
}
SERVER = {
    "instance_id": "4b1d",
    "tenant_id": "science",
    "user_id": "ann",
    "instance_type": "m1",
    "vcpus": 1,
    "memory_mb": 64,
    "disk_gb": 1,
    "launched_at": "2026-11-28T08:00:00.000000",
    "deleted_at": "",
    "state": "active",
}
MESSAGES = {
    "server": notification("compute.instance.create.end", SERVER),
    "volume": notification(
        "volume.delete.end", {"volume_id": "v1", "tenant_id": "science", "size": 1}
    ),
    "floating-ip": notification(
        "floatingip.create.end", {"floatingip": {"id": "f1", "project_id": "science"}}
    ),
}
NETWORK = {"type": "OS::Neutron::Net", "properties": {"name": "net"}}
SUBNET = {
    "type": "OS::Neutron::Subnet",
    "properties": {"network": {"get_resource": "net"}, "cidr": "10.0.0.0/24"},
}
PLANS = {
    "network": {
        "heat_template_version": "2021-04-16",
        "resources": {"net": NETWORK, "sub": SUBNET},
    },
    "parameter": {
        "heat_template_version": "2021-04-16",
        "parameters": {"name": {"type": "string", "default": "net"}},
        "resources": {
            "net": {"type": "OS::Neutron::Net", "properties": {"name": {"get_param": "name"}}}
        },
    },
    "order": {"resources": {"net": {"type": "OS::Neutron::Net", "properties": {"name": "net"}}}},
}


def main():
    pki = {name: token(name) for name in ("pki-ec", "pki-rsa-attributes", "pki-v2", "odd-key-id")}
    pkiz = token("pkiz-ec")
    jws = {name: token(name) for name in ("jws", "jws-federated", "jws-system")}
    write("recognise", "uuid", b"0123456789abcdef0123456789abcdef")
    write("recognise", "fernet", b"gAAAAABl" + b"A" * 132)
    write("recognise", "tagged", f"k3v7q2xa~{jws['jws']}".encode())
    write("recognise", "pki", pki["pki-v2"].encode())
    write("recognise", "pkiz", pkiz.encode())
    write("recognise", "spaces", b" " + jws["jws"].encode() + b"\n")
    for name, text in jws.items():
        write("jws", name, b"\n".join(base64url(part) for part in text.split(".")))
    for name, text in pki.items():
        write("cms", name, base64.b64decode(text, b"+-"))
    stream = base64.urlsafe_b64decode(pkiz.removeprefix("PKIZ_"))
    write("pkiz", "pkiz-ec", stream)
    for level in 0, 1, 9:
        write("pkiz", f"level-{level}", zlib.compress(zlib.decompress(stream)[:200], level))
    write("pkiz", "bomb", zlib.compress(bytes(1 << 20), 9))
    for body in (TOKEN / "src" / "fixtures").glob("token-*.json"):
        write("body", body.stem, body.read_bytes())
    for name in "rsa.cert", "ec.cert", "p384.cert", "jws.pub":
        pem = (DATA / "test-only-keys" / f"{name}.pem").read_bytes()
        write("keys", f"{name}.pem", pem)
        lines = [line for line in pem.splitlines() if not line.startswith(b"-")]
        write("keys", f"{name}.der", base64.b64decode(b"".join(lines)))
    for target, seeds in (("claims", CLAIMS), ("message", MESSAGES), ("plan", PLANS)):
        for name, said in seeds.items():
            write(target, name, json.dumps(said, indent=1).encode())


def token(name):
    return (DATA / "tokens" / f"{name}.token").read_text()


def base64url(text):
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def write(target, name, content):
    folder = FUZZ / "corpus" / target
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(content)


if __name__ == "__main__":
    main()
