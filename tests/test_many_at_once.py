"""Many requests at once over the two workers of a Keystone."""

import base64
import os
import re
import struct
import threading
import time

from tests.kit import http

#: For how long a Keystone may have more to do than it can, in seconds.
PATIENCE = 60
#: Why it may say that somebody must come again.
BUSY = {"overloaded", "daemon_unreachable"}
#: How many of its threads may ask at once: a quarter of the eight of each worker.
ASKERS = 4


def projects(cloud, token: str) -> tuple[str, bytes]:
    url = f"{cloud.identity}/auth/projects"
    return url, http.request("GET", url, {"X-Auth-Token": token})


def all_served(cloud, tokens: list[str]) -> None:
    """Uses all at once. A Keystone that has more of them than it can ask about in time refuses some
    for now: they come again. It refuses none for another reason."""
    log = cloud.log("keystone")
    before, limit, waiting = log.stat().st_size, time.monotonic() + PATIENCE, tokens
    while waiting:
        assert time.monotonic() < limit, f"{len(waiting)} are not served"
        answers = http.burst([projects(cloud, token) for token in waiting])
        assert {answer.status for answer in answers} <= {200, 503}
        both = zip(waiting, answers, strict=True)
        waiting = [token for token, answer in both if answer.status == 503]
    with log.open("rb") as file:
        file.seek(before)
        undecided = re.findall(r" Undecided(?: \((\w+)\))?: ", file.read().decode())
    assert {*undecided} <= BUSY


def shadows(cloud, person) -> tuple[int, int, int]:
    """How many users, projects and grants a Keystone has for a home user and project."""
    users = cloud.rows("SELECT user_id FROM federated_user WHERE unique_id = ?", person.id)
    like = f"%{person.project.id}%"
    there = cloud.rows("SELECT id FROM project WHERE extra LIKE ?", like)
    grants = cloud.rows("SELECT 1 FROM assignment WHERE actor_id = ?", users[0][0])
    return len(users), len(there), len(grants)


def test_fifty_first_uses_of_a_new_user_at_once_are_all_served(west, east):
    person = west.person()
    east.agree("west", person.project)
    all_served(east, person.logins(50))
    assert shadows(east, person) == (1, 1, 1)


def test_fifty_first_uses_of_one_new_token_at_once_are_all_served(west, east):
    person = west.person()
    east.agree("west", person.project)
    all_served(east, [person.login()] * 50)
    assert shadows(east, person) == (1, 1, 1)


def test_first_uses_of_ten_new_users_of_one_project_at_once_are_all_served(west, east):
    first = west.person()
    east.agree("west", first.project)
    people = [first] + [west.person(project=first.project) for _ in range(9)]
    all_served(east, [token for person in people for token in person.logins(5)])
    assert all(shadows(east, person) == (1, 1, 1) for person in people)


def test_a_thousand_requests_at_once_for_a_new_token_are_one_question_to_its_issuer(west, east):
    person = west.person()
    east.agree("west", person.project)
    token = person.login()

    def counted() -> tuple[float, float]:
        rings = east.metric("alliance_rings_total")
        return east.metric("alliance_questions_total", partner="west"), rings

    before = counted()
    all_served(east, [token] * 1000)
    asked, rings = (now - then for now, then in zip(counted(), before, strict=True))
    # A session of an earlier test that ends meanwhile makes Keystone forget, and ask again.
    assert 1 <= asked <= 1 + rings


def budget(cloud) -> tuple[float, int]:
    """How many of a partner's invalid tokens a daemon looks into unless it is configured: a second,
    and at once."""
    sample = cloud.alliance("config", "sample").stdout
    [(rate, burst)] = re.findall(r"invalid_budget = \{ rate = ([\d.]+), burst = (\d+) \}", sample)
    return float(rate), int(burst)


def test_local_users_are_served_while_junk_pours_in(west, east):
    """Strings that look like west's tokens, 500 in a second, for three seconds."""
    token = east.login_as("ann")
    (rate, burst), stop, statuses = budget(east), threading.Event(), []

    def junk() -> str:
        frame = b"\x80" + struct.pack(">Q", int(time.time())) + os.urandom(16 + 128 + 32)
        return f"{west.tag}~{base64.urlsafe_b64encode(frame).rstrip(b'=').decode()}"

    def local_work() -> None:
        while not stop.is_set():
            statuses.append(east.ask("GET", "/auth/projects", token).status)
            statuses.append(east.validate(token).status)

    def looked_into() -> float:
        """How many its issuer was asked about, and did not know."""
        return east.metric(
            "alliance_verdicts_total", partner="west", reason="not_found", via="asked"
        )

    began, before = time.monotonic(), looked_into()
    worker = threading.Thread(target=local_work)
    worker.start()
    try:
        refused = []
        for _ in range(3):
            refused += http.burst([projects(east, junk()) for _ in range(500)])
    finally:
        stop.set()
        worker.join()
    assert {answer.status for answer in refused} <= {401, 503}
    assert statuses
    assert set(statuses) == {200}
    # Its issuer was asked about a fraction of it only: what the budget allows, and what was under
    # way when that was spent.
    asked, elapsed = looked_into() - before, time.monotonic() - began
    assert 0 < asked <= burst + rate * elapsed + ASKERS
    person = west.person()
    east.agree("west", person.project)
    assert east.lets_in(person.login())
