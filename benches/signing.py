"""Signed tokens as old and new Keystones make them, and what in them is signed."""

from __future__ import annotations

import base64
import json
import subprocess
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path

from keystoneclient.common import cms

from lab.keys import JwsKeys, PkiKeys


@dataclass(frozen=True)
class Case:
    """What `inside-verification` is given of a token. Bytes are in base64."""

    token: str
    #: PEM of the pinned key.
    keys: str
    algorithm: str
    #: The key as SubjectPublicKeyInfo.
    public: str
    message: str
    signature: str

    def told(self) -> dict:
        return asdict(self)


class Signers:
    """Keys of a cloud: RSA as `keystone-manage pki_setup` made them, P-256 beside it."""

    def __init__(self, folder: Path):
        rsa, jws = PkiKeys(folder / "pki"), JwsKeys(folder / "jws")
        rsa.ensure()
        jws.ensure()
        self.authority = rsa.authority
        self._rsa = rsa.certificates, rsa.key
        self._ec = folder / "ec.pem", folder / "ec.key"
        self._jws = jws.public / "1.pem", jws.private / "private.pem"
        self._certify(*self._ec, rsa.folder / "cakey.pem")

    @property
    def certificate(self) -> Path:
        return self._rsa[0]

    def pki(self, body: str) -> Case:
        return self._cms(cms.cms_sign_token(body, *map(str, self._rsa)), body, self._rsa, "rsa")

    def pkiz(self, body: str) -> Case:
        return self._cms(cms.pkiz_sign(body, *map(str, self._rsa)), body, self._rsa, "rsa")

    def pki_p256(self, body: str) -> Case:
        token = cms.cms_sign_token(body, *map(str, self._ec))
        return self._cms(token, body, self._ec, "ecdsa_asn1")

    def jws(self, body: str) -> Case:
        """By the claims of Keystone's own provider."""
        token = json.loads(body)["token"]
        claims = {
            "sub": token["user"]["id"],
            "iat": _seconds(token["issued_at"]),
            "exp": _seconds(token["expires_at"]),
            "openstack_methods": token["methods"],
            "openstack_audit_ids": token["audit_ids"],
            "openstack_project_id": token["project"]["id"],
        }
        parts = ({"typ": "JWT", "alg": "ES256"}, claims)
        message = b".".join(_base64url(json.dumps(part).encode()) for part in parts)
        public, key = self._jws
        signature = _fixed(_signature(key, message))
        token = b".".join([message, _base64url(signature)]).decode()
        pem = public.read_text()
        return Case(token, pem, "ecdsa_fixed", _der(pem), _text(message), _text(signature))

    def _cms(self, token: str, body: str, pair, algorithm: str) -> Case:
        certificate, key = pair
        public = _openssl("x509", "-in", certificate, "-noout", "-pubkey").decode()
        message = body.encode()
        signature = _text(_signature(key, message))
        pem = certificate.read_text()
        return Case(token, pem, algorithm, _der(public), _text(message), signature)

    def _certify(self, certificate: Path, key: Path, authority_key: Path) -> None:
        request = certificate.with_suffix(".csr")
        curve = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-subj", "/CN=P-256")
        _openssl("req", "-new", "-nodes", *curve, "-keyout", key, "-out", request)
        issuer = ("-CA", self.authority, "-CAkey", authority_key, "-set_serial", "2")
        _openssl("x509", "-req", "-in", request, *issuer, "-days", "2", "-out", certificate)


def _signature(key: Path, message: bytes) -> bytes:
    return _openssl("dgst", "-sha256", "-sign", key, stdin=message)


def _openssl(*words, stdin: bytes = b"") -> bytes:
    done = subprocess.run(["openssl", *map(str, words)], input=stdin, capture_output=True)
    assert done.returncode == 0, f"openssl {words[0]}: {done.stderr.decode()}"
    return done.stdout


def _fixed(der: bytes) -> bytes:
    """An ECDSA signature as JWS has it: two numbers of 32 bytes, instead of in ASN.1."""
    first, rest = der[4 : 4 + der[3]], der[4 + der[3] :]
    numbers = (first, rest[2 : 2 + rest[1]])
    return b"".join(int.from_bytes(number).to_bytes(32) for number in numbers)


def _seconds(time: str) -> int:
    return int(datetime.fromisoformat(time).timestamp())


def _base64url(content: bytes) -> bytes:
    return base64.urlsafe_b64encode(content).rstrip(b"=")


def _text(content: bytes) -> str:
    return base64.b64encode(content).decode()


def _der(pem: str) -> str:
    return "".join(line for line in pem.splitlines() if not line.startswith("-----"))
