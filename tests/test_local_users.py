"""For local users a Keystone with the plugin is a Keystone without it.

Two further Keystones on the database and the keys of one cloud, one stock and one with the plugin,
are asked the same; their answers are compared field by field.
"""

import configparser
import re
import secrets

import pytest

from tests.kit import known_secrets
from tests.kit.keystone_beside import STOCK, KeystoneBeside
from tests.kit.waiting import until

#: A SAML or OIDC-style login beside Alliance, as an operator has set it up.
FEDERATION = {
    "auth": {"methods": "password,token,application_credential,openid"},
    "openid": {"remote_id_attribute": "OIDC_ISS"},
}
ISSUER = "https://login.example/realm"

#: What differs from one token to the next.
VOLATILE = {"issued_at", "expires_at", "audit_ids", "x-openstack-request-id", "date"}
VOLATILE |= {"x-subject-token", "content-length"}
#: What Keystone makes from sets.
UNORDERED = {"roles", "methods"}


@pytest.fixture(scope="module")
def stock(east):
    settings = {**STOCK, **FEDERATION}
    with KeystoneBeside(east, settings, plugin=False, module="sso_front") as keystone:
        yield keystone


@pytest.fixture(scope="module")
def plugin(east):
    with KeystoneBeside(east, FEDERATION, module="sso_front") as keystone:
        yield keystone


@pytest.fixture(params=["stock", "plugin"])
def keystone(request):
    return request.getfixturevalue(request.param)


@pytest.fixture(scope="module")
def person(east):
    person = east.person(roles=("member", "reader"))
    other = east.project()
    east.grant(person, "member", other)
    return person


def shape(value):
    """An answer without what is new each time."""
    if isinstance(value, dict):
        kept = {name: "…" if name in VOLATILE else shape(inner) for name, inner in value.items()}
        unordered = {name: sorted(kept[name], key=str) for name in UNORDERED & kept.keys()}
        return {**kept, **unordered}
    if isinstance(value, list):
        return [shape(inner) for inner in value]
    return value


def seen(answer) -> tuple:
    return (
        answer.status,
        shape(answer.headers),
        shape(answer.json()) if answer.body else None,
    )


def same(stock, plugin, method: str, path: str, token=None, body=None, **headers) -> None:
    one, other = (each.ask(method, path, token, body, **headers) for each in (stock, plugin))
    assert seen(other) == seen(one), f"{method} {path}"


def password(person, scope=None, **more) -> dict:
    user = {"id": person.id, "password": person.password}
    identity = {"methods": ["password"], "password": {"user": user}}
    return {"auth": {"identity": identity, **({"scope": scope} if scope else {}), **more}}


def scopes(person) -> list:
    return [
        None,
        "unscoped",
        {"project": {"id": person.project.id}},
        {"project": {"name": person.project.name, "domain": {"id": "default"}}},
        {"project": {"id": "0" * 32}},
        {"domain": {"id": "default"}},
        {"system": {"all": True}},
    ]


def issue(keystone, person) -> str:
    body = password(person, {"project": {"id": person.project.id}})
    answer = keystone.ask("POST", "/auth/tokens", body=body)
    assert answer.status == 201
    return known_secrets.note_token(answer.headers["x-subject-token"])


@pytest.mark.parametrize("index", range(7))
def test_a_token_is_issued_as_by_a_stock_keystone(stock, plugin, person, index):
    same(stock, plugin, "POST", "/auth/tokens", body=password(person, scopes(person)[index]))


def test_a_token_without_catalog_is_issued_as_by_a_stock_keystone(stock, plugin, person):
    body = password(person, {"project": {"id": person.project.id}})
    same(stock, plugin, "POST", "/auth/tokens?nocatalog", body=body)


def test_an_admins_and_a_system_token_are_issued_as_by_a_stock_keystone(stock, plugin, east):
    for scope in ({"system": {"all": True}}, None):
        tokens = [east.login_as("admin", scope=scope)]
        identity = {"methods": ["token"], "token": {"id": tokens[0]}}
        body = {"auth": {"identity": identity, **({"scope": scope} if scope else {})}}
        # Tokens of the cloud carry its tag; a stock Keystone knows them without.
        stocks = {**identity, "token": {"id": tokens[0].partition("~")[2]}}
        one = stock.ask("POST", "/auth/tokens", body={"auth": {**body["auth"], "identity": stocks}})
        other = plugin.ask("POST", "/auth/tokens", body=body)
        assert seen(other) == seen(one)


@pytest.mark.parametrize(
    "change",
    [
        {"password": "wrong"},
        {"id": "0" * 32},
        {"name": "nobody", "domain": {"id": "default"}, "id": None},
        {"password": None},
    ],
)
def test_a_failed_login_fails_as_at_a_stock_keystone(stock, plugin, person, change):
    body = password(person)
    user = body["auth"]["identity"]["password"]["user"]
    user.update(change)
    for name in [name for name, value in user.items() if value is None]:
        del user[name]
    same(stock, plugin, "POST", "/auth/tokens", body=body)


def test_malformed_logins_fail_as_at_a_stock_keystone(stock, plugin):
    for body in (
        {},
        {"auth": {}},
        {"auth": {"identity": {"methods": []}}},
        {"auth": {"identity": {"methods": ["alliance"], "alliance": {}}}},
        {"auth": {"identity": {"methods": ["token"], "token": {"id": "rubbish"}}}},
        {"auth": {"identity": {"methods": ["token"], "token": {}}}},
        {"auth": {"identity": {"methods": ["password"]}}},
    ):
        same(stock, plugin, "POST", "/auth/tokens", body=body)


def test_a_token_is_validated_as_by_a_stock_keystone(stock, plugin, person, east):
    told = []
    for keystone in (stock, plugin):
        token = issue(keystone, person)
        told.append(
            [
                seen(keystone.ask(method, path, token, X_Subject_Token=token))
                for method in ("GET", "HEAD")
                for path in (
                    "/auth/tokens",
                    "/auth/tokens?nocatalog",
                    "/auth/tokens?allow_expired=1",
                )
            ]
            + [
                seen(keystone.ask("GET", path, token))
                for path in ("/auth/catalog", "/auth/projects", "/auth/domains", "/auth/system")
            ]
            + [seen(keystone.ask("GET", f"/users/{person.id}", token))]
            + [seen(keystone.ask("GET", "/users", token))]
        )
    assert told[1] == told[0]


def test_strings_that_are_no_tokens_are_refused_as_by_a_stock_keystone(stock, plugin, person):
    tokens = [issue(keystone, person) for keystone in (stock, plugin)]
    for wrong in ("", "rubbish", "gAAAAABrubbish", "0" * 32, "a" * 300, "x.y.z", "é"):
        answers = [
            (
                seen(keystone.ask("GET", "/auth/projects", wrong)),
                seen(keystone.ask("GET", "/auth/tokens", token, X_Subject_Token=wrong)),
                seen(keystone.ask("DELETE", "/auth/tokens", token, X_Subject_Token=wrong)),
            )
            for keystone, token in zip((stock, plugin), tokens)
        ]
        assert answers[1] == answers[0], wrong


def is_refused(keystone, token: str) -> bool:
    """Whoever of two processes answers."""
    return {keystone.ask("GET", "/auth/projects", token).status for _ in range(8)} == {401}


def test_a_token_is_revoked_as_by_a_stock_keystone(stock, plugin, person):
    told = []
    for keystone in (stock, plugin):
        token, other = issue(keystone, person), issue(keystone, person)
        bought = keystone.ask(
            "POST",
            "/auth/tokens",
            body={"auth": {"identity": {"methods": ["token"], "token": {"id": token}}}},
        )
        derived = known_secrets.note_token(bought.headers["x-subject-token"])
        revoked = seen(keystone.ask("DELETE", "/auth/tokens", token, X_Subject_Token=token))
        if keystone is stock:
            # Another of its processes may serve it for a moment; with the plugin none does.
            until(lambda gone=token: is_refused(stock, gone), "each of its processes refuses it")
        told.append(
            [
                seen(bought),
                revoked,
                seen(keystone.ask("GET", "/auth/tokens", other, X_Subject_Token=token)),
                seen(keystone.ask("GET", "/auth/tokens", other, X_Subject_Token=derived)),
                seen(keystone.ask("GET", "/auth/projects", token)),
                seen(keystone.ask("GET", "/auth/projects", other)),
                seen(keystone.ask("DELETE", "/auth/tokens", other, X_Subject_Token=token)),
            ]
        )
    assert told[1] == told[0]


def test_a_token_issued_without_the_plugin_goes_on_with_it(stock, plugin, person):
    """As while it is rolled out, node by node."""
    token = issue(stock, person)
    assert plugin.ask("GET", "/auth/projects", token).status == 200
    tagged = issue(plugin, person)
    assert "~" in tagged
    assert stock.ask("GET", "/auth/projects", tagged).status == 401
    with_tag_off = tagged.partition("~")[2]
    assert stock.ask("GET", "/auth/projects", with_tag_off).status == 200


def test_trusts_and_application_credentials_work_as_at_a_stock_keystone(
    stock, plugin, east, person
):
    trustee = east.person()
    told = []
    for keystone in (stock, plugin):
        token = issue(keystone, person)
        trust = {
            "trustor_user_id": person.id,
            "trustee_user_id": trustee.id,
            "project_id": person.project.id,
            "impersonation": False,
            "roles": [{"name": "member"}],
        }
        made = keystone.ask("POST", "/OS-TRUST/trusts", token, {"trust": trust})
        assert made.status == 201, made.body
        scope = {"OS-TRUST:trust": {"id": made.json()["trust"]["id"]}}
        trusted = keystone.ask("POST", "/auth/tokens", body=password(trustee, scope))
        secret = known_secrets.note(secrets.token_urlsafe(24), "application credential")
        credential = {"name": secret[:8], "secret": secret}
        path = f"/users/{person.id}/application_credentials"
        stored = keystone.ask("POST", path, token, {"application_credential": credential})
        assert stored.status == 201, stored.body
        method = {"id": stored.json()["application_credential"]["id"], "secret": secret}
        identity = {"methods": ["application_credential"], "application_credential": method}
        applied = keystone.ask("POST", "/auth/tokens", body={"auth": {"identity": identity}})
        told.append([without_ids(seen(trusted)), without_ids(seen(applied))])
    assert told[1] == told[0]


def without_ids(told) -> str:
    """Of the trust and the credential, which are new each time."""
    return re.sub(r"('(?:id|name)'): '[0-9a-zA-Z_-]{8,32}'", r"\1: '…'", str(told))


@pytest.fixture(scope="module")
def sso(east):
    """An identity provider with a mapping, its users in a domain of their own."""
    domain, name = east.domain(), f"sso-{secrets.token_hex(4)}"
    project = east.project(domain=domain)
    base = "/OS-FEDERATION"
    provider = {"remote_ids": [f"{ISSUER}/{name}"], "enabled": True, "domain_id": domain.id}
    east.do("PUT", f"{base}/identity_providers/{name}", {"identity_provider": provider})
    rules = [
        {
            "local": [
                {"user": {"name": "{0}", "email": "{1}"}},
                {"projects": [{"name": project.name, "roles": [{"name": "member"}]}]},
            ],
            "remote": [
                {"type": "OIDC_SUB"},
                {"type": "OIDC_EMAIL"},
                {"type": "OIDC_ISS", "any_one_of": [f"{ISSUER}/{name}"]},
            ],
        }
    ]
    east.do("PUT", f"{base}/mappings/{name}", {"mapping": {"rules": rules}})
    path = f"{base}/identity_providers/{name}/protocols/openid"
    east.do("PUT", path, {"protocol": {"mapping_id": name}})
    return f"{path}/auth", f"{ISSUER}/{name}", project


def assertion(issuer: str, who: str) -> dict[str, str]:
    return {
        "X_Assertion_Oidc_Iss": issuer,
        "X_Assertion_Oidc_Sub": who,
        "X_Assertion_Oidc_Email": f"{who}@login.example",
    }


def test_a_mapped_login_works_as_at_a_stock_keystone(stock, plugin, sso):
    path, issuer, project = sso
    told = []
    for keystone in (stock, plugin):
        login = keystone.ask("GET", path, **assertion(issuer, "carol"))
        assert login.status == 201, login.body
        token = known_secrets.note_token(login.headers["x-subject-token"])
        scope = {"project": {"id": project.id}}
        identity = {"methods": ["token"], "token": {"id": token}}
        body = {"auth": {"identity": identity, "scope": scope}}
        scoped = keystone.ask("POST", "/auth/tokens", body=body)
        assert scoped.status == 201, scoped.body
        other = known_secrets.note_token(scoped.headers["x-subject-token"])
        told.append(
            [
                seen(login),
                seen(scoped),
                seen(keystone.ask("GET", "/auth/projects", token)),
                seen(keystone.ask("GET", "/auth/tokens", other, X_Subject_Token=other)),
                seen(keystone.ask("GET", "/auth/catalog", other)),
                seen(keystone.ask("DELETE", "/auth/tokens", token, X_Subject_Token=token)),
                seen(keystone.ask("GET", "/auth/projects", token)),
            ]
        )
    assert told[1] == told[0]


def test_a_mapped_login_that_fails_does_as_at_a_stock_keystone(stock, plugin, sso):
    path, issuer, _ = sso
    for sent in (
        {},
        assertion("https://elsewhere.example", "carol"),
        {**assertion(issuer, "carol"), "X_Assertion_Oidc_Sub": ""},
    ):
        same(stock, plugin, "GET", path, **sent)
    unknown = path.replace("/auth", "x/auth")
    same(stock, plugin, "GET", unknown, **assertion(issuer, "carol"))


def test_a_mapped_login_is_no_way_into_a_partners_domain(plugin, east):
    """Who can make assertions for the cloud's own identity provider gets none of a partner's."""
    for provider in ("west", "north"):
        path = f"/OS-FEDERATION/identity_providers/{provider}/protocols/alliance/auth"
        before = east.rows("SELECT count(*) FROM user")
        answer = plugin.ask("GET", path, **assertion(ISSUER, "mallory"))
        assert answer.status in (400, 401, 403), answer
        assert east.rows("SELECT count(*) FROM user") == before


def test_the_options_of_federation_are_those_that_the_operator_set(east):
    """The plugin has a driver and an auth method, and needs no other of their options."""
    configuration = (east.folder / "keystone" / "keystone.conf").read_text()
    # oslo.config's [DEFAULT] is a section like others, and a section may stand there twice.
    sections = configparser.ConfigParser(default_section="", interpolation=None, strict=False)
    sections.read_string(configuration)
    assert dict(sections["federation"]) == {"driver": "alliance"}
    assert set(sections["auth"]) == {"methods"}
    known = "external,password,token,oauth1,mapped,application_credential"
    assert sections["auth"]["methods"] == f"{known},alliance"
