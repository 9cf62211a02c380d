"""Tokens whose power may not cross a border."""

import secrets

import pytest

from tests.kit import known_secrets
from tests.kit.waiting import until


def refused(cloud, token: str) -> bool:
    return (
        not cloud.lets_in(token) and cloud.validate(token).status == 404 and not cloud.sells(token)
    )


def reason(cloud, token: str) -> str:
    return cloud.alliance("token", "validate", "-", status=1, stdin=token).stdout


@pytest.fixture(scope="module")
def guest(west, east):
    person = west.person(roles=("member", "reader"))
    east.agree("west", person.project)
    return person


def ends_at_home(west, token: str) -> None:
    until(lambda: west.validate(token).status == 404, "home has revoked the token that was seen")


def test_an_admins_token_is_refused_and_revoked_at_home(west, east):
    person = west.person(roles=("admin", "member"))
    east.agree("west", person.project)
    token = person.login()
    assert west.lets_in(token)
    assert refused(east, token)
    ends_at_home(west, token)
    assert "admin_role" in east.log("alliance").read_text()
    assert "admin_role" in west.log("alliance").read_text()


def test_an_admins_token_is_let_in_where_the_agreement_names_that_role(west, east):
    person = west.person(roles=("admin",))
    east.agree("west", person.project, ("admin",))
    token = person.login()
    assert east.lets_in(token)
    assert west.lets_in(token)


def test_a_system_scoped_token_is_refused_and_revoked_at_home(west, east):
    token = west.login_as("admin", scope={"system": {"all": True}})
    assert refused(east, token)
    ends_at_home(west, token)


def test_a_domain_scoped_token_is_refused(west, east):
    domain = west.domain()
    person = west.person(domain=domain)
    path = f"/domains/{domain.id}/users/{person.id}/roles/{west.roles['member']}"
    west.do("PUT", path)
    token = west.login(person.id, person.password, {"domain": {"id": domain.id}})
    assert "domain_scope" in reason(east, token)
    assert refused(east, token)


def test_an_application_credentials_token_is_refused(west, east, guest):
    secret = known_secrets.note(secrets.token_urlsafe(24), "application credential")
    body = {"application_credential": {"name": secret[:8], "secret": secret}}
    path = f"/users/{guest.id}/application_credentials"
    made = west.ask("POST", path, guest.login(), body)
    assert made.status == 201, made.body
    credential = {"id": made.json()["application_credential"]["id"], "secret": secret}
    answer = west.auth({"application_credential": credential})
    assert answer.status == 201, answer.body
    token = answer.headers["x-subject-token"]
    assert west.lets_in(token)
    assert "application_credential" in reason(east, token)
    assert refused(east, token)


def test_a_trusts_token_is_refused(west, east, guest):
    trustee = west.person()
    body = {
        "trust": {
            "trustor_user_id": guest.id,
            "trustee_user_id": trustee.id,
            "project_id": guest.project.id,
            "impersonation": True,
            "roles": [{"name": "member"}],
        }
    }
    made = west.ask("POST", "/OS-TRUST/trusts", guest.login(), body)
    assert made.status == 201, made.body
    scope = {"OS-TRUST:trust": {"id": made.json()["trust"]["id"]}}
    token = west.login(trustee.id, trustee.password, scope)
    assert west.lets_in(token)
    assert "trust" in reason(east, token)
    assert refused(east, token)


def test_an_unscoped_token_is_let_in_without_any_right(west, east, guest):
    token = guest.unscoped()
    assert east.lets_in(token)
    assert east.images(token) in (401, 403)
    told = east.validate(token).json()["token"]
    assert "roles" not in told
    assert "project" not in told


def test_a_guests_token_does_not_go_on_to_a_third_cloud(west, east, north, guest):
    """north trusts east, east trusts west: that is no trust of north in west."""
    north.agree("east", "*", ("member", "reader"))
    try:
        bought = east.sells(guest.login())
        assert east.lets_in(bought)
        assert "transitive" in reason(north, bought)
        assert refused(north, bought)
    finally:
        north.end("east", "*")


def test_a_guest_gets_no_second_door(west, east, guest):
    token = guest.login()
    told = east.validate(token).json()["token"]
    secret = known_secrets.note(secrets.token_urlsafe(24), "application credential")
    body = {"application_credential": {"name": "door", "secret": secret}}
    path = f"/users/{told['user']['id']}/application_credentials"
    made = east.ask("POST", path, token, body)
    assert made.status == 403
    assert "guest" in made.json()["error"]["message"]


def test_admin_and_system_tokens_show_no_partner_regions(west, east):
    person = west.person(roles=("admin",))
    east.agree("west", person.project)
    for token in (person.login(), west.login_as("admin", scope={"system": {"all": True}})):
        catalog = west.validate(token).json()["token"]["catalog"]
        regions = {point["region"] for service in catalog for point in service["endpoints"]}
        assert regions <= {"west"}
