"""What `keystone-manage pki_setup` made, as long as Keystone had it: an authority for this cloud,
and by it the certificate with which the cloud signs its tokens.

As there, all clouds use one name and one serial number: only keys tell them apart.
"""

import os
import shutil
from pathlib import Path

from lab.commands import run

DAYS = 3650
AUTHORITY = "/C=US/ST=Unset/L=Unset/O=Unset/CN=www.example.com"
#: Its policy lost the town.
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


def make(folder: Path) -> None:
    """Makes ca.pem, cakey.pem, signing_cert.pem and signing_key.pem in `folder`, which is new."""
    fresh = folder.with_name(folder.name + ".new")
    shutil.rmtree(fresh, ignore_errors=True)
    fresh.mkdir(parents=True, mode=0o700)
    settings = fresh / "openssl.conf"
    settings.write_text(OPENSSL)
    new = ["openssl", "req", "-config", settings, "-newkey", "rsa:2048", "-nodes", "-sha256"]
    what = "making the certificate of PKI tokens"
    authority = ["-keyout", fresh / "cakey.pem", "-out", fresh / "ca.pem", "-subj", AUTHORITY]
    run([*new, "-x509", "-extensions", "v3_ca", "-days", DAYS, *authority], what)
    request = ["-keyout", fresh / "signing_key.pem", "-out", fresh / "req.pem", "-subj", SIGNER]
    run([*new, *request], what)
    issuer = ["-CA", fresh / "ca.pem", "-CAkey", fresh / "cakey.pem", "-set_serial", 1]
    extensions = ["-extfile", settings, "-extensions", "usr_cert", "-sha256", "-days", DAYS]
    out = ["-in", fresh / "req.pem", "-out", fresh / "signing_cert.pem"]
    run(["openssl", "x509", "-req", *out, *issuer, *extensions], what)
    os.replace(fresh, folder)
