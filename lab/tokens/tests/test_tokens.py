import json
import re
import secrets
from pathlib import Path

import pytest
from conftest import PROVIDERS
from keystone.token import provider as token_provider
from keystoneclient.common import cms

SHAPES = {"uuid": r"[0-9a-f]{32}", "pki": r"MII[A-Za-z0-9+-]+=*", "pkiz": r"PKIZ_[\w-]+=*"}
DOMAIN = {"domain": {"id": "default"}}


def forget():
    """What Keystone has cached, so that the provider is asked."""
    token_provider.TOKENS_REGION.invalidate()


def issued(answer):
    assert answer.status_code == 201, answer.text
    return answer.headers["X-Subject-Token"]


def validated(api, token):
    forget()
    return api.validate(token, token)


def trusted(api):
    """The answer for a trust of the admin with themselves, impersonating."""
    own = api.password()
    user = own.json["token"]["user"]["id"]
    project = own.json["token"]["project"]["id"]
    role = {"name": "member"}
    trust = {
        "trustor_user_id": user,
        "trustee_user_id": user,
        "project_id": project,
        "impersonation": True,
        "roles": [role],
    }
    body = {"trust": trust}
    made = api.request("POST", "/v3/OS-TRUST/trusts", issued(own), body=body)
    assert made.status_code == 201, made.text
    return api.password(scope={"OS-TRUST:trust": {"id": made.json["trust"]["id"]}})


LOGINS = {
    "unscoped": lambda api: api.password(scope=None),
    "project": lambda api: api.password(),
    "system": lambda api: api.password(scope="system"),
    "domain": lambda api: api.password(scope=DOMAIN),
    "rescoped": lambda api: api.rescope(issued(api.password(scope=None)), scope=DOMAIN),
    "trust": trusted,
}


@pytest.fixture(autouse=True)
def admin_of_the_domain(api):
    user = PROVIDERS.identity_api.get_user_by_name("admin", "default")["id"]
    role = next(r["id"] for r in PROVIDERS.role_api.list_roles() if r["name"] == "admin")
    PROVIDERS.assignment_api.create_grant(role, user_id=user, domain_id="default")


@pytest.mark.parametrize("login", LOGINS.values(), ids=LOGINS)
def test_a_validation_answers_what_the_login_did(api, name, login):
    answer = login(api)
    assert re.fullmatch(SHAPES[name], issued(answer))
    assert validated(api, issued(answer)).json == answer.json


def test_a_token_is_known_to_another_worker_and_no_other_string_is(api, name, monkeypatch):
    token = issued(api.password())
    monkeypatch.setattr(
        PROVIDERS.token_provider_api, "driver", type(PROVIDERS.token_provider_api.driver)()
    )
    assert validated(api, token).status_code == 200
    place = len(token) // 2
    other = "0" if token[place] != "0" else "1"
    for wrong in (token[:place] + other + token[place + 1 :], token[:-4], token[:8], "x", "MII"):
        assert validated(api, wrong).status_code == 401, wrong
        forget()
        assert api.validate(wrong, token).status_code == 404, wrong


def test_a_logout_ends_a_token(api):
    token = issued(api.password())
    assert api.request("DELETE", "/v3/auth/tokens", token, subject=token).status_code == 204
    assert validated(api, token).status_code == 401


@pytest.mark.parametrize("name", ["uuid"])
def test_who_reads_the_folder_of_uuid_tokens_has_none(api, settings):
    token = issued(api.password())
    kept = list(Path(settings.folder).iterdir())
    assert kept
    assert not [file for file in kept if token in file.name or token in file.read_text()]


@pytest.mark.parametrize("name", ["pki", "pkiz"])
def test_a_signed_token_is_the_answer_of_the_login(api, name, settings):
    answer = api.password()
    verify = {"pki": cms.verify_token, "pkiz": cms.pkiz_verify}[name]
    content = verify(issued(answer), settings.signing_cert, settings.ca_certs)
    assert json.loads(content) == answer.json
    assert answer.json["token"]["catalog"]
    assert {"id", "name"} <= answer.json["token"]["roles"][0].keys()


@pytest.mark.parametrize("name", ["pki", "pkiz"])
def test_a_key_is_replaced_without_a_restart_and_the_former_one_counts_until_it_is_retired(
    api, pki_keys
):
    former = issued(api.password())
    pki_keys.replace()
    token = issued(api.password())
    for each in (former, token):
        assert validated(api, each).status_code == 200
    pki_keys.retire()
    assert validated(api, former).status_code == 401
    assert validated(api, token).status_code == 200


@pytest.mark.parametrize("name", ["pki", "pkiz"])
def test_what_no_web_server_lets_through_is_not_issued(api, monkeypatch):
    # Random: nothing to compress.
    catalog = [{"id": secrets.token_hex(16), "name": secrets.token_hex(16)} for _ in range(150)]
    monkeypatch.setattr(PROVIDERS.catalog_api, "get_v3_catalog", lambda *_: catalog)
    answer = api.password()
    assert answer.status_code == 500
    for word in ("8,190 bytes", "Apache and gunicorn", "PKIZ", "catalog"):
        assert word in answer.json["error"]["message"]
