"""Nothing that a west user sends to east touches north's domain there."""

import itertools

import pytest

from tests.kit import http


@pytest.fixture(scope="module")
def guest(west, east):
    person = west.person(roles=("member", "reader"))
    east.agree("west", person.project)
    return person


@pytest.fixture(scope="module")
def norths_guest(north, east):
    """A north user who has been at east, so that there is something to harm."""
    person = north.person(roles=("member", "reader"))
    east.agree("north", person.project)
    assert east.lets_in(person.login())
    return person


def domain_of(cloud, partner: str) -> str:
    return cloud.told("partner", "show", partner)["domain_id"]


def everything_in(cloud, domain: str) -> dict[str, list]:
    """All that a Keystone's database has of a domain: users, projects, grants, credentials."""
    inside = "(SELECT id FROM user WHERE domain_id = ?)"
    projects = "(SELECT id FROM project WHERE domain_id = ?)"
    queries = {
        "domain": "SELECT * FROM project WHERE id = ?",
        "user": "SELECT id, extra, enabled FROM user WHERE domain_id = ?",
        "federated_user": f"SELECT * FROM federated_user WHERE user_id IN {inside}",
        "project": "SELECT * FROM project WHERE domain_id = ?",
        "grants of users": f"SELECT * FROM assignment WHERE actor_id IN {inside}",
        "grants in projects": f"SELECT * FROM assignment WHERE target_id IN {projects}",
        "credential": f"SELECT * FROM credential WHERE user_id IN {inside}",
        "provider": "SELECT * FROM identity_provider WHERE domain_id = ?",
        "app credential": f"SELECT id FROM application_credential WHERE user_id IN {inside}",
        "trust": f"SELECT id FROM trust WHERE trustor_user_id IN {inside}",
        "group": "SELECT * FROM 'group' WHERE domain_id = ?",
    }
    return {what: sorted(map(str, cloud.rows(sql, domain))) for what, sql in queries.items()}


def attempts(east, token: str, guest, norths_guest, domain: str):
    """Every body for `POST /v3/auth/tokens` that a west user could make of what they know."""
    federated = {"identity_provider": "north", "protocol": "alliance"}
    methods = {
        "token": {"id": token},
        "mapped": {**federated, "id": token},
        "saml2": {**federated, "id": token},
        "openid": {**federated, "id": token},
        "alliance": {**federated, "id": token},
        "password": {"user": {"id": norths_guest.id, "password": "guessed-guessed"}},
        "external": {},
    }
    project = east.rows("SELECT id FROM project WHERE domain_id = ? AND is_domain = 0", domain)
    scopes = {
        None: None,
        "unscoped": "unscoped",
        "project": {"project": {"id": project[0][0]}},
        "domain": {"domain": {"id": domain}},
        "system": {"system": {"all": True}},
    }
    chosen = [
        combination
        for size in (1, 2, 3)
        for combination in itertools.permutations(methods, size)
        if size < 3 or combination[0] == "token"
    ]
    for combination, scope in itertools.product(chosen, scopes.values()):
        identity = {"methods": list(combination), **{name: methods[name] for name in combination}}
        auth = {"identity": identity, **({"scope": scope} if scope else {})}
        yield {"auth": auth}


def test_no_combination_of_methods_reaches_another_partners_domain(east, guest, norths_guest):
    domain = domain_of(east, "north")
    before = everything_in(east, domain)
    assert before["user"]
    assert before["grants in projects"]
    token = guest.login()
    url = f"{east.identity}/auth/tokens"
    bodies = list(attempts(east, token, guest, norths_guest, domain))
    sent = [
        (url, http.request("POST", url, headers, body))
        for body in bodies
        for headers in ({}, {"X-Auth-Token": token})
    ]
    west_domain = domain_of(east, "west")
    for start in range(0, len(sent), 40):
        for answer in http.burst(sent[start : start + 40]):
            assert answer.status in (201, 400, 401, 403, 404, 429, 500, 503), answer
            assert answer.status != 500, answer.body
            if answer.status == 201:
                user = answer.json()["token"]["user"]
                assert user["domain"]["id"] == west_domain
    assert everything_in(east, domain) == before


def test_the_public_routes_of_federation_create_nothing(east, guest):
    domain = domain_of(east, "north")
    before = everything_in(east, domain)
    token = guest.login()
    for provider in ("north", "west"):
        for path in (
            f"/OS-FEDERATION/identity_providers/{provider}/protocols/alliance/auth",
            f"/auth/OS-FEDERATION/identity_providers/{provider}/protocols/alliance/websso",
            "/auth/OS-FEDERATION/websso/alliance",
        ):
            for method, headers in itertools.product(
                ("GET", "POST"), ({}, {"X-Auth-Token": token}, {"X-Subject-Token": token})
            ):
                query = "?origin=http://127.0.0.1" if "websso" in path else ""
                answer = http.send(method, f"{east.identity}{path}{query}", headers, {})
                assert answer.status in (400, 401, 403, 404, 405), (path, answer)
    assert everything_in(east, domain) == before


def test_a_guests_token_gives_no_power_over_another_partners_objects(east, guest, norths_guest):
    domain = domain_of(east, "north")
    before = everything_in(east, domain)
    token = guest.login()
    user = east.rows("SELECT user_id FROM federated_user WHERE unique_id = ?", norths_guest.id)
    project = east.rows("SELECT id FROM project WHERE domain_id = ? AND is_domain = 0", domain)
    user_id, project_id = user[0][0], project[0][0]
    role = east.roles["member"]
    for method, path, body in [
        ("PUT", f"/projects/{project_id}/users/{user_id}/roles/{role}", None),
        ("PATCH", f"/users/{user_id}", {"user": {"enabled": False}}),
        ("PATCH", f"/projects/{project_id}", {"project": {"enabled": False}}),
        ("POST", "/projects", {"project": {"name": "mine", "domain_id": domain}}),
        ("POST", "/users", {"user": {"name": "mine", "domain_id": domain}}),
        (
            "POST",
            f"/users/{user_id}/application_credentials",
            {"application_credential": {"name": "mine"}},
        ),
        ("POST", "/credentials", {"credential": {"user_id": user_id, "type": "totp", "blob": "A"}}),
        ("POST", f"/users/{user_id}/credentials/OS-EC2", {"tenant_id": project_id}),
        ("DELETE", f"/users/{user_id}", None),
    ]:
        assert east.ask(method, path, token, body).status in (401, 403, 404), path
    assert everything_in(east, domain) == before
