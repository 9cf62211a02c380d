"""What the operator of a cloud sees of the way to its partner, and what users see meanwhile."""

import contextlib
import sqlite3
import time

import pytest

from tests.kit.waiting import until


@pytest.fixture
def entitled(west, east):
    """Somebody of west whose project sees east."""
    person = west.person()
    east.agree("west", person.project)
    until(lambda: "east" in regions(west, person), "east is in a fresh catalog")
    return person


def regions(cloud, person) -> set[str]:
    """Those in a fresh token's catalog."""
    catalog = cloud.validate(person.login()).json()["token"]["catalog"]
    return {endpoint["region"] for service in catalog for endpoint in service["endpoints"]}


def border(west) -> dict:
    return west.told("partner", "show", "east")["border"]


def pull(west) -> None:
    west.alliance("partner", "repair", "east")


def test_the_way_to_a_partner_is_measured(west, east):
    pull(west)
    seen = border(west)
    assert seen["reachable_since"]
    assert not seen["unreachable_since"]
    assert seen["round_trips"]["count"] >= 1
    assert 0 < seen["round_trips"]["least"] <= seen["round_trips"]["last"]
    # Both clouds have this machine's clock.
    assert abs(seen["skew"]["ahead"]) <= seen["skew"]["within"]
    assert seen["version"]
    assert seen["protocol"] == 1
    assert west.metric("alliance_partner_reachable", partner="east") == 1
    assert west.metric("alliance_partner_round_trip_seconds", partner="east") > 0
    shown = west.alliance("partner", "show", "east").stdout
    assert "round trip" in shown
    assert "clock there" in shown


def test_a_change_at_the_partner_is_dated(west, east):
    before = border(west)["last_change"]
    pull(west)
    assert border(west)["last_change"] == before
    seen = before or 0
    until(lambda: time.time() >= seen + 1, "times in seconds can tell them apart")
    east.agree("west", west.person().project)
    until(lambda: (border(west)["last_change"] or 0) > seen, "the change is seen")


def test_a_partner_that_is_down_is_told_and_its_region_stays(west, east, entitled):
    with east.stopped("alliance"):
        pull(west)
        assert border(west)["unreachable_since"]
        assert not border(west)["is_hidden"]
        assert west.metric("alliance_partner_reachable", partner="east") == 0
        doctor = west.alliance("doctor", status=1).stdout
        assert "east does not answer" in doctor
        listed = west.alliance("region", "list")
        assert "east does not answer" in listed.stderr
        assert "shown nevertheless" in listed.stderr
        assert "east" in regions(west, entitled)
    pull(west)
    assert border(west)["reachable_since"]


def test_a_partner_that_was_down_long_enough_is_hidden_if_the_operator_said_so(
    west, east, entitled
):
    with west.configured(alliance={"catalog": {"hide_unreachable": 60}}):
        with east.stopped("alliance"):
            pull(west)
            assert "east" in regions(west, entitled), "it is silent for a moment only"
            with west.stopped("alliance"):
                grow_old(west)
            until(lambda: border(west)["is_hidden"], "east is hidden")
            until(lambda: "east" not in regions(west, entitled), "its region is in no new catalog")
            assert "hidden until it does" in west.alliance("region", "list").stderr
            words = ("explain", "--project", entitled.project.id, "--region", "east")
            assert "hide_unreachable" in west.alliance(*words, status=5).stdout
            assert "hide_unreachable" in west.alliance("doctor", status=1).stdout
        pull(west)
        assert not border(west)["is_hidden"]
        until(lambda: "east" in regions(west, entitled), "its region is back")


def grow_old(west) -> None:
    """East was last seen an hour ago, as the database of west's daemon has it."""
    path = west.folder / "alliance" / "state" / "alliance.db"
    with contextlib.closing(sqlite3.connect(path, timeout=10)) as database, database:
        database.execute("UPDATE partners SET last_seen = last_seen - 3600 WHERE name = 'east'")
