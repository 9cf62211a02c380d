"""What would outlive a login at home is not to be had abroad, unless an agreement allows it."""

import base64
import hashlib
import hmac
import json
import secrets
import time
import uuid
from urllib.parse import parse_qs, quote

import pytest

from tests.kit import http, known_secrets
from tests.kit.people import Person
from tests.kit.waiting import until

ROLES = ("member", "reader")


class Guest:
    """A west user with a west token, at east. Its methods ask for what outlives the token, and
    return Keystone's answer; `by` is the token of somebody else who asks."""

    def __init__(self, east, person: Person):
        self.east, self.person = east, person
        self.token = person.login()
        body = east.validate(self.token).json()["token"]
        self.id, self.project_id = body["user"]["id"], body["project"]["id"]

    def _post(self, path: str, body, by: str | None = None) -> http.Answer:
        return self.east.ask("POST", path, by or self.token, body)

    def application_credential(self, by: str | None = None) -> http.Answer:
        made = {"name": uuid.uuid4().hex, "roles": [{"name": role} for role in ROLES]}
        path = f"/users/{self.id}/application_credentials"
        return self._post(path, {"application_credential": made}, by)

    def ec2(self, by: str | None = None) -> http.Answer:
        path = f"/users/{self.id}/credentials/OS-EC2"
        return self._post(path, {"tenant_id": self.project_id}, by)

    def ec2_by_hand(self, by: str | None = None) -> http.Answer:
        blob = {"access": uuid.uuid4().hex, "secret": secrets.token_hex(16)}
        return self._credential("ec2", json.dumps(blob), by)

    def totp(self, by: str | None = None) -> http.Answer:
        return self._credential("totp", "GEZDGNBVGY3TQOJQGEZDGNBVGY", by)

    def _credential(self, kind: str, blob: str, by: str | None) -> http.Answer:
        made = {"type": kind, "blob": blob, "user_id": self.id, "project_id": self.project_id}
        return self._post("/credentials", {"credential": made}, by)

    def trust(self) -> http.Answer:
        trust = {
            "trustor_user_id": self.id,
            "trustee_user_id": self.east.person().id,
            "project_id": self.project_id,
            "impersonation": True,
            "roles": [{"name": role} for role in ROLES],
        }
        return self._post("/OS-TRUST/trusts", {"trust": trust})

    def oauth(self) -> http.Answer:
        """Lets a consumer act for the guest: by Keystone's policy, administrators only."""
        consumer = self.east.do("POST", "/OS-OAUTH1/consumers", {"consumer": {}})["consumer"]
        url = f"{self.east.identity}/OS-OAUTH1/request_token"
        headers = {"Requested-Project-Id": self.project_id, **signed(url, consumer)}
        answer = http.send("POST", url, headers)
        assert answer.status == 201, answer.body
        (request,) = parse_qs(answer.body.decode())["oauth_token"]
        roles = {"roles": [{"id": self.east.roles["member"]}]}
        return self.east.ask("PUT", f"/OS-OAUTH1/authorize/{request}", self.token, roles)


def signed(url: str, consumer: dict) -> dict[str, str]:
    """RFC 5849 §3.4.2, for a request without a token."""
    values = {
        "oauth_callback": "oob",
        "oauth_consumer_key": consumer["id"],
        "oauth_nonce": secrets.token_hex(8),
        "oauth_signature_method": "HMAC-SHA1",
        "oauth_timestamp": str(int(time.time())),
        "oauth_version": "1.0",
    }
    pairs = "&".join(f"{name}={quote(value, safe='')}" for name, value in sorted(values.items()))
    text = "&".join(["POST", quote(url, safe=""), quote(pairs, safe="")])
    mac = hmac.digest(f"{consumer['secret']}&".encode(), text.encode(), hashlib.sha1)
    values["oauth_signature"] = base64.b64encode(mac).decode()
    fields = ", ".join(f'{name}="{quote(value, safe="")}"' for name, value in values.items())
    return {"Authorization": f"OAuth {fields}"}


class Credential:
    """An application credential that a guest has made, where the agreement allows it."""

    def __init__(self, guest: Guest):
        self.guest, self.east = guest, guest.east
        answer = guest.application_credential()
        assert answer.status == 201, answer.body
        made = answer.json()["application_credential"]
        known_secrets.note(made["secret"], "secret")
        self._shown = {"id": made["id"], "secret": made["secret"]}
        self.token = until(
            lambda: self.log_in().headers.get("x-subject-token"), "home has answered"
        )

    def log_in(self) -> http.Answer:
        return self.east.auth({"application_credential": self._shown})

    def statuses(self) -> tuple[int, int]:
        """Of its token, and of a login with it."""
        return self.east.validate(self.token).status, self.log_in().status


DOORS = [Guest.application_credential, Guest.ec2, Guest.ec2_by_hand, Guest.totp, Guest.trust]


def visitor(west, east, roles=ROLES, *more: str) -> Guest:
    person = west.person(roles=roles)
    east.agree("west", person.project, roles, *more)
    return Guest(east, person)


def refusal(answer: http.Answer) -> str:
    assert answer.status == 403, answer.body
    return answer.json()["error"]["message"]


@pytest.fixture(scope="module")
def guest(west, east) -> Guest:
    return visitor(west, east)


@pytest.mark.parametrize("door", DOORS, ids=lambda door: door.__name__)
def test_a_guest_has_no_second_door_and_is_told_so(guest, door):
    assert "would outlive the login there" in refusal(door(guest))


def test_not_even_a_guest_who_administers_a_project_lets_a_consumer_in(west, east):
    administrator = visitor(west, east, (*ROLES, "admin"))
    assert "has no OAuth tokens here" in refusal(administrator.oauth())


@pytest.mark.parametrize("door", [Guest.ec2_by_hand, Guest.totp], ids=lambda door: door.__name__)
def test_an_administrator_makes_none_for_a_guest(east, guest, door):
    assert "has no " in refusal(door(guest, by=east.admin))


#: Seconds; instead of a minute.
STALENESS = 8
WORKS, REFUSED = (200, 201), (404, 401)


@pytest.fixture(scope="module")
def brisk(east):
    """East asks home again after a few seconds, also where Keystone remembers a token."""
    keystone = {"token": {"cache_time": 2}, "alliance": {"max_staleness": STALENESS}}
    with east.configured(keystone=keystone, alliance={"tokens": {"max_staleness": STALENESS}}):
        yield east


@pytest.fixture
def credential(west, brisk) -> Credential:
    made = Credential(visitor(west, brisk, ROLES, "--allow", "application-credentials"))
    assert made.statuses() == WORKS
    return made


def becomes(credential: Credential, statuses: tuple[int, int]) -> None:
    until(lambda: credential.statuses() == statuses, f"{statuses}", deadline=2 * STALENESS)


def test_an_agreement_allows_what_it_names_and_nothing_else(credential):
    assert "has no EC2 credentials here" in refusal(credential.guest.ec2())
    shown = credential.east.told("agreement", "list", "--partner", "west")
    project_id = credential.guest.person.project.id
    (agreement,) = [one for one in shown if one["projects"] == project_id]
    assert agreement["allow"] == ["application-credentials"]


def test_a_user_who_is_disabled_at_home_is_out_until_enabled_again(west, credential):
    path = f"/users/{credential.guest.person.id}"
    west.do("PATCH", path, {"user": {"enabled": False}})
    becomes(credential, REFUSED)
    west.do("PATCH", path, {"user": {"enabled": True}})
    becomes(credential, WORKS)


def test_also_behind_the_back_of_homes_keystone(west, credential):
    for enabled, statuses in ((False, REFUSED), (True, WORKS)):
        west.write("UPDATE user SET enabled = ? WHERE id = ?", enabled, credential.guest.person.id)
        west.forget()
        becomes(credential, statuses)


def test_a_logout_at_home_leaves_it(west, credential):
    token = credential.guest.token
    assert west.ask("DELETE", "/auth/tokens", token, X_Subject_Token=token).status == 204
    until(lambda: credential.east.validate(token).status == 404, "the login has ended", deadline=5)
    assert credential.statuses() == WORKS


def test_a_home_that_is_silent_is_bridged_and_ends_nothing(west, credential):
    with west.stopped("alliance"):
        until(
            lambda: (
                credential.east.validate(credential.token).status == 200
                and credential.east.lets_in(credential.guest.token) is False
            ),
            "an ordinary token is refused, the credential's is not",
            deadline=4 * STALENESS,
        )
        assert credential.log_in().status == 201
    becomes(credential, WORKS)


def test_what_the_agreement_no_longer_allows_is_refused(west, credential):
    east, project = credential.east, credential.guest.person.project
    east.end("west", project.id)
    assert credential.statuses() == REFUSED
    east.agree("west", project, ROLES)
    assert credential.statuses() == REFUSED
