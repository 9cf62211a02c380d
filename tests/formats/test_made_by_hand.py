"""PKI tokens that keystoneclient signs, with keys of our own, for a partner that is a plain
Keystone: those keys are in a file, and that Keystone knows nothing of such tokens."""

import base64
import json
import os
import time
import zlib

import pytest
from keystoneclient.common import cms

from tests.formats.terms import CACHE_TIME, SLACK, facts, refused
from tests.kit import known_secrets
from tests.kit.authority import RSA, Authority
from tests.kit.waiting import until

ALIAS = "handmade"
HOUR = 3600
LONGEST = 8190


def body(person, lives: int = HOUR, role: str = "member", catalog: tuple = ()) -> dict:
    """As a Keystone that issued PKI tokens had it."""
    now = time.time()
    domain = {"id": "default", "name": "Default"}
    return {
        "token": {
            "user": {"id": person.id, "name": person.name, "domain": domain},
            "project": {"id": person.project.id, "name": person.project.name, "domain": domain},
            "roles": [{"id": "4" * 32, "name": role}, {"id": "5" * 32, "name": "reader"}],
            "methods": ["password"],
            "audit_ids": [base64.urlsafe_b64encode(os.urandom(16)).decode().rstrip("=")],
            "issued_at": stamp(now + min(0, lives) - 1),
            "expires_at": stamp(now + lives),
            "catalog": list(catalog),
        }
    }


def stamp(seconds: float) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S.000000Z", time.gmtime(seconds))


class Signer:
    """Makes tokens of one format with any key."""

    def __init__(self, token_format: str):
        self.token_format = token_format

    def sign(self, content, pair, digest: str = "sha256") -> str:
        sign = cms.cms_sign_token if self.token_format == "pki" else cms.pkiz_sign
        token = sign(json.dumps(content), *pair.signing(), message_digest=digest)
        return known_secrets.note_token(token)

    def altered(self, token: str, old: bytes, new: bytes) -> str:
        """The same with other content."""
        if self.token_format == "pkiz":
            packed = base64.urlsafe_b64decode(token.removeprefix("PKIZ_"))
            token = cms.cms_to_token(zlib.decompress(packed).decode())
        der = base64.b64decode(token.replace("-", "/"))
        assert old in der
        pki = base64.b64encode(der.replace(old, new)).decode().replace("/", "-")
        return pki if self.token_format == "pki" else pkiz(cms.token_to_cms(pki).encode())


def pkiz(content: bytes) -> str:
    return "PKIZ_" + base64.urlsafe_b64encode(zlib.compress(content, 9)).decode()


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("authorities") / "known", "A signing authority")


@pytest.fixture(scope="module")
def pinned(authority):
    """The key that east knows."""
    return authority.issue("pinned", *RSA, serial=7)


@pytest.fixture(scope="module")
def strangers(authority, pinned):
    """Keys that east does not know, and what it says of them."""
    elsewhere = Authority(authority.folder.parent / "elsewhere", "Somebody else")
    twin = Authority(authority.folder.parent / "twin", "A signing authority")
    return {
        "another of that authority": (authority.issue("other", *RSA, serial=8), "unknown_key"),
        "one that calls itself the same": (twin.issue("twin", *RSA, serial=7), "unknown_key"),
        "one of another authority": (elsewhere.issue("it", *RSA, serial=7), "wrong_issuer"),
    }


@pytest.fixture(scope="module")
def guest(old, hasty, pinned):
    """Somebody of a cloud whose Keystone is stock, and whose tokens' keys are in a file."""
    words = list(old.as_plain())
    words[words.index("--token-format") + 1] = "pki,pkiz"
    add = ("partner", "add-keystone", ALIAS, *words, "--signing-keys", str(pinned.certificate))
    hasty.ordered(*add, "--yes")
    person = old.person(roles=("member", "reader"))
    hasty.agree(ALIAS, person.project, ("reader",))
    yield person
    hasty.orders("partner", "remove", ALIAS, "--yes", "--purge")


@pytest.fixture(scope="module", params=["pki", "pkiz"])
def signer(request, guest, hasty, pinned):
    signer = Signer(request.param)
    token = signer.sign(body(guest), pinned)
    until(lambda: hasty.judge(token, "--offline")["status"] == "valid", "it is read at east")
    return signer


def reason(cloud, token: str) -> str:
    """Why a token is refused by what it says itself."""
    verdict = cloud.judge(token, "--offline")
    assert verdict["status"] == "invalid"
    assert verdict["path"]["via"] in ("offline", "local")
    return verdict["reason"]


def test_it_is_what_it_says_and_its_user_has_what_was_agreed(signer, guest, hasty, pinned):
    content = body(guest)
    token = signer.sign(content, pinned)
    verdict = hasty.judge(token, "--offline")
    assert (verdict["status"], verdict["path"]["via"]) == ("valid", "offline")
    found = facts(verdict)
    assert (found["sub"], found["project"]["id"]) == (guest.id, guest.project.id)
    assert sorted(found["roles"]) == ["member", "reader"]
    assert found["audit_ids"] == content["token"]["audit_ids"]
    assert hasty.images(token) == 200
    here = hasty.validate(token).json()["token"]
    assert here["user"]["name"] == guest.name
    assert here["expires_at"] == content["token"]["expires_at"]
    assert [role["name"] for role in here["roles"]] == ["reader"]
    assert hasty.sells(token, {"project": {"id": here["project"]["id"]}})


def test_another_signature_is_refused_and_it_is_said_whose(signer, guest, hasty, strangers):
    for whose, (key, why) in strangers.items():
        token = signer.sign(body(guest), key)
        assert reason(hasty, token) == why, whose
        assert refused(hasty, token), whose
        assert hasty.judge(token)["reason"] == why, whose


def test_what_was_altered_is_refused(signer, guest, hasty, pinned):
    token = signer.sign(body(guest), pinned)
    assert hasty.lets_in(token)
    altered = signer.altered(token, b'"member"', b'"mender"')
    assert reason(hasty, altered) == "bad_signature"
    assert refused(hasty, altered)


def test_what_has_expired_is_refused(signer, guest, hasty, pinned):
    token = signer.sign(body(guest, lives=-10), pinned)
    assert reason(hasty, token) == "expired"
    assert refused(hasty, token)


def test_sha1_is_for_an_operator_to_allow_for_one_partner(signer, guest, hasty, pinned):
    token = signer.sign(body(guest), pinned, digest="sha1")
    assert reason(hasty, token) == "weak_algorithm"
    assert refused(hasty, token)
    hasty.orders("partner", "set", ALIAS, "--allow-sha1", "yes")
    try:
        assert hasty.judge(token, "--offline")["status"] == "valid"
        assert hasty.lets_in(token)
    finally:
        hasty.orders("partner", "set", ALIAS, "--allow-sha1", "no")
    assert reason(hasty, token) == "weak_algorithm"
    until(lambda: refused(hasty, token), "Keystone has forgotten it", CACHE_TIME + SLACK)


def test_an_administrator_there_is_nobody_here(signer, guest, hasty, pinned):
    token = signer.sign(body(guest, role="admin"), pinned)
    assert reason(hasty, token) == "admin_role"
    assert refused(hasty, token)


@pytest.fixture
def alive(hasty, signer, guest, pinned):
    """East's daemon, which is the same afterwards as before and goes on with its work."""
    before = hasty.pid("alliance")
    yield
    assert hasty.pid("alliance") == before
    assert hasty.lets_in(signer.sign(body(guest), pinned))


@pytest.mark.usefixtures("alive")
def test_a_body_of_version_2_is_no_token(signer, guest, hasty, pinned):
    token = {"id": "placeholder", "expires": stamp(time.time() + HOUR)}
    user = {"id": guest.id, "name": guest.name, "username": guest.name, "roles": []}
    content = {"access": {"token": token, "user": user, "serviceCatalog": []}}
    token = signer.sign(content, pinned)
    assert reason(hasty, token) == "malformed"
    assert refused(hasty, token)


@pytest.mark.usefixtures("alive")
def test_what_is_cut_off_is_no_token(signer, guest, hasty, pinned):
    token = signer.sign(body(guest), pinned)
    for length in (*range(10, len(token), 97), len(token) - 4, len(token) - 1):
        verdict = hasty.judge(token[:length], "--offline")
        assert verdict["status"] == "invalid", length
        assert not hasty.lets_in(token[:length]), length


@pytest.mark.usefixtures("alive")
def test_a_token_that_no_web_server_lets_through_is_explained(signer, guest, hasty, pinned):
    noise = [os.urandom(3000).hex() for _ in range(2)]
    token = signer.sign(body(guest, catalog=noise), pinned)
    assert len(token) > LONGEST
    assert reason(hasty, token) == "malformed"
    assert hasty.ask("GET", "/auth/projects", token).status in (401, 431)
    assert hasty.validate(token).status in (404, 431)
    assert not hasty.sells(token)
    said = hasty.alliance("token", "inspect", "-", stdin=token, status=None).stdout
    assert f"longer than {LONGEST} bytes" in said
    assert "PKIZ" in said


@pytest.mark.usefixtures("alive")
def test_a_bomb_does_not_go_off(hasty):
    bombs = (b"\0" * 6_000_000, b"0" * 1_000_000, b"\x30\x80" * 500_000)
    for bomb in bombs:
        token = pkiz(bomb)
        assert len(token) < LONGEST
        assert reason(hasty, token) == "malformed"
        assert refused(hasty, token)
