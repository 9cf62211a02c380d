"""Any daemon of a cloud serves any request, and knows at once what another one has been told."""

import itertools
import statistics
import uuid
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.ha.instances import SOON, delays, in_turn, leader
from tests.kit.cloud import Cloud
from tests.kit.daemon import Daemon, Invite
from tests.kit.waiting import until

TIMES = 9
#: In seconds. Meant are 0.1, which `benches/run instances` measures; what is measured here has a
#: command's start in it, on a busy machine.
BOUND = 10


def verdict(cloud, token: str, node: int) -> str:
    return cloud.judge(token, node=node)["status"]


def until_valid(cloud, token: str, nodes) -> list[float]:
    """After how many seconds the daemon of each of these nodes lets a token in."""
    return delays(nodes, lambda node: verdict(cloud, token, node) == "valid")


def until_refused(cloud, token: str, nodes) -> list[float]:
    """After how many seconds none of them does any more."""
    return delays(nodes, lambda node: verdict(cloud, token, node) != "valid")


def visitor(west, east):
    person = west.person(roles=("member", "reader"))
    east.agree("west", person.project, ("member", "reader"))
    return person


def told_of(seconds: list[float]) -> str:
    middle = statistics.median(seconds)
    return f"median {1000 * middle:.0f} ms, at most {1000 * max(seconds):.0f} ms"


def test_there_is_one_leader(west, east):
    for cloud in (west, east):
        until(lambda cloud=cloud: leader(cloud), f"{cloud} has one")


def test_what_one_instance_ends_all_others_refuse_at_once(west, east, say):
    person, seconds = visitor(west, east), []
    for node, others in itertools.islice(in_turn(east), TIMES):
        token = person.login()
        until_valid(east, token, east.nodes)
        east.alliance("token", "revoke", "-", stdin=token, node=node)
        seconds += until_refused(east, token, others)
        assert {verdict(east, token, each) for each in east.nodes} == {"invalid"}
    say(f"ended at one instance, refused by another: {told_of(seconds)}")
    assert max(seconds) < BOUND


def test_a_logout_at_home_is_known_to_every_instance(west, east, say):
    person, seconds = visitor(west, east), []
    for node, _ in itertools.islice(in_turn(west), TIMES):
        token = person.login()
        until_valid(east, token, east.nodes)
        logout(west, node, token)
        seconds.append(max(until_refused(east, token, east.nodes)))
    say(f"logged out at home, refused by all instances: {told_of(seconds)}")
    assert max(seconds) < BOUND


def logout(cloud, node: int, token: str) -> None:
    """At the Keystone of one node."""
    answer = cloud.ask_at(node, "DELETE", "/auth/tokens", token, X_Subject_Token=token)
    assert answer.status == 204


def test_an_agreement_holds_and_ends_at_every_instance_whichever_was_told(west, east, say):
    seconds = []
    for node, others in itertools.islice(in_turn(east), 3):
        person = west.person(roles=("member", "reader"))
        token = person.login()
        create = ("agreement", "create", "west", "--project", person.project.id, "--role", "member")
        made = east.alliance("--format", "json", *create, node=node, status=None).json()
        seconds += until_valid(east, token, others)
        end = ("agreement", "end", "west", "--project", made["agreements"][0]["id"])
        east.alliance(*end, node=node, status=None)
        seconds += until_refused(east, token, others)
    say(f"agreed or ended at one instance, in force at another: {told_of(seconds)}")
    assert max(seconds) < BOUND


def test_a_suspension_counts_at_every_instance_whichever_was_told(west, east, say):
    token, seconds = visitor(west, east).login(), []
    for node, others in itertools.islice(in_turn(east), 3):
        until_valid(east, token, east.nodes)
        try:
            east.alliance("partner", "suspend", "west", node=node, status=None)
            seconds += until_refused(east, token, others)
        finally:
            east.alliance("partner", "resume", "west", node=node, status=None)
    say(f"suspended at one instance, refused by another: {told_of(seconds)}")
    assert max(seconds) < BOUND


@pytest.fixture
def third(west):
    """A daemon of another cloud, alone there."""
    daemon = Daemon(west, f"third-{uuid.uuid4().hex[:8]}").init().start()
    yield daemon
    daemon.kill()


def test_any_instance_accepts_an_invitation_and_all_are_partners_once(east, third):
    expect = ("--role", "both", "--expect", east.cloud_id)
    with third.inviting("east", *expect) as invite:
        accept = ("partner", "accept", invite.invitation, "--yes", "--name", third.name)
        east.alliance(*accept, node=2)
        assert invite.status() == 0, invite.stderr
    are_partners(east, third)


@dataclass(frozen=True)
class Operator:
    """Of a cloud of the lab, at the daemon of one node."""

    cloud: Cloud
    node: int

    @property
    def program(self) -> Path:
        return self.cloud.program

    def variables(self) -> dict[str, str]:
        return self.cloud.operator(self.node)


def test_any_instance_invites_and_any_other_may_hear_the_answer(east, third):
    """HAProxy chooses who hears it, not the one that waits for it."""
    words = ("partner", "invite", third.name, "--role", "both", "--expect", third.cloud_id)
    invite = Invite(Operator(east, node=3), words)
    try:
        third.accept(invite.invitation, "--yes", "--name", "east")
        assert invite.status() == 0, invite.stderr
    finally:
        invite.end()
    are_partners(east, third)


def are_partners(cloud, third) -> None:
    def knows(node: int) -> bool:
        known = cloud.told("partner", "list", node=node)
        return any((one["name"], one["status"]) == (third.name, "active") for one in known)

    for node in cloud.nodes:
        until(lambda node=node: knows(node), f"node {node} knows {third.name}", deadline=SOON)
    assert third.partners() == {cloud.name: "active"}
    paired = f"action = 'partner.paired' AND subject = '{third.name}'"
    assert cloud.asked(f"SELECT COUNT(*) FROM alliance.audit WHERE {paired}") == [["1"]]
    cloud.alliance("partner", "remove", third.name, "--yes", status=None)
