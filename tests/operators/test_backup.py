"""A backup that is restored keeps pairings, and brings nothing back that has ended since."""

import contextlib
import json
import sqlite3
import uuid

import pytest

from tests.kit.daemon import Daemon, running
from tests.kit.waiting import until

#: A question of home's, and what the machine has to do beside.
SOON = 30.0


def is_refused(cloud, token: str) -> bool:
    """By Keystone to its bearer and to others, and by Glance."""
    served = (cloud.lets_in(token), cloud.validate(token).status, cloud.images(token))
    return served == (False, 404, 401)


@pytest.fixture
def set_back(east):
    """Restores east's daemon from a backup, into a new database; runs `between` before that."""
    configuration = str(east.daemon_socket.parent / "alliance.toml")
    database = east.daemon_socket.parent / "state" / "alliance.db"

    def set_back(backup, between) -> dict:
        east.alliance("backup", "--config", configuration, "--to", str(backup))
        between()
        restore = ("restore", "--config", configuration, "--from", str(backup))
        running = east.alliance(*restore, status=1)
        assert "a daemon runs" in running.stderr
        with east.stopped("alliance"):
            there = east.alliance(*restore, status=1)
            assert "is not empty" in there.stderr
            for file in database.parent.glob("alliance.db*"):
                file.unlink()
            return east.told(*restore)

    yield set_back
    for partner in ("west", "north"):
        east.orders("partner", "resume", partner)


def test_no_session_goes_on_and_every_pairing_does(west, east, set_back, tmp_path):
    person = west.person()
    agreement = east.agree("west", person.project)
    stays, leaves = person.login(), person.login()
    for token in (stays, leaves):
        assert east.lets_in(token)
        assert east.images(token) == 200
    backup = tmp_path / "backup"

    def between():
        answer = west.ask("DELETE", "/auth/tokens", leaves, X_Subject_Token=leaves)
        assert answer.status == 204
        until(lambda: is_refused(east, leaves), "a logout at home is heard", deadline=SOON)

    restored = set_back(backup, between)
    assert backup.stat().st_mode & 0o777 == 0o600
    assert restored["sessions_ended"] >= 2
    assert {"north", "west"} <= set(restored["partners_suspended"])
    # What was suspended or ended since is not known: nobody comes until somebody has looked.
    assert east.status_of("west") == "suspended"
    assert not east.lets_in(person.login())
    east.orders("partner", "resume", "west")
    until(lambda: east.lets_in(person.login()), "who logs in anew is let in", deadline=SOON)
    # The services' caches are swept once Keystone has been told.
    for token in (leaves, stays):
        until(lambda token=token: is_refused(east, token), "its session is over", deadline=SOON)
    ids = [one["id"] for one in east.told("agreement", "list", "--partner", "west")]
    assert agreement in ids


@pytest.fixture
def clouds(west, east):
    """A home that asks each second, and a host."""
    home, host = (Daemon(at, f"{at.name}-{uuid.uuid4().hex[:8]}") for at in (west, east))
    home.configure(catalog="refresh = 1")
    with running(host, home):
        yield home, host


def used(host: Daemon, home: Daemon, *resources: str) -> None:
    """Numbers records as `alliance work` does."""
    with contextlib.closing(sqlite3.connect(host.database, timeout=10)) as database, database:
        home_id = home.cloud_id
        query = "SELECT value FROM counters WHERE name = 'restored'"
        floor = (database.execute(query).fetchone() or [0])[0]
        database.execute(
            "INSERT INTO usage_positions (cloud_id, noted, acknowledged) VALUES (?, ?, ?)"
            " ON CONFLICT DO NOTHING",
            (home_id, floor, floor),
        )
        for name in resources:
            record = {"kind": "volume", "id": name, "part": 0, "project_id": "science"}
            record |= {"region": "east", "size": {"bytes": 1 << 30}, "from": 1000, "to": 5000}
            database.execute(
                "UPDATE usage_positions SET noted = noted + 1 WHERE cloud_id = ?", (home_id,)
            )
            database.execute(
                "INSERT INTO usage_outbox (cloud_id, seq, at, record)"
                " SELECT cloud_id, noted, 1, ? FROM usage_positions WHERE cloud_id = ?",
                (json.dumps(record), home_id),
            )


def counts(home: Daemon, *resources: str) -> None:
    """Until home has counted these, each once."""
    query = "SELECT resource_id FROM usage_records ORDER BY resource_id"

    def counted() -> bool:
        with contextlib.closing(sqlite3.connect(home.database, timeout=10)) as database:
            return [row[0] for row in database.execute(query)] == sorted(resources)

    until(counted, f"{home.name} counts {resources}", deadline=SOON)


def test_usage_is_counted_once_though_the_host_was_set_back(clouds, tmp_path):
    home, host = clouds
    used(host, home, "a", "b")
    counts(home, "a", "b")
    backup = tmp_path / "backup"
    host.run("backup", "--config", host.configuration, "--to", backup)
    used(host, home, "c", "d")
    counts(home, "a", "b", "c", "d")
    host.stop()
    for file in host.state.glob("alliance.db*"):
        file.unlink()
    restored = host.told("restore", "--config", host.configuration, "--from", backup, "--resume")
    assert restored["rows"]["usage_outbox"] == 2
    assert restored["partners_suspended"] == []
    # As the host knows, this is its third; home has had another third.
    used(host, home, "e")
    host.start()
    counts(home, "a", "b", "c", "d", "e")
    used(host, home, "f")
    counts(home, "a", "b", "c", "d", "e", "f")
