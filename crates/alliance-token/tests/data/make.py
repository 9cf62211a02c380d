"""Makes the keys, certificates and tokens beside this file. See README.md.

Everything is signed by programs that nobody here wrote: ``keystoneclient.common.cms``, ``openssl
cms`` and Keystone's own jws provider. Needs the venv of the lab's Keystone::

    $(lab/venv keystone)/bin/python crates/alliance-token/tests/data/make.py
"""

import datetime
import json
import subprocess
import tempfile
from pathlib import Path

import keystone.conf
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID
from keystone.token.providers.jws.core import JWSFormatter
from keystoneclient.common import cms

DATA = Path(__file__).resolve().parent
KEYS = DATA / "test-only-keys"
TOKENS = DATA / "tokens"

ISSUER = "Alliance test CA, for tests only"
ALWAYS = (datetime.datetime(2020, 1, 1), datetime.datetime(2120, 1, 1))


def main():
    make_certificates()
    make_pki_tokens()
    make_jws_tokens()


def make_certificates():
    KEYS.mkdir(exist_ok=True)
    authority = rsa_key(2048)
    key = rsa_key(2048)
    certify("rsa", key, authority, serial=17)
    # Another key under the same names: only the signature tells.
    certify("impostor", rsa_key(2048), authority, serial=17)
    certify("unannounced", rsa_key(2048), authority, serial=99)
    certify("stranger", rsa_key(2048), authority, serial=17, issuer="Somebody else's test CA")
    past = (datetime.datetime(2013, 1, 1), datetime.datetime(2014, 1, 1))
    certify("expired", key, authority, serial=18, valid=past)
    future = (datetime.datetime(2110, 1, 1), datetime.datetime(2120, 1, 1))
    certify("future", key, authority, serial=19, valid=future)
    certify("rsa3072", rsa_key(3072), authority, serial=20)
    certify("rsa1024", rsa_key(1024), authority, serial=21)
    certify("ec", ec.generate_private_key(ec.SECP256R1()), authority, serial=22)
    certify("p384", ec.generate_private_key(ec.SECP384R1()), authority, serial=23)
    for name in "jws", "jws-unannounced":
        pair = ec.generate_private_key(ec.SECP256R1())
        write_key(name, pair)
        (KEYS / f"{name}.pub.pem").write_bytes(
            pair.public_key().public_bytes(
                serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
            )
        )


def rsa_key(bits):
    return rsa.generate_private_key(public_exponent=65537, key_size=bits)


def certify(name, key, authority, serial, issuer=ISSUER, valid=ALWAYS):
    write_key(name, key)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"{name}, tests only")]))
        .issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, issuer)]))
        .public_key(key.public_key())
        .serial_number(serial)
        .not_valid_before(valid[0])
        .not_valid_after(valid[1])
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(authority, hashes.SHA256())
    )
    pem = certificate.public_bytes(serialization.Encoding.PEM)
    (KEYS / f"{name}.cert.pem").write_bytes(pem)


def write_key(name, key):
    (KEYS / f"{name}.key.pem").write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )


def make_pki_tokens():
    TOKENS.mkdir(exist_ok=True)
    text = json.dumps(BODY)
    for name in "rsa", "impostor", "unannounced", "stranger", "expired", "future", "rsa3072", "ec":
        write(f"pki-{name}", pki(text, name))
    for digest in "sha384", "sha512", "sha1", "md5":
        write(f"pki-rsa-{digest}", pki(text, "rsa", digest))
    write("pkiz-rsa", cms.pkiz_sign(text, *files("rsa")))
    write("pkiz-ec", cms.pkiz_sign(text, *files("ec")))
    write("pki-v2", pki(json.dumps({"access": {"token": {"id": "placeholder"}}}), "rsa"))
    write("pki-revocation-list", pki(json.dumps({"revoked": []}).ljust(300), "rsa"))

    # What keystoneclient never writes: other ways to use openssl.
    for name in "rsa", "ec":
        write(f"pki-{name}-attributes", openssl(text, name, "-nocerts"))
    write("pki-rsa-cades", openssl(text, "rsa", "-nocerts", "-cades"))
    write("odd-certificates", openssl(text, "rsa", "-noattr"))
    write("odd-key-id", openssl(text, "rsa", "-noattr", "-nocerts", "-keyid"))
    write("odd-two-signers", openssl(text, "rsa", "-noattr", "-nocerts", *signer("ec")))
    write("odd-indefinite", openssl(text, "rsa", "-noattr", "-nocerts", "-stream", "-indef"))
    pss = ("-keyopt", "rsa_padding_mode:pss")
    write("odd-pss", openssl(text, "rsa", "-noattr", "-nocerts", *pss))
    write("odd-detached", openssl(text, "rsa", "-nocerts", detached=True))


def pki(text, name, digest="sha256"):
    return cms.cms_sign_token(text, *files(name), message_digest=digest)


def openssl(text, name, *options, detached=False):
    sign = ["openssl", "cms", "-sign", "-nosmimecap", "-binary", "-outform", "PEM"]
    nodetach = [] if detached else ["-nodetach"]
    done = subprocess.run(
        [*sign, *nodetach, "-md", "sha256", *signer(name), *options],
        input=text.encode(),
        stdout=subprocess.PIPE,
        check=True,
    )
    return cms.cms_to_token(done.stdout.decode())


def signer(name):
    certificate, key = files(name)
    return "-signer", certificate, "-inkey", key


def files(name):
    return str(KEYS / f"{name}.cert.pem"), str(KEYS / f"{name}.key.pem")


def make_jws_tokens():
    for name in "jws", "jws-unannounced":
        write(name, jws(name, project_id=PROJECT["id"]))
    write("jws-unscoped", jws("jws"))
    write("jws-system", jws("jws", system="all"))
    write("jws-domain", jws("jws", domain_id="default"))
    write("jws-trust", jws("jws", project_id=PROJECT["id"], trust_id="7" * 32))
    write(
        "jws-federated",
        jws(
            "jws",
            federated_group_ids=[{"id": "8" * 32}],
            identity_provider_id="idp",
            protocol_id="openid",
        ),
    )
    write("jws-oauth", jws("jws", project_id=PROJECT["id"], access_token_id="9" * 32))
    write("jws-thumbprint", jws("jws", project_id=PROJECT["id"], thumbprint="abc"))
    write(
        "jws-application-credential",
        jws("jws", methods=["application_credential"], app_cred_id="6" * 32),
    )


def jws(name, methods=("password",), **scope):
    conf = keystone.conf.CONF
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "private.pem").symlink_to(KEYS / f"{name}.key.pem")
        conf.set_override("jws_private_key_repository", folder, "jwt_tokens")
        token, _issued_at = JWSFormatter().create_token(
            USER["id"],
            "2100-01-01T00:00:00.000000Z",
            ["WxCuapYmQ1ScHG9m8ltKlg"],
            list(methods),
            **scope,
        )
    return token


def write(name, token):
    (TOKENS / f"{name}.token").write_text(token)


USER = {
    "id": "ec3f20dffe4f48ca98de0d46e72e5f98",
    "name": "änn",
    "domain": {"id": "default", "name": "Default"},
    "password_expires_at": None,
}
PROJECT = {
    "id": "33c1c0641ab3440f8337b4a08f912ff3",
    "name": "science",
    "domain": {"id": "default", "name": "Default"},
}
BODY = {
    "token": {
        "methods": ["password"],
        "roles": [
            {"id": "8ec28458758141a9aecdc583a230b259", "name": "member"},
            {"id": "aa715ee7bbaf4bd2a6e351af0bc234dc", "name": "reader"},
        ],
        "expires_at": "2100-01-01T00:00:00.000000Z",
        "project": PROJECT,
        "catalog": [
            {
                "type": kind,
                "name": kind,
                "id": f"{at:032x}",
                "endpoints": [
                    {
                        "id": f"{at}{interface:031x}",
                        "interface": name,
                        "region": "west",
                        "region_id": "west",
                        "url": f"https://{name}.west.example:{9000 + at}/v2.1",
                    }
                    for interface, name in enumerate(["public", "internal", "admin"])
                ],
            }
            for at, kind in enumerate(["compute", "image", "network"])
        ],
        "extras": {},
        "user": USER,
        "audit_ids": ["WxCuapYmQ1ScHG9m8ltKlg"],
        "issued_at": "2026-11-24T22:35:09.000000Z",
    }
}


if __name__ == "__main__":
    keystone.conf.configure()
    keystone.conf.CONF([], project="keystone", default_config_files=[])
    main()
