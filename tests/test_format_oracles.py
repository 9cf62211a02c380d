"""Tokens of today's and yesterday's formats, both ways between us and programs that nobody here
wrote: keystoneclient's cms, openssl cms, and Keystone's jws provider."""

import base64
import json
import subprocess
import time

import pytest
from keystoneclient.common import cms

from lab.cache import Environment
from tests.kit.authority import EC, RSA, Authority, openssl
from tests.kit.program import KeystonesOwn, Oracle

USER, PROJECT, AUDIT_ID = "ec3f20dffe4f48ca98de0d46e72e5f98", "3" * 32, "WxCuapYmQ1ScHG9m8ltKlg"
BODY = {
    "token": {
        "user": {"id": USER, "name": "änn / +", "domain": {"id": "default", "name": "Default"}},
        "project": {
            "id": PROJECT,
            "name": "science",
            "domain": {"id": "default", "name": "Default"},
        },
        "roles": [{"id": "4" * 32, "name": "member"}],
        "methods": ["password"],
        "audit_ids": [AUDIT_ID],
        "issued_at": "2026-11-24T22:00:00.000000Z",
        "expires_at": "2100-01-01T00:00:00.000000Z",
    }
}
EXPIRES_AT = 4102444800


class Ours(Oracle):
    def __init__(self):
        super().__init__("alliance-token")

    def verify(self, token, *pinned, allow_sha1=False):
        keys = "".join(path.read_text() for path in pinned)
        question = {"token": token, "keys": keys, "allow_sha1": allow_sha1, "now": int(time.time())}
        return self.ask({"do": "verify", **question})

    def sign(self, token_format, content, key, certificate=None, attributes=False):
        question = {"format": token_format, "content": content, "key": key.read_text()}
        if certificate:
            question |= {"certificate": certificate.read_text(), "attributes": attributes}
        return self.ask({"do": "sign", **question})["token"]


@pytest.fixture(scope="module")
def ours():
    program = Ours()
    yield program
    program.end()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("oracles")


@pytest.fixture(scope="module")
def authority(folder):
    return Authority(folder / "west", "West signing authority")


@pytest.fixture(scope="module")
def rsa(authority):
    return authority.issue("rsa", *RSA, serial=17)


@pytest.fixture(scope="module")
def ec(authority):
    return authority.issue("ec", *EC, serial=18)


@pytest.fixture(params=["rsa", "ec"])
def pair(request):
    return request.getfixturevalue(request.param)


def assert_is_body(said, token_format):
    assert said.pop("key_id")
    assert said == {
        "format": token_format,
        "user_id": USER,
        "user_name": "änn / +",
        "project_id": PROJECT,
        "audit_ids": [AUDIT_ID],
        "expires_at": EXPIRES_AT,
    }


@pytest.mark.parametrize("digest", ["sha256", "sha384", "sha512"])
def test_what_keystoneclient_signs_verifies_here(ours, rsa, digest):
    text = json.dumps(BODY)
    pki = cms.cms_sign_token(text, *rsa.signing(), message_digest=digest)
    assert_is_body(ours.verify(pki, rsa.certificate), "pki")
    pkiz = cms.pkiz_sign(text, *rsa.signing(), message_digest=digest)
    assert_is_body(ours.verify(pkiz, rsa.certificate), "pkiz")
    assert len(pkiz) < len(pki)


def test_keystoneclient_with_an_ec_key(ours, ec):
    pki = cms.cms_sign_token(json.dumps(BODY), *ec.signing())
    assert_is_body(ours.verify(pki, ec.certificate), "pki")


def test_sha1_is_a_matter_of_permission(ours, rsa):
    pki = cms.cms_sign_token(json.dumps(BODY), *rsa.signing(), message_digest="sha1")
    assert ours.verify(pki, rsa.certificate) == {"refused": "WeakAlgorithm"}
    assert_is_body(ours.verify(pki, rsa.certificate, allow_sha1=True), "pki")


def test_any_level_of_compression_verifies(ours, rsa):
    for level in 0, 1, 9:
        pkiz = cms.pkiz_sign(json.dumps(BODY), *rsa.signing(), compression_level=level)
        assert_is_body(ours.verify(pkiz, rsa.certificate), "pkiz")


def test_what_we_sign_verifies_at_keystoneclient(ours, pair):
    text = json.dumps(BODY)
    pki = ours.sign("pki", text, pair.key, pair.certificate)
    assert cms.is_asn1_token(pki)
    assert cms.verify_token(pki, *pair.verifying()).decode() == text
    pkiz = ours.sign("pkiz", text, pair.key, pair.certificate)
    assert cms.is_pkiz(pkiz)
    assert cms.pkiz_verify(pkiz, *pair.verifying()).decode() == text


def test_signed_attributes_verify_both_ways_with_openssl(ours, pair):
    text = json.dumps(BODY).encode()
    sign = ["cms", "-sign", "-binary", "-nosmimecap", "-nodetach", "-nocerts", "-md", "sha256"]
    certificate, key = pair.signing()
    pem = openssl(*sign, "-outform", "PEM", "-signer", certificate, "-inkey", key, input=text)
    theirs = cms.cms_to_token(pem.decode())
    assert_is_body(ours.verify(theirs, pair.certificate), "pki")

    token = ours.sign("pki", text.decode(), pair.key, pair.certificate, attributes=True)
    der = base64.b64decode(token.replace("-", "/"))
    verify = ["cms", "-verify", "-binary", "-inform", "DER", "-CAfile", pair.authority]
    assert openssl(*verify, "-certfile", pair.certificate, input=der) == text


def test_both_refuse_what_was_altered(ours, rsa):
    pki = cms.cms_sign_token(json.dumps(BODY), *rsa.signing())
    at = len(pki) // 3
    other = "B" if pki[at] != "B" else "C"
    altered = pki[:at] + other + pki[at + 1 :]
    assert ours.verify(altered, rsa.certificate) == {"refused": "BadSignature"}
    with pytest.raises(subprocess.CalledProcessError):
        cms.verify_token(altered, *rsa.verifying())


def test_both_refuse_who_is_not_pinned_and_we_say_why(ours, folder, authority, rsa):
    stranger = Authority(folder / "stranger", "Somebody else").issue("rsa", *RSA, serial=17)
    twin = Authority(folder / "twin", "West signing authority").issue("rsa", *RSA, serial=17)
    unannounced = authority.issue("unannounced", *RSA, serial=99)
    for signer, reason in [
        (stranger, "WrongIssuer"),
        (twin, "UnknownKey"),
        (unannounced, "UnknownKey"),
    ]:
        token = cms.cms_sign_token(json.dumps(BODY), *signer.signing())
        assert ours.verify(token, rsa.certificate) == {"refused": reason}
        with pytest.raises(subprocess.CalledProcessError):
            cms.verify_token(token, *rsa.verifying())


@pytest.fixture(scope="module")
def jws_keys(folder):
    keys = folder / "jws"
    keystone = Environment("keystone").ensure()
    for name in "private", "public", "other":
        (keys / name).mkdir(parents=True)
    for pair in "private", "other":
        subprocess.run(
            [
                *(keystone.bin("python"), "-W", "ignore", "-c"),
                "import sys; from keystone.common import jwt_utils;"
                "jwt_utils.create_jws_keypair(*sys.argv[1:])",
                *(keys / pair / "private.pem", keys / pair / "public.pem"),
            ],
            check=True,
            stderr=subprocess.DEVNULL,
            timeout=60,
        )
    (keys / "private" / "public.pem").rename(keys / "public" / "public.pem")
    return keys


@pytest.fixture(scope="module")
def keystone(jws_keys):
    keystone = KeystonesOwn("jws_tokens.py", jws_keys)
    yield keystone
    keystone.end()


def test_what_keystones_jws_provider_signs_verifies_here(ours, keystone, jws_keys):
    scope = {"project_id": PROJECT}
    expires_at = "2100-01-01T00:00:00.000000Z"
    token = keystone.ask(["sign", USER, expires_at, [AUDIT_ID], ["password"], scope])
    said = ours.verify(token, jws_keys / "public" / "public.pem")
    assert said.pop("key_id")
    assert said == {
        "format": "jws",
        "user_id": USER,
        "user_name": None,
        "project_id": PROJECT,
        "audit_ids": [AUDIT_ID],
        "expires_at": EXPIRES_AT,
    }
    other = ours.verify(token, jws_keys / "other" / "public.pem")
    assert other == {"refused": "UnknownKey"}


def test_what_we_sign_as_jws_is_a_token_to_keystone(ours, keystone, jws_keys):
    claims = {
        "sub": USER,
        "iat": int(time.time()),
        "exp": EXPIRES_AT,
        "openstack_methods": ["password"],
        "openstack_audit_ids": [AUDIT_ID],
        "openstack_project_id": PROJECT,
    }
    token = ours.sign("jws", json.dumps(claims), jws_keys / "private" / "private.pem")
    user, methods, audit_ids, _system, _domain, project, *_rest = keystone.ask(["verify", token])
    assert (user, methods, audit_ids, project) == (USER, ["password"], [AUDIT_ID], PROJECT)
    forged = ours.sign("jws", json.dumps(claims), jws_keys / "other" / "private.pem")
    assert keystone.ask(["verify", forged]) is None
