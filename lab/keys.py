"""Keys that a cloud's Keystone signs its tokens with, made, replaced and retired.

Keystone reads them whenever it needs them and need not start anew. A cloud has both kinds, whatever
its token provider is.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from lab.commands import run

DAYS = 3650
AUTHORITY = "/C=US/ST=Unset/L=Unset/O=Unset/CN=www.example.com"
#: The authority's policy lost the town.
SIGNER = "/C=US/ST=Unset/O=Unset/CN=www.example.com"
OPENSSL = """\
[ req ]
distinguished_name = nothing
[ nothing ]
[ v3_ca ]
basicConstraints = CA:TRUE
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid:always,issuer
[ usr_cert ]
basicConstraints = CA:FALSE
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid:always
"""
END = "-----END CERTIFICATE-----\n"


class PkiKeys:
    """What `keystone-manage pki_setup` made, as long as Keystone had it: an authority of the cloud
    itself, and by it the certificate with which the cloud signs its tokens.

    As there, the first certificates of all clouds have the same issuer and the same serial number:
    only keys tell them apart.
    """

    def __init__(self, folder: Path):
        self.folder = folder
        self.authority, self.key = folder / "ca.pem", folder / "signing_key.pem"
        #: The one that signs comes first, then those that have signed.
        self.certificates = folder / "signing_cert.pem"

    def ensure(self) -> None:
        if self.certificates.exists():
            return
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True, mode=0o700)
        (self.folder / "openssl.conf").write_text(OPENSSL)
        made = ["-keyout", self.folder / "cakey.pem", "-out", self.authority, "-subj", AUTHORITY]
        self._openssl(*self._new(), "-x509", "-extensions", "v3_ca", "-days", DAYS, *made)
        self.replace()

    def replace(self) -> None:
        """A new key and certificate. What the former ones signed is still taken at home."""
        former = self.certificates.read_text() if self.certificates.exists() else ""
        counter = self.folder / "serial"
        serial = 1 + int(counter.read_text() if counter.exists() else 0)
        counter.write_text(str(serial))
        request, made = self.folder / "req.pem", self.folder / "new.pem"
        key = self.key.with_suffix(".new")
        self._openssl(*self._new(), "-keyout", key, "-out", request, "-subj", SIGNER)
        issuer = ["-CA", self.authority, "-CAkey", self.folder / "cakey.pem"]
        extensions = ["-extfile", self.folder / "openssl.conf", "-extensions", "usr_cert"]
        issuing = ["-set_serial", serial, "-days", DAYS, "-sha256", *extensions]
        self._openssl("x509", "-req", "-in", request, "-out", made, *issuer, *issuing)
        made.write_text(made.read_text() + former)
        os.replace(key, self.key)
        os.replace(made, self.certificates)

    def retire(self) -> None:
        """What former keys signed is not taken any more."""
        first = self.certificates.with_suffix(".new")
        first.write_text(self.certificates.read_text().partition(END)[0] + END)
        os.replace(first, self.certificates)

    def _new(self) -> list:
        return ["req", "-config", self.folder / "openssl.conf", *["-newkey", "rsa:2048", "-nodes"]]

    def _openssl(self, *words) -> None:
        run(["openssl", *words], "making the certificate of PKI tokens")


class JwsKeys:
    """What `keystone-manage create_jws_keypair` makes, in the two folders of [jwt_tokens]."""

    def __init__(self, folder: Path):
        self.private, self.public = folder / "private", folder / "public"

    def ensure(self) -> None:
        if not self._numbers():
            for folder in (self.private, self.public):
                folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            self.replace()

    def replace(self) -> None:
        """A new key. What the former ones signed is still taken at home."""
        key, new = self.private / "private.pem", self.private / "private.pem.new"
        public = self.public / f"{1 + max(self._numbers(), default=0)}.pem"
        curve = ["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"]
        what = "making the key of JWS tokens"
        run(["openssl", "genpkey", *curve, "-out", new], what)
        # Whoever sees a token of the new key knows the key already.
        run(["openssl", "pkey", "-in", new, "-pubout", "-out", public], what)
        os.replace(new, key)

    def retire(self) -> None:
        """What former keys signed is not taken any more."""
        for number in self._numbers()[:-1]:
            (self.public / f"{number}.pem").unlink()

    def _numbers(self) -> list[int]:
        return sorted(int(file.stem) for file in self.public.glob("*.pem"))
