"""The demo's east-side request works with a home that issues each format."""

import subprocess

from tests.formats.terms import (
    CACHE_TIME,
    REFRESH,
    SIGNED,
    SLACK,
    STALENESS,
    counted,
    facts,
    names,
    refused,
)
from tests.kit.waiting import until


def test_its_first_use_of_all_is_a_listing_of_images(guest, hasty):
    hasty.forget()
    assert hasty.images(guest.login()) == 200


def test_the_openstack_client_lists_the_images_of_east(guest, home, hasty):
    image = hasty.make_image(guest.login(), "of-east")
    variables = {
        **home.variables(),
        "OS_USERNAME": guest.name,
        "OS_PASSWORD": guest.password,
        "OS_PROJECT_NAME": guest.project.name,
    }
    sees = f"west sees the region for {guest.project.id}"
    until(lambda: guest.project.id in str(home.told("region", "list")), sees)
    done = subprocess.run(
        ["bash", "-c", "openstack --os-region-name east image list -f value -c ID"],
        env=variables,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == [image]


def test_east_says_of_it_what_west_says(guest, home, hasty):
    token = guest.login()
    said = home.validate(token).json()["token"]
    here = hasty.validate(token).json()["token"]
    for told in ("expires_at", "issued_at"):
        assert here[told] == said[told], told
    assert here["user"]["name"] == guest.name
    assert names(here["roles"]) == names(said["roles"]) == ["member", "reader"]
    found = facts(hasty.judge(token))
    assert found["sub"] == said["user"]["id"] == guest.id
    assert found["username"] == said["user"]["name"]
    assert found["project"]["id"] == said["project"]["id"] == guest.project.id
    assert found["project"]["name"] == said["project"]["name"]
    assert sorted(found["roles"]) == names(said["roles"])
    assert found["methods"] == said["methods"]
    assert found["audit_ids"] == said["audit_ids"]


def test_how_it_was_decided_is_told_and_counted(issued, guest, home, hasty):
    offline, asked = ({"status": "valid", "via": via} for via in ("offline", "asked"))
    before = counted(hasty, **offline), counted(hasty, **asked)
    assert hasty.lets_in(guest.login())
    verdict = hasty.judge(guest.login())
    added = counted(hasty, **offline) - before[0], counted(hasty, **asked) - before[1]
    if issued in SIGNED:
        assert (verdict["path"]["via"], added) == ("offline", (2, 0))
        steps = [step["name"] for step in verdict["path"]["steps"]]
        statement = ["grant statement"] if issued == "jws" else []
        assert steps == ["format", "signature", *statement, "revocation list"]
    else:
        assert (verdict["path"]["via"], added) == ("asked", (0, 2))


def test_its_issuer_can_be_asked_about_any(guest, home, hasty):
    token = guest.login()
    with home.noting() as seen:
        verdict = hasty.judge(token, "--hard")
        assert (verdict["status"], verdict["path"]["via"]) == ("valid", "asked")
        assert seen.has(token)


def test_offline_alone_decides_about_signed_ones_and_leaves_opaque_ones_open(issued, guest, hasty):
    token = guest.login()
    assert hasty.lets_in(token)
    verdict = hasty.judge(token, "--offline")
    assert verdict["path"]["via"] == "offline"
    expected = ("valid", None) if issued in SIGNED else ("indeterminate", "no_keys")
    assert (verdict["status"], verdict.get("reason")) == expected


def test_a_suspension_ends_it_at_once(guest, hasty):
    token = guest.login()
    assert hasty.lets_in(token)
    assert hasty.images(token) == 200
    hasty.orders("partner", "suspend", "west")
    try:
        assert refused(hasty, token)
        assert hasty.images(token) == 401
        assert refused(hasty, guest.login())
        assert hasty.judge(token)["reason"] == "partner_suspended"
    finally:
        hasty.orders("partner", "resume", "west")
    until(lambda: hasty.lets_in(token), "the token is taken again")


def test_a_logout_at_home_ends_it_at_east(issued, guest, home, hasty):
    token, other = guest.login(), guest.login()
    assert hasty.lets_in(token)
    done = home.ask("DELETE", "/auth/tokens", token, X_Subject_Token=token)
    assert done.status == 204
    bound = REFRESH + 1 + CACHE_TIME if issued in SIGNED else STALENESS
    until(lambda: refused(hasty, token), "it is refused at east", deadline=bound + SLACK)
    until(lambda: hasty.judge(token)["reason"] == "revoked", "east knows why")
    assert hasty.lets_in(other)


_audit_ids: dict[str, str] = {}


def test_audit_ids_are_those_of_one_token(issued, guest, hasty):
    """Whoever reads two clouds' logs never takes one token for another."""
    for token in guest.logins(2):
        [first, *_] = hasty.validate(token).json()["token"]["audit_ids"]
        hasty.forget()
        assert hasty.validate(token).json()["token"]["audit_ids"][0] == first
        assert first not in _audit_ids, f"it was that of a token of format {_audit_ids[first]}"
        _audit_ids[first] = issued
