"""Each decision at the border is an audit event, in a file that may be moved away at any time."""

import json

import pytest

from tests.kit import cadf, known_secrets
from tests.kit.waiting import until

SOON = 30.0


@pytest.fixture(scope="module")
def files(west, east, tmp_path_factory):
    """Of both clouds, by their names."""
    folder = tmp_path_factory.mktemp("audit")
    files = {cloud.name: folder / f"{cloud.name}.log" for cloud in (west, east)}
    for file in files.values():
        known_secrets.note_log(file)

    def settings(cloud):
        return {"alliance": {"audit": {"file": str(files[cloud.name])}}}

    with west.configured(**settings(west)), east.configured(**settings(east)):
        yield files
    for file in files.values():
        cadf.valid(cadf.read(file))


@pytest.fixture
def ann(west, east, files):
    """Of west, and welcome at east."""
    person = west.person()
    east.agree("west", person.project)
    return person


def found(file, event: str, /, **about: str) -> list[dict]:
    """The events of that name whose initiator or target has these."""
    events = [one for one in cadf.read(file) if one["name"] == event]

    def fits(event: dict) -> bool:
        sides = (event["initiator"], event["target"])
        return any(about.items() <= side.items() for side in sides)

    return [event for event in events if fits(event)]


def one(file, event: str, /, **about: str) -> dict:
    until(lambda: found(file, event, **about), f"{event} is in {file}", deadline=SOON)
    [only] = found(file, event, **about)
    return only


def test_a_token_that_is_let_in_is_an_event_at_both_clouds_of_one_request(west, east, ann, files):
    token = ann.login()
    assert east.lets_in(token)
    event = one(files["east"], "alliance.token.admitted", home_user_id=ann.id)
    assert (event["eventType"], event["action"], event["outcome"]) == (
        "control",
        "authenticate",
        "success",
    )
    assert event["initiator"]["home_project_id"] == ann.project.id
    assert event["initiator"]["domain"] == "west"
    assert event["target"]["name"] == "east"
    assert cadf.tags(event)["via"] == "asked"
    told = one(files["west"], "alliance.passport.issued", user_id=ann.id)
    assert (told["initiator"]["name"], told["target"]["id"]) == ("east", ann.id)
    assert cadf.tags(told)["correlation_id"] == cadf.tags(event)["correlation_id"]
    # Not a name, nor more of the token than logs have.
    for file in files.values():
        assert ann.name not in file.read_text()
        assert token.rpartition("~")[2] not in file.read_text()


def test_what_is_refused_says_why(west, east, files):
    stranger = west.person()
    assert not east.lets_in(stranger.login())
    event = one(files["east"], "alliance.token.refused", home_user_id=stranger.id)
    assert event["outcome"] == "failure"
    assert event["reason"] == {
        "reasonType": "urn:alliance:reason",
        "reasonCode": "no_agreement",
    }


def test_a_login_by_passport_is_one_event_at_each(west, east, ann, files):
    passport = west.passport("east", ann.login())
    assert east.shown(passport).status == 201
    issued = one(files["west"], "alliance.login_passport.issued", user_id=ann.id)
    assert issued["target"]["name"] == "east"
    login = one(files["east"], "alliance.login.admitted", home_user_id=ann.id)
    assert login["action"] == "authenticate/login"


def test_a_logout_at_home_ends_a_session_here(west, east, ann, files):
    token = ann.login()
    assert east.lets_in(token)
    answer = west.ask("DELETE", "/auth/tokens", token, X_Subject_Token=token)
    assert answer.status == 204
    event = one(files["east"], "alliance.session.ended", home_user_id=ann.id)
    assert (event["initiator"]["name"], event["action"]) == ("west", "revoke")


def test_what_operators_do_is_there(west, east, files):
    before = len(found(files["east"], "alliance.partner.suspended", name="west"))
    east.orders("partner", "suspend", "west")
    try:
        until(
            lambda: len(found(files["east"], "alliance.partner.suspended", name="west")) > before,
            "the suspension is an event",
            deadline=SOON,
        )
    finally:
        east.orders("partner", "resume", "west")
    event = found(files["east"], "alliance.partner.suspended", name="west")[-1]
    assert (event["eventType"], event["action"]) == ("activity", "disable")
    assert event["initiator"]["name"] == "operator"
    assert event["target"]["cloud_id"] == west.cloud_id
    until(
        lambda: found(files["east"], "alliance.partner.active", name="west"),
        "it is resumed",
        deadline=SOON,
    )


def test_junk_of_strangers_fills_no_file(east, files):
    def junk() -> list[dict]:
        events = cadf.read(files["east"])
        codes = ("unknown_partner", "malformed")
        return [one for one in events if one.get("reason", {}).get("reasonCode") in codes]

    for number in range(50):
        token = f"aaaaaaaa~{number:032x}"
        assert east.ask("GET", "/auth/projects", token).status == 401
    assert len(junk()) <= 3


def test_a_file_that_was_moved_away_is_made_anew(west, east, files):
    file = files["east"]
    until(file.exists, "there is a file", deadline=SOON)
    moved = file.with_suffix(".1")
    file.rename(moved)
    known_secrets.note_log(moved)
    stranger = west.person()
    assert not east.lets_in(stranger.login())
    one(file, "alliance.token.refused", home_user_id=stranger.id)
    assert all(json.loads(line) for line in moved.read_text().splitlines())


def test_a_disk_that_takes_nothing_stops_no_request(west, east, files):
    file = files["east"]
    failing = "alliance_audit_failing_since_seconds"
    folder, away = file.parent, file.parent.with_name("away")
    folder.rename(away)
    try:
        stranger = west.person()
        assert not east.lets_in(stranger.login())
        until(lambda: east.metric(failing, to="file") > 0, "it cannot be written", deadline=SOON)
    finally:
        away.rename(folder)
    one(file, "alliance.token.refused", home_user_id=stranger.id)
    until(lambda: east.metric(failing, to="file") == 0, "it is written again", deadline=SOON)
