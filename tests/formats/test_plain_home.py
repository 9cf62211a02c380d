"""Users of a cloud without Alliance at east, whatever format its Keystone issues."""

import subprocess
import time

import pytest

from tests.formats.terms import (
    CACHE_TIME,
    REVOCATION_AGE,
    SIGNED,
    SLACK,
    STALENESS,
    facts,
    last_served,
    names,
    refused,
)
from tests.kit import people
from tests.kit.keystone_beside import KeystoneBeside
from tests.kit.nightly import NIGHTLY
from tests.kit.waiting import until

ALIAS = "elder"


@pytest.fixture(scope="module")
def region(old, hasty):
    """Old's operator, by hand: where east's images are."""
    [service] = old.do("GET", "/services?type=image")["services"]
    old.do("POST", "/regions", {"region": {"id": "east"}})
    endpoint = {
        "service_id": service["id"],
        "region_id": "east",
        "interface": "public",
        "url": hasty.image.removesuffix("/v2"),
    }
    made = old.do("POST", "/endpoints", {"endpoint": endpoint})["endpoint"]["id"]
    yield "east"
    old.do("DELETE", f"/endpoints/{made}")
    old.do("DELETE", "/regions/east")


@pytest.fixture(scope="module")
def elder(old):
    """Old, which will issue what it issues now when all is over."""
    with old.issuing(old.token_provider):
        yield old


@pytest.fixture(scope="module", params=["uuid", "fernet", "jws", *(["pkiz"] if NIGHTLY else [])])
def plain(request, elder, hasty):
    """The format of old's tokens, which is a partner of east."""
    elder.issue(request.param)
    hasty.ordered("partner", "add-keystone", ALIAS, *elder.as_plain(), "--yes")
    yield request.param
    hasty.orders("partner", "remove", ALIAS, "--yes", "--purge")


@pytest.fixture(scope="module")
def visitor(plain, elder, hasty):
    person = elder.person(roles=("member", "reader", "manager"))
    hasty.agree(ALIAS, person.project, ("member", "reader"))
    known = f"east takes {plain} tokens of old"
    until(lambda: hasty.judge(person.login())["status"] == "valid", known, deadline=20)
    return person


def test_the_openstack_client_lists_the_images_of_the_region_it_names(
    visitor, elder, hasty, region
):
    image = hasty.make_image(visitor.login(), "of-east")
    done = subprocess.run(
        ["bash", "-c", f"openstack --os-region-name {region} image list -f value -c ID"],
        env={
            **elder.variables(),
            "OS_USERNAME": visitor.name,
            "OS_PASSWORD": visitor.password,
            "OS_PROJECT_NAME": visitor.project.name,
        },
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == [image]


def test_its_first_use_of_all_is_served_with_the_roles_that_were_agreed(
    plain, visitor, elder, hasty
):
    token = visitor.login()
    hasty.forget()
    assert hasty.lets_in(token)
    said = elder.validate(token).json()["token"]
    here = hasty.validate(token).json()["token"]
    assert names(here["roles"]) == ["member", "reader"]
    assert names(said["roles"]) == ["manager", "member", "reader"]
    assert (here["user"]["name"], here["expires_at"]) == (visitor.name, said["expires_at"])
    verdict = hasty.judge(visitor.login())
    assert verdict["path"]["via"] == ("offline" if plain in SIGNED else "asked")
    assert facts(verdict)["sub"] == visitor.id


def test_a_token_of_east_is_bought_with_it_and_ends_with_the_partner(visitor, hasty):
    token = visitor.login()
    project = hasty.validate(token).json()["token"]["project"]["id"]
    bought = hasty.sells(token, {"project": {"id": project}})
    assert hasty.lets_in(bought)
    assert hasty.images(bought) == 200
    hasty.orders("partner", "suspend", ALIAS)
    try:
        assert refused(hasty, token)
        assert hasty.images(token) == 401
        assert not hasty.lets_in(bought)
        assert hasty.judge(token)["reason"] == "partner_suspended"
    finally:
        hasty.orders("partner", "resume", ALIAS)
    until(lambda: hasty.lets_in(token), "it is taken again")
    assert hasty.lets_in(bought)


def test_who_has_no_agreement_or_is_an_administrator_there_is_nobody_here(visitor, elder, hasty):
    admin = elder.person(project=visitor.project, roles=("admin",))
    other = elder.person(roles=("manager",))
    for person, reason in ((admin, "admin_role"), (other, "no_agreement")):
        token = person.login()
        assert refused(hasty, token), reason
        assert hasty.judge(token)["reason"] == reason


def test_a_tag_makes_it_another_token_which_is_none(visitor, hasty):
    token = visitor.login()
    [tag] = {
        partner["cloud_id"][:8]
        for partner in hasty.told("partner", "list")
        if partner["name"] == ALIAS
    }
    assert refused(hasty, f"{tag}~{token}")
    assert hasty.judge(f"{tag}~{token}")["reason"] == "malformed"
    assert hasty.lets_in(token)


def test_a_logout_there_is_known_here(visitor, elder, hasty):
    token = visitor.login()
    assert hasty.lets_in(token)
    assert elder.ask("DELETE", "/auth/tokens", token, X_Subject_Token=token).status == 204
    # East may have read of it meanwhile.
    assert hasty.judge(token, "--hard")["reason"] in ("not_found", "revoked")
    until(lambda: refused(hasty, token), "it is refused", deadline=CACHE_TIME + STALENESS + SLACK)


def test_a_logout_there_ends_what_was_bought_with_the_token_here(visitor, elder, hasty):
    token, other = visitor.login(), visitor.login()
    project = hasty.validate(token).json()["token"]["project"]["id"]
    scope = {"project": {"id": project}}
    bought, others = hasty.sells(token, scope), hasty.sells(other, scope)
    both = (token, bought)
    assert [hasty.images(each) for each in (*both, others)] == [200] * 3
    assert elder.ask("DELETE", "/auth/tokens", token, X_Subject_Token=token).status == 204

    def is_refused(token: str) -> bool:
        return hasty.images(token) == 401 and refused(hasty, token)

    until(lambda: all(map(is_refused, both)), "both are refused", deadline=SLACK)
    assert hasty.lets_in(others)
    assert hasty.images(others) == 200


def test_a_password_that_is_wrong_one_day_is_said_to_the_operator(plain, visitor, elder, hasty):
    [user] = elder.do("GET", "/users?name=alliance")["users"]
    words = elder.as_plain()
    with open(words[words.index("--password-file") + 1]) as file:
        right = file.read()
    elder.do("PATCH", f"/users/{user['id']}", {"user": {"password": people.password()}})
    try:
        token = visitor.login()
        # Its Keystone may take a moment to forget that our user was logged in.
        said = "its Keystone lets us in no more"
        until(lambda: hasty.judge(token, "--hard").get("reason") == "home_error", said)
        token = visitor.login()
        assert hasty.judge(token, "--hard")["status"] == "indeterminate"
        if plain not in SIGNED:
            assert hasty.validate(token).status == 503
            assert not hasty.lets_in(token)
        hasty.alliance("partner", "repair", ALIAS)
        assert "check the password" in hasty.told("partner", "show", ALIAS)["last_error"]
        assert "check the password" in hasty.alliance("doctor", status=None).stdout
    finally:
        elder.do("PATCH", f"/users/{user['id']}", {"user": {"password": right}})
        until(lambda: hasty.lets_in(visitor.login()), "the password is right again", deadline=20)


def test_its_keystone_is_outlived_as_long_as_promised_and_then_nobody_can_tell(
    plain, visitor, elder, hasty
):
    token = visitor.login()
    until(lambda: hasty.judge(token)["status"] == "valid", "old is asked", deadline=20)
    with elder.frozen("keystone"):
        died = time.monotonic()
        hasty.forget()
        assert hasty.lets_in(token)
        bound = REVOCATION_AGE if plain == "pkiz" else STALENESS
        assert last_served(hasty, token) - died < bound
        answer = hasty.validate(token)
        assert (answer.status, int(answer.headers["retry-after"]) > 0) == (503, True)
        assert hasty.lets_in(hasty.login_as("ann"))
        # Who asks now and keeps nothing may believe a list for longer than Keystone may.
        said = "nobody can tell"
        until(lambda: hasty.judge(token)["status"] == "indeterminate", said, REVOCATION_AGE)
    until(lambda: hasty.lets_in(token), "it works again, by itself", deadline=30)


@pytest.fixture
def ambiguous(plain, hasty):
    """The same; only for the format that east issues too."""
    assert plain == hasty.token_provider
    return plain


@pytest.mark.usefixtures("ambiguous")
def test_what_east_issues_itself_is_easts_until_its_operator_says_otherwise(visitor, elder, hasty):
    token = visitor.login()
    assert hasty.lets_in(token)
    with (
        elder.noting() as seen,
        KeystoneBeside(hasty, {"alliance": {"accept_untagged": "true"}}) as cautious,
    ):
        assert cautious.ask("GET", "/auth/projects", token).status == 401
        assert not seen.has(token)
        warning = "Untagged tokens of formats that this cloud issues itself"
        assert warning in cautious.log.read_text()
