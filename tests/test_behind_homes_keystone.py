"""Who is disabled where home's Keystone notes nothing is refused abroad all the same."""

import pytest

from tests.kit.waiting import until

#: [tokens] max_staleness of east's daemon and [alliance] max_staleness of its Keystone, in seconds.
STALENESS = 10
#: What a machine under test may add to what is waited for, in seconds.
SLACK = 10
#: The first of the lab's Keystones that sees who is disabled when it validates (bug 2122615).
NOTICES = 30
ROLES = ("member", "reader")


@pytest.fixture(scope="module")
def hasty(east):
    """East, with a small bound. Its Glance remembers tokens for longer."""
    keystone = {"token": {"cache_time": STALENESS - 4}, "alliance": {"max_staleness": STALENESS}}
    with east.configured(keystone=keystone, alliance={"tokens": {"max_staleness": STALENESS}}):
        yield east


def visit(west, hasty):
    """A west user, and its token and a native one at east, which Glance remembers."""
    person = west.person(roles=ROLES)
    hasty.agree("west", person.project, ROLES)
    origin = person.login()
    seen = until(lambda: served(hasty.validate(origin)), "east knows it", deadline=SLACK)
    scope = {"project": {"id": seen["project"]["id"]}}
    native = until(lambda: hasty.sells(origin, scope), "east sells one", deadline=SLACK)
    is_served(hasty, (origin, native))
    return person, (origin, native)


def served(answer) -> dict | None:
    return answer.json()["token"] if answer.status == 200 else None


def is_served(cloud, tokens) -> None:
    """A busy machine: nobody could tell in time."""
    until(lambda: serves(cloud, tokens), "they are served", deadline=STALENESS + SLACK)


def serves(cloud, tokens) -> bool:
    return all(cloud.images(token) == 200 and cloud.lets_in(token) for token in tokens)


def refuses(cloud, tokens) -> bool:
    return all(cloud.images(token) == 401 and not cloud.lets_in(token) for token in tokens)


def checks(cloud) -> float:
    return cloud.metric("alliance_checks_total", partner="west")


def enable(west, person, enabled: bool) -> None:
    west.changed("UPDATE user SET enabled = ? WHERE id = ?", enabled, person.id)


def test_who_is_disabled_behind_homes_keystone_is_refused_within_the_bound(west, hasty):
    person, tokens = visit(west, hasty)
    _, bystanders = visit(west, hasty)
    enable(west, person, False)
    if west.release < NOTICES:
        # Such a home lets its own token in everywhere, and the operator's guide says so.
        origin, native = tokens
        until(lambda: refuses(hasty, [native]), "no longer a guest", deadline=STALENESS + SLACK)
        assert west.validate(origin).status == 200
        is_served(hasty, [origin, *bystanders])
        return
    said = "who is disabled is refused"
    until(lambda: refuses(hasty, tokens), said, deadline=STALENESS + SLACK)
    is_served(hasty, bystanders)
    # Home's Keystone has ended the old ones for good; new ones are let in.
    enable(west, person, True)
    back = "who is enabled again comes back"
    until(lambda: hasty.lets_in(person.login()), back, deadline=STALENESS + SLACK)


def test_a_role_that_is_taken_away_in_the_database_is_gone_within_the_bound(west, hasty):
    person, tokens = visit(west, hasty)
    west.changed("DELETE FROM assignment WHERE actor_id = ?", person.id)
    said = "who has no role is refused"
    until(lambda: refuses(hasty, tokens), said, deadline=STALENESS + SLACK)


def test_a_home_that_is_silent_ends_nobody(west, hasty):
    _, tokens = visit(west, hasty)
    with west.frozen("alliance"):
        before = checks(hasty)
        said = "east has asked in vain"
        until(lambda: checks(hasty) > before, said, deadline=STALENESS + SLACK)
    is_served(hasty, tokens)
