"""Makes the seeds in ``corpus`` from the tokens that the tests of alliance-token have: a few small
files for each target. Findings are added by hand, under names of their own."""

import base64
import zlib
from pathlib import Path

FUZZ = Path(__file__).resolve().parent
TOKEN = FUZZ.parent / "crates" / "alliance-token"
DATA = TOKEN / "tests" / "data"


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
