"""A token of west is sent to nobody but west, besides the cloud where it is shown."""

import contextlib

from tests.kit.waiting import until


def test_it_is_seen_at_home_and_where_it_is_shown_and_nowhere_else(
    issued, guest, home, hasty, third
):
    north, tap = third
    token, other = guest.login(), guest.login()
    norths = north.person()
    hasty.agree("north", norths.project)
    control = norths.login()
    with contextlib.ExitStack() as notes:
        seen = {
            (cloud.name, service): notes.enter_context(cloud.noting(service))
            for cloud in (home, hasty, north)
            for service in ("keystone", "glance")
        }
        for shown in (token, token.partition("~")[2]):
            hasty.lets_in(shown)
            hasty.validate(shown)
            hasty.sells(shown)
            hasty.images(shown)
            hasty.judge(shown)
        assert hasty.judge(token, "--hard")["status"] == "valid"
        assert hasty.lets_in(control)
        # Also when its home does not answer.
        with home.frozen("alliance"):
            hasty.validate(other)
            assert hasty.judge(other, "--hard")["status"] == "indeterminate"
        sent_to = {place for place, what in seen.items() if what.has(token) or what.has(other)}
        assert sent_to == {("west", "keystone"), ("east", "keystone"), ("east", "glance")}
        # They would have noticed.
        assert seen["north", "keystone"].has(control)
        assert tap.has(control)
        for part in (token, other):
            assert not tap.has(part.partition("~")[2])
    until(lambda: hasty.judge(other)["status"] == "valid", "west is asked again", deadline=20)
