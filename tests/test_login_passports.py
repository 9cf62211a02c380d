"""Logins by passport: the token stays at home."""

import json
import os
import subprocess
import sys
from dataclasses import dataclass

import pytest

from lab import packages
from tests.kit import known_secrets
from tests.kit.people import Person
from tests.kit.waiting import until

pytestmark = pytest.mark.usefixtures("early_passport")


@dataclass
class Traveller:
    person: Person
    token: str


@pytest.fixture
def ann(west, east) -> Traveller:
    """A west user who may come to east."""
    return traveller(west, east)


def traveller(west, east) -> Traveller:
    person = west.person(roles=("member", "reader"))
    east.agree("west", person.project, ("member", "reader"))
    return Traveller(person, person.login())


@pytest.fixture
def by(west, east):
    """How users of west and east log in at the other, until the test ends."""

    def set_login(login: str) -> None:
        for cloud, partner in ((west, "east"), (east, "west")):
            cloud.alliance("partner", "set", partner, "--login", login)

    yield set_login
    set_login("both")


def logged_in(east, passport: str, **more) -> str:
    answer = east.shown(passport, **more)
    assert answer.status == 201, f"{answer.status} {answer.body!r}"
    return answer.headers["x-subject-token"]


def project_at_east(west, ann) -> str:
    """The id of her project there, as home says it."""
    said = west.issues("east", ann.token).json()["error"]["identity"]["alliance"]
    return said["project_id"]


def at_east(west, east, ann) -> str:
    """A token of east for ann's project, bought with a passport."""
    unscoped = logged_in(east, west.passport("east", ann.token))
    token = east.sells(unscoped, {"project": {"id": project_at_east(west, ann)}})
    assert token
    assert east.images(token) == 200
    return token


def test_a_user_logs_in_abroad_and_the_token_stays_at_home(west, east, ann):
    with east.noting() as notes:
        token = at_east(west, east, ann)
        assert notes.requests(), "a positive control"
        assert not notes.has(ann.token)
    body = east.validate(token).json()["token"]
    assert sorted(role["name"] for role in body["roles"]) == ["member", "reader"]
    home = west.validate(ann.token).json()["token"]
    assert body["expires_at"] == home["expires_at"]
    assert body["project"]["name"] == f"{ann.person.project.name}@Default"


def test_each_misuse_has_its_own_reason(west, east, north, ann):
    passport = west.passport("east", ann.token)
    assert north.refuses(passport) == "wrong_audience"
    head, _, signature = passport.rpartition(".")
    altered = f"{head}.{signature[:-6]}{'AAAAAA' if signature[-6:] != 'AAAAAA' else 'BBBBBB'}"
    assert east.refuses(altered) == "bad_signature"
    bound = west.passport("east", ann.token, jkt="k" * 43)
    assert east.refuses(bound) == "no_proof"
    assert east.refuses(bound, proof="a.b.c") == "no_proof"
    assert logged_in(east, passport)
    assert east.refuses(passport) == "replayed"
    introspection = east.judge(ann.token, "--hard")
    assert east.refuses(introspection["passport"]) == "wrong_statement"
    assert east.refuses("junk") == "malformed"


def test_a_passport_is_used_once_whatever_becomes_of_the_daemon(west, east, ann):
    passport = west.passport("east", ann.token)
    assert logged_in(east, passport)
    unused = west.passport("east", ann.token)
    east.restart("alliance")
    assert east.refuses(passport) == "replayed"
    # What has ended meanwhile the new daemon may not know: a newer passport counts.
    assert east.shown(unused).status == 503
    until(
        lambda: east.shown(west.passport("east", ann.token)).status == 201,
        "a login after the restart",
        deadline=5,
    )


def test_a_passport_is_no_token(west, east, ann):
    passport = west.passport("east", ann.token)
    for cloud in (west, east):
        assert not cloud.lets_in(passport)
        assert cloud.validate(passport).status == 404
        assert cloud.sells(passport) is None
    assert logged_in(east, passport)


def test_a_logout_at_home_ends_what_a_passport_bought(west, east, ann):
    token = at_east(west, east, ann)
    unused = west.passport("east", ann.token)
    answer = west.ask("DELETE", "/auth/tokens", ann.token, X_Subject_Token=ann.token)
    assert answer.status == 204
    until(lambda: east.validate(token).status == 404, "east refuses it", deadline=5)
    until(lambda: east.images(token) == 401, "Glance too", deadline=5)
    assert east.refuses(unused) == "revoked"
    assert west.issues("east", ann.token).json()["error"].get("identity", {}).keys() != {"alliance"}


def test_who_may_not_travel_gets_no_passport(west, east, ann):
    def reason(cloud: str, token: str) -> str:
        answer = west.issues(cloud, token)
        assert answer.status == 401
        return answer.json()["error"]["identity"]["alliance"]["reason"]

    assert reason("nowhere", ann.token) == "unknown_partner"
    system = west.login_as("admin", scope={"system": {"all": True}})
    assert reason("east", system) == "system_scope"
    # A guest of west's is none of its own.
    from_east = east.person()
    west.agree("east", from_east.project)
    assert reason("north", from_east.login()) == "transitive"
    # Without an agreement home issues one, and east refuses it.
    stranger = west.person()
    assert east.refuses(west.passport("east", stranger.login())) == "no_agreement"


def test_with_passport_only_a_token_is_refused_and_no_catalog_tempts(west, east, ann, by):
    by("passport")
    assert east.validate(ann.token).status == 404
    assert east.judge(ann.token)["reason"] == "passport_only"
    catalog = west.ask("GET", "/auth/catalog", ann.token).json()["catalog"]
    regions = {found["region"] for service in catalog for found in service["endpoints"]}
    assert "east" not in regions
    assert "west" in regions
    assert at_east(west, east, ann)
    by("bearer")
    assert west.issues("east", ann.token).json()["error"]["identity"]["alliance"] == {
        "reason": "bearer_only"
    }
    assert east.validate(ann.token).status == 200


@pytest.fixture
def openstack(west, ann, tmp_path):
    """Runs the openstack client with a clouds.yaml that has `auth_type: v3alliance`."""
    packages.CLIENT.install(west.lab)
    home = {"auth_url": west.identity, "project_id": ann.person.project.id, "partner": "east"}
    person = {"user_id": ann.person.id, "password": ann.person.password}
    clouds = {
        "east-from-west": {"auth_type": "v3alliance", "auth": {**home, **person}},
        "by-token": {"auth_type": "v3alliancetoken", "auth": {**home, "token": ann.token}},
    }
    path = tmp_path / "clouds.yaml"
    path.write_text(json.dumps({"clouds": clouds}))
    variables = {k: v for k, v in west.variables().items() if not k.startswith("OS_")}
    variables["OS_CLIENT_CONFIG_FILE"] = str(path)
    variables["PYTHONPATH"] = str(packages.CLIENT.path(west.lab))

    def run(cloud: str, *words: str) -> subprocess.CompletedProcess:
        return subprocess.run(
            ["openstack", "--os-cloud", cloud, *words],
            capture_output=True,
            text=True,
            timeout=120,
            env={**os.environ, **variables},
        )

    return run


def test_the_openstack_client_logs_in_by_passport(west, east, ann, openstack):
    image = east.make_image(at_east(west, east, ann), "of-east")
    with east.noting() as notes:
        done = openstack("east-from-west", "image", "list", "-f", "json")
        assert done.returncode == 0, done.stderr
        assert image in [found["ID"] for found in json.loads(done.stdout)]
        assert notes.requests()
        assert not notes.has(ann.token)
    token = openstack("by-token", "token", "issue", "-f", "json")
    assert token.returncode == 0, token.stderr
    issued = json.loads(token.stdout)
    known_secrets.note_token(issued["id"])
    assert issued["id"].startswith(east.tag)
    assert issued["project_id"] == project_at_east(west, ann)


def test_the_client_says_why_a_login_was_refused(west, openstack):
    west.alliance("partner", "set", "east", "--login", "bearer")
    try:
        done = openstack("east-from-west", "image", "list")
    finally:
        west.alliance("partner", "set", "east", "--login", "both")
    assert done.returncode != 0
    assert "home refused the login by passport: bearer_only" in done.stderr


BEHIND_A_BALANCER = """
import sys
from keystoneauth1 import session
from keystoneauth1_alliance import loading


class Session(session.Session):
    \"\"\"Shows so many passports twice, as a balancer does after an answer was lost.\"\"\"

    lost = int(sys.argv[1])

    def post(self, url, json, **options):
        answer = super().post(url, json=json, **options)
        if 'passport' in json['auth']['identity'].get('alliance', ()) and self.lost:
            self.lost -= 1
            answer = super().post(url, json=json, **options)
        return answer


options = dict(zip(('auth_url', 'token', 'partner', 'partner_auth_url'), sys.stdin.read().split()))
print(loading.AllianceToken().load_from_options(**options).get_token(Session()))
"""


@pytest.mark.parametrize("lost", [1, 2])
def test_a_passport_that_was_shown_again_on_its_way_is_replaced_once(west, east, ann, lost):
    packages.CLIENT.install(west.lab)
    done = subprocess.run(
        [sys.executable, "-c", BEHIND_A_BALANCER, str(lost)],
        input=f"{west.identity} {ann.token} east {east.identity}",
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, "PYTHONPATH": str(packages.CLIENT.path(west.lab))},
    )
    if lost == 1:
        assert done.returncode == 0, done.stderr
        token = done.stdout.strip()
        known_secrets.note_token(token)
        assert token.startswith(east.tag)
    else:
        assert "refused the login by passport: replayed" in done.stderr


def test_the_client_needs_nothing_of_keystone(west):
    """Its package is for users: it brings keystoneauth1 and cryptography, not a server."""
    packages.CLIENT.install(west.lab)
    path = str(packages.CLIENT.path(west.lab))
    code = "import sys, keystoneauth1_alliance.loading; print('keystone' in sys.modules)"
    python = [sys.executable, "-c", code]
    done = subprocess.run(
        python, capture_output=True, text=True, timeout=60, env={**os.environ, "PYTHONPATH": path}
    )
    assert done.stdout.strip() == "False", done.stderr
