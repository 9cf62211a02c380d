"""A daemon that is gone or hangs costs foreign tokens, and those alone."""

import contextlib
import os
import socket
import time

import pytest

from tests.kit.waiting import until

#: [alliance] deadline of the lab's Keystones, and what a machine under test may add to it.
DEADLINE = 2.0
SLACK = 1.5


@pytest.fixture(scope="module", autouse=True)
def forgiven(east):
    """The workers of a new Keystone bear its daemon no grudge."""
    yield
    east.restart("keystone")


@pytest.fixture
def guest(west, east):
    person = west.person()
    east.agree("west", person.project)
    let_in_again(east, person)
    return person


def let_in_again(east, guest) -> None:
    """Keystone leaves a daemon that did not answer in peace for up to ten seconds."""
    until(lambda: east.lets_in(guest.login()), "a token is let in again", deadline=20)


def refused_in_time(east, token: str) -> None:
    """As nobody can tell: not let in, and not remembered as wrong by any service."""
    began = time.monotonic()
    assert not east.lets_in(token)
    assert east.validate(token).status == 503
    assert time.monotonic() - began < 2 * (DEADLINE + SLACK)


def local_users_are_served(east) -> None:
    began = time.monotonic()
    for _ in range(5):
        token = east.login_as("ann")
        assert east.lets_in(token)
        assert east.validate(token).status == 200
        assert east.images(token) == 200
        assert east.ask("DELETE", "/auth/tokens", token, X_Subject_Token=token).status == 204
        assert not east.lets_in(token)
    # Five rounds of six requests, none of which waited for the daemon's deadline.
    assert time.monotonic() - began < 5 * DEADLINE


def test_a_stopped_daemon_costs_foreign_tokens_only(east, guest):
    token = guest.login()
    with east.stopped("alliance"):
        refused_in_time(east, token)
        local_users_are_served(east)
    let_in_again(east, guest)


def test_a_halted_daemon_costs_foreign_tokens_only(east, guest):
    tokens = [guest.login() for _ in range(4)]
    with east.frozen("alliance"):
        for token in tokens:
            refused_in_time(east, token)
        local_users_are_served(east)
    let_in_again(east, guest)


def test_a_home_daemon_that_is_gone_makes_tokens_unknowable_not_wrong(west, east, guest):
    token = guest.login()
    with west.stopped("alliance"):
        refused_in_time(east, token)
        local_users_are_served(east)
        local_users_are_served(west)
        judged = east.alliance("token", "validate", "-", status=1, stdin=token)
        assert "unreachable" in judged.stdout
    let_in_again(east, guest)


def test_a_home_daemon_that_is_halted_makes_tokens_unknowable_in_time(west, east, guest):
    token = guest.login()
    with west.frozen("alliance"):
        refused_in_time(east, token)
        local_users_are_served(east)
    let_in_again(east, guest)


def test_a_home_keystone_that_is_down_makes_tokens_unknowable(west, east, guest):
    token = guest.login()
    with west.stopped("keystone"):
        refused_in_time(east, token)
        judged = east.alliance("token", "validate", "-", status=1, stdin=token)
        assert "home_error" in judged.stdout
    let_in_again(east, guest)


def test_a_home_keystone_that_is_halted_makes_tokens_unknowable_in_time(west, east, guest):
    token = guest.login()
    with west.frozen("keystone"):
        refused_in_time(east, token)
        local_users_are_served(east)
    let_in_again(east, guest)


def test_a_home_keystone_that_answers_500_makes_tokens_unknowable(west, east, guest):
    """Its database has lost a table, so every validation there fails."""
    token = guest.login()
    west.forget()
    with west.broken_database():
        assert west.ask("GET", "/auth/projects", token).status == 500
        refused_in_time(east, token)
        judged = east.alliance("token", "validate", "-", status=1, stdin=token)
        assert "home_error" in judged.stdout
    let_in_again(east, guest)


def test_own_keystone_down_while_an_operator_suspends(west, east, guest):
    """The suspension is stored and said not to be in force everywhere yet; then it is."""
    token = guest.login()
    assert east.lets_in(token)
    try:
        with east.stopped("keystone"):
            done = east.alliance("partner", "suspend", "west", status=3)
            assert "not yet in force" in done.stderr
        assert not east.lets_in(token)
        assert east.status_of("west") == "suspended"
    finally:
        east.orders("partner", "resume", "west")
    let_in_again(east, guest)


@contextlib.contextmanager
def moved(path, elsewhere):
    os.rename(path, elsewhere)
    try:
        yield
    finally:
        os.rename(elsewhere, path)


def test_a_missing_socket_costs_foreign_tokens_only(east, guest):
    token = guest.login()
    with moved(east.daemon_socket, f"{east.daemon_socket}.away"):
        refused_in_time(east, token)
        local_users_are_served(east)
    let_in_again(east, guest)


def test_a_socket_of_somebody_else_is_not_spoken_to(east, guest):
    """A local user who puts a socket in its place is told no token."""
    token = guest.login()
    with (
        moved(east.daemon_socket, f"{east.daemon_socket}.away"),
        socket.socket(socket.AF_UNIX) as impostor,
    ):
        impostor.bind(str(east.daemon_socket))
        impostor.listen(16)
        impostor.settimeout(0)
        os.chown(east.daemon_socket, 65534, 65534)
        try:
            refused_in_time(east, token)
            with pytest.raises(BlockingIOError):
                impostor.accept()
        finally:
            os.unlink(east.daemon_socket)
    let_in_again(east, guest)
    assert "belongs to user id 65534" in east.log("keystone").read_text()
