"""kill -9 at each step of a pairing: after the restart it goes on, or nothing of it is left."""

import uuid

import pytest

from tests.kit.daemon import Daemon
from tests.kit.waiting import until


@pytest.fixture
def two(west):
    made = [Daemon(west, f"{word}-{uuid.uuid4().hex[:8]}") for word in ("inviter", "acceptor")]
    for daemon in made:
        daemon.init().start()
    yield made
    for daemon in made:
        daemon.kill()


def again(daemon) -> None:
    daemon.kill()
    daemon.start()


def paired(inviter, acceptor) -> None:
    until(
        lambda: (
            (inviter.partners(), acceptor.partners())
            == ({acceptor.name: "active"}, {inviter.name: "active"})
        ),
        "both are partners",
        deadline=20,
    )
    shown = inviter.told("partner", "show", acceptor.name)
    assert shown["fingerprint"] == acceptor.told("partner", "show", inviter.name)["fingerprint"]


def expecting(acceptor) -> tuple[str, ...]:
    return acceptor.name, "--role", "both", "--expect", acceptor.cloud_id


def test_inviter_killed_after_it_gave_the_invitation(two):
    inviter, acceptor = two
    with inviter.inviting(*expecting(acceptor)) as invite:
        invitation = invite.invitation
        again(inviter)
        acceptor.accept(invitation)
        assert invite.status() == 0, invite.stderr
    paired(inviter, acceptor)


def test_inviter_killed_and_its_command_too(two):
    """The invitation was given away already; without its operator nobody is let in by it."""
    inviter, acceptor = two
    with inviter.inviting(*expecting(acceptor)) as invite:
        invitation = invite.invitation
        invite.kill()
        again(inviter)
        accepting = acceptor.accepting(invitation)
        accepting.says("Waiting")
        assert inviter.partners() == {acceptor.name: "draft"}
        assert acceptor.partners() == {inviter.name: "draft"}
        accepting.interrupt()
        assert accepting.status() == 1
    assert acceptor.partners() == {}


def test_acceptor_killed_before_it_accepts(two):
    inviter, acceptor = two
    with inviter.inviting(*expecting(acceptor)) as invite:
        invitation = invite.invitation
        acceptor.kill()
        refused = acceptor.accept(invitation, status=4)
        assert "not running" in refused.stderr
        acceptor.start()
        acceptor.accept(invitation)
        assert invite.status() == 0
    paired(inviter, acceptor)


def test_inviter_killed_while_the_acceptor_waits_for_it(two):
    inviter, acceptor = two
    with inviter.inviting(acceptor.name, "--role", "both", "--yes") as invite:
        invitation = invite.invitation
        invite.halt()
        accepting = acceptor.accepting(invitation)
        accepting.says("Waiting")
        again(inviter)
        assert inviter.partners() == {acceptor.name: "draft"}
        invite.go_on()
        assert invite.status() == 0, invite.stderr
        assert accepting.status() == 0, accepting.stderr
    paired(inviter, acceptor)


def test_acceptor_killed_while_it_waits_for_the_inviter(two):
    inviter, acceptor = two
    with inviter.inviting(acceptor.name, "--role", "both", "--yes") as invite:
        invitation = invite.invitation
        invite.halt()
        accepting = acceptor.accepting(invitation)
        accepting.says("Waiting")
        again(acceptor)
        assert acceptor.partners() == {inviter.name: "draft"}
        invite.go_on()
        assert invite.status() == 0, invite.stderr
        assert accepting.status() == 0, accepting.stderr
    paired(inviter, acceptor)


def test_acceptor_dead_while_the_inviter_confirms(two):
    """The inviter is paired, the acceptor does not know; it completes when it is back."""
    inviter, acceptor = two
    with inviter.inviting(acceptor.name, "--role", "both", "--yes") as invite:
        invitation = invite.invitation
        invite.halt()
        accepting = acceptor.accepting(invitation)
        accepting.says("Waiting")
        acceptor.kill()
        accepting.kill()
        invite.go_on()
        assert invite.status() == 0, invite.stderr
        acceptor.start()
    paired(inviter, acceptor)


def test_inviter_killed_right_after_it_confirmed(two):
    inviter, acceptor = two
    with inviter.inviting(acceptor.name, "--role", "both", "--yes") as invite:
        invitation = invite.invitation
        invite.halt()
        accepting = acceptor.accepting(invitation)
        accepting.says("Waiting")
        acceptor.kill()
        accepting.kill()
        invite.go_on()
        assert invite.status() == 0, invite.stderr
        inviter.kill()
        acceptor.start()
        assert acceptor.partners() == {inviter.name: "draft"}
        inviter.start()
    paired(inviter, acceptor)


def test_both_killed_while_the_acceptor_waits_and_the_inviter_rejects(two, west):
    inviter, acceptor = two
    with inviter.inviting(acceptor.name, "--role", "both") as invite:
        invitation = invite.invitation
        invite.halt()
        accepting = acceptor.accepting(invitation)
        accepting.says("Waiting")
        again(inviter)
        again(acceptor)
        invite.go_on()
        assert invite.status() == 1
        assert accepting.status() == 1, accepting.stderr
    until(lambda: (inviter.partners(), acceptor.partners()) == ({}, {}), "nobody is paired")
    providers = west.do("GET", "/OS-FEDERATION/identity_providers")["identity_providers"]
    assert not {one["id"] for one in providers} & {inviter.name, acceptor.name}


@pytest.mark.parametrize("bytes_written", range(0, 40, 8))
def test_a_pairing_killed_at_any_moment_ends_whole_or_not_at_all(two, bytes_written):
    """The daemons die as soon as their logs have grown by so much since the pairing began."""
    inviter, acceptor = two
    victim = two[bytes_written // 8 % 2]
    before = victim.log.stat().st_size
    with inviter.inviting(*expecting(acceptor)) as invite:
        invitation = invite.invitation
        accepting = acceptor.accepting(invitation)
        until(
            lambda: victim.log.stat().st_size > before + bytes_written * 10 or accepting.is_done(),
            "the victim has logged something",
        )
        again(victim)
        done = [accepting.status()]
        # Whoever waits for an acceptance that failed takes the invitation back.
        done += [invite.status()] if done == [0] else []
    if done == [0, 0]:
        paired(inviter, acceptor)
        return
    states = until(
        lambda: next(
            (
                state
                for state in [(inviter.partners(), acceptor.partners())]
                if "draft" not in {*state[0].values(), *state[1].values()}
            ),
            None,
        ),
        "no draft is left",
        deadline=20,
    )
    assert states in (({}, {}), ({acceptor.name: "active"}, {inviter.name: "active"})), done
