"""Becoming partners, and everything that can be wrong with an invitation."""

import base64
import hashlib
import json
import uuid

import pytest

from tests.kit.daemon import Daemon, pair
from tests.kit.waiting import until


@pytest.fixture
def daemons(west):
    """Running daemons of further clouds, with names of their own."""
    made = []

    def make(name: str) -> Daemon:
        daemon = Daemon(west, name).init().start()
        made.append(daemon)
        return daemon

    yield make
    for daemon in made:
        daemon.kill()


def unique(word: str) -> str:
    return f"{word}-{uuid.uuid4().hex[:8]}"


@pytest.fixture
def inviter(daemons):
    return daemons(unique("inviter"))


@pytest.fixture
def acceptor(daemons):
    return daemons(unique("acceptor"))


def objects(cloud, name: str) -> list[str]:
    """What a Keystone has of a partner of that name."""
    providers = cloud.do("GET", "/OS-FEDERATION/identity_providers")["identity_providers"]
    domains = cloud.do("GET", f"/domains?name={name}")["domains"]
    found = [f"provider {one['id']}" for one in providers if one["id"] == name]
    return found + [f"domain {one['id']}" for one in domains]


def test_two_commands_pair_two_clouds_and_both_show_the_same(west, inviter, acceptor):
    pair(inviter, acceptor)
    there, here = (
        one.told("partner", "show", other.name)
        for one, other in ((inviter, acceptor), (acceptor, inviter))
    )
    assert (here["status"], there["status"]) == ("active", "active")
    assert here["fingerprint"] == there["fingerprint"]
    assert len(here["fingerprint"].split("-")) >= 4
    assert (here["cloud_id"], there["cloud_id"]) == (inviter.cloud_id, acceptor.cloud_id)
    assert len(objects(west, inviter.name)) == len(objects(west, acceptor.name)) == 2


def test_roles_are_what_the_inviter_said_seen_from_either_side(west, inviter, acceptor):
    pair(inviter, acceptor, role="host")
    assert inviter.told("partner", "show", acceptor.name)["role"] == "host"
    assert acceptor.told("partner", "show", inviter.name)["role"] == "guest"
    # Only who gets guests needs anything in Keystone.
    assert objects(west, acceptor.name) == []
    assert len(objects(west, inviter.name)) == 2


def test_the_domain_of_a_partner_has_the_id_that_follows_from_its_cloud_id(west, inviter, acceptor):
    pair(inviter, acceptor)
    namespace = uuid.uuid5(uuid.NAMESPACE_DNS, "alliance.openstack")
    expected = uuid.uuid5(namespace, f"domain:{inviter.cloud_id}").hex
    assert f"domain {expected}" in objects(west, inviter.name)


def test_nobody_is_paired_unseen(inviter, acceptor):
    """Without a terminal, nobody could compare the fingerprint."""
    with inviter.inviting(acceptor.name, "--role", "host") as invite:
        refused = acceptor.accept(invite.invitation, "--name", "x", status=1)
        assert "--yes" in refused.stderr
        acceptor.accept(invite.invitation, status=1)
        assert invite.status() == 1
        assert "--expect" in invite.stderr
    assert inviter.partners() == acceptor.partners() == {}


def test_an_invitation_works_once(inviter, acceptor, daemons):
    late = daemons(unique("late"))
    expect = ("--role", "both", "--expect", acceptor.cloud_id)
    with inviter.inviting(acceptor.name, *expect) as invite:
        invitation = invite.invitation
        acceptor.accept(invitation)
        assert invite.status() == 0
    for daemon in (acceptor, late):
        refused = daemon.accept(invitation, status=1)
        assert "invitation" in refused.stderr
    assert late.partners() == {}
    assert inviter.partners() == {acceptor.name: "active"}


def test_an_expired_invitation_pairs_nobody(inviter, acceptor):
    inviter.stop()
    inviter.configure(pairing="invitation_ttl = 1")
    inviter.start()
    with inviter.inviting(acceptor.name, "--role", "host") as invite:
        invitation = invite.invitation
        assert invite.status() == 1
        assert "expired" in invite.stderr
    refused = acceptor.accept(invitation, status=1)
    assert "expired" in refused.stderr
    assert "new one" in refused.stderr
    assert inviter.partners() == acceptor.partners() == {}


def test_a_damaged_invitation_is_known_without_asking_anybody(inviter, acceptor):
    with inviter.inviting(acceptor.name, "--role", "host") as invite:
        whole = invite.invitation
        for damaged in (whole[:-1], whole[:40], whole[:-9] + "AAAAAAAAA", whole + "A"):
            refused = acceptor.accept(damaged, status=1)
            assert "truncated or altered" in refused.stderr
        for other in ("", "alliance1-", "hello", "gAAAAA"):
            assert acceptor.run("partner", "accept", other, "--yes", status=None).status in (1, 2)
        assert acceptor.partners() == {}
        assert not invite.is_done()


def test_an_invitation_for_another_cloud_is_refused_on_both_sides(inviter, acceptor, daemons):
    thief = daemons(unique("thief"))
    expect = ("--role", "both", "--expect", acceptor.cloud_id)
    with inviter.inviting(acceptor.name, *expect) as invite:
        refused = thief.accept(invite.invitation, status=1)
        assert "another cloud" in refused.stderr
        # A thief who takes that out of the invitation is refused by the inviter.
        refused = thief.accept(altered(invite.invitation, **{"for": None}), status=1)
        assert acceptor.cloud_id in refused.stderr
        acceptor.accept(invite.invitation)
        assert invite.status() == 0
    assert thief.partners() == {}
    assert inviter.partners() == {acceptor.name: "active"}


def test_an_intercepted_invitation_pairs_nobody_whom_the_operator_does_not_confirm(
    inviter, acceptor, daemons
):
    """The thief is first. The inviter's operator sees other words than the acceptor reads out, and
    here says no by being no terminal; the true acceptor learns that somebody was there before."""
    thief = daemons(unique("thief"))
    with inviter.inviting(acceptor.name, "--role", "both") as invite:
        invitation = invite.invitation
        stealing = thief.accepting(invitation, "--yes", "--name", "loot")
        invite.says(thief.cloud_id)
        refused = acceptor.accept(invitation, status=1)
        assert "already used" in refused.stderr or "rejected" in refused.stderr
        assert invite.status() == 1
        assert stealing.status() == 1
    assert inviter.partners() == acceptor.partners() == thief.partners() == {}


def test_an_invitation_to_an_address_where_another_key_answers_is_refused(
    inviter, acceptor, daemons
):
    other = daemons(unique("other"))
    with inviter.inviting(acceptor.name, "--role", "both") as invite:
        misled = altered(invite.invitation, url=other.url)
        refused = acceptor.accept(misled, status=1)
        assert "another cloud answers" in refused.stderr
        misnamed = altered(invite.invitation, cloud=other.cloud_id)
        refused = acceptor.accept(misnamed, status=1)
        assert "another cloud answers" in refused.stderr
        assert not invite.is_done()
    assert acceptor.partners() == other.partners() == {}


def test_an_invitation_to_an_address_where_nobody_answers_is_refused_in_time(inviter, acceptor):
    with inviter.inviting(acceptor.name, "--role", "both") as invite:
        refused = acceptor.accept(altered(invite.invitation, url="https://127.0.0.1:9"), status=1)
        assert "127.0.0.1:9" in refused.stderr
    assert acceptor.partners() == {}


def test_an_invitation_whose_secret_is_wrong_is_refused(inviter, acceptor):
    wrong = base64.urlsafe_b64encode(b"0" * 32).rstrip(b"=").decode()
    with inviter.inviting(acceptor.name, "--role", "both") as invite:
        acceptor.accept(altered(invite.invitation, secret=wrong), status=1)
        acceptor.accept(altered(invite.invitation, id=str(uuid.uuid4())), status=1)
        assert not invite.is_done()
    assert acceptor.partners() == {}


def test_who_invites_and_is_invited_at_once_is_told_and_one_invitation_is_enough(
    west, inviter, acceptor
):
    mine = ("--role", "both", "--expect", acceptor.cloud_id)
    theirs = ("--role", "both", "--expect", inviter.cloud_id)
    with inviter.inviting(acceptor.name, *mine) as one:
        with acceptor.inviting(inviter.name, *theirs) as two:
            for daemon, invite in ((acceptor, one), (inviter, two)):
                refused = daemon.accept(invite.invitation, status=1)
                assert "open invitation" in refused.stderr
        acceptor.accept(one.invitation)
        assert one.status() == 0
    assert (inviter.partners(), acceptor.partners()) == (
        {acceptor.name: "active"},
        {inviter.name: "active"},
    )
    assert len(objects(west, inviter.name)) == len(objects(west, acceptor.name)) == 2


def test_two_pairings_of_two_clouds_at_once_end_as_one(inviter, acceptor):
    """Under different names, so that it shows in the cloud ids alone."""
    mine = ("--role", "host", "--expect", acceptor.cloud_id)
    theirs = ("--role", "host", "--expect", inviter.cloud_id)
    with inviter.inviting("first", *mine) as one, acceptor.inviting("second", *theirs) as two:
        accepting = [
            acceptor.accepting(one.invitation, "--yes", "--name", unique("x")),
            inviter.accepting(two.invitation, "--yes", "--name", unique("y")),
        ]
        ended = [command.status() for command in accepting]
    known = [
        [(partner["cloud_id"], partner["role"]) for partner in daemon.told("partner", "list")]
        for daemon in (inviter, acceptor)
    ]
    paired = {
        (0, 1): [[(acceptor.cloud_id, "host")], [(inviter.cloud_id, "guest")]],
        (1, 0): [[(acceptor.cloud_id, "guest")], [(inviter.cloud_id, "host")]],
        (1, 1): [[], []],
    }
    assert known == paired[tuple(ended)]


def test_a_cloud_does_not_pair_with_itself(inviter):
    with inviter.inviting("mirror", "--role", "both") as invite:
        refused = inviter.accept(invite.invitation, "--yes", "--name", "myself", status=1)
        assert "this very cloud" in refused.stderr
    refused = inviter.run(
        "partner", "invite", "mirror", "--role", "both", "--expect", inviter.cloud_id, status=1
    )
    assert "this very cloud" in refused.stderr
    assert inviter.partners() == {}


def test_a_name_that_is_taken_is_refused_by_name(inviter, acceptor, daemons):
    pair(inviter, acceptor)
    third = daemons(unique("third"))
    refused = inviter.run("partner", "invite", acceptor.name, "--role", "both", status=1)
    assert acceptor.name in refused.stderr
    assert "taken" in refused.stderr
    with third.inviting(inviter.name, "--role", "both") as invite:
        refused = inviter.accept(invite.invitation, "--yes", "--name", acceptor.name, status=1)
        assert "--name" in refused.stderr
        assert not invite.is_done()
    assert inviter.partners() == {acceptor.name: "active"}


def test_a_partner_already_known_is_not_paired_again(inviter, acceptor):
    pair(inviter, acceptor)
    expect = ("--role", "both", "--expect", acceptor.cloud_id)
    refused = inviter.run("partner", "invite", "again", *expect, status=1)
    assert "already" in refused.stderr
    with inviter.inviting("again", "--role", "both") as invite:
        refused = acceptor.accept(invite.invitation, "--yes", "--name", "again", status=1)
        assert "already" in refused.stderr
    assert inviter.partners() == {acceptor.name: "active"}
    assert acceptor.partners() == {inviter.name: "active"}


def test_a_name_that_could_do_harm_is_no_alias(inviter):
    for name in ("", "-x", "a b", "a;b", "ü", "../x", "a" * 33, "\x1b[31m"):
        refused = inviter.run("partner", "invite", "--role", "host", "--", name, status=2)
        assert "letter or digit" in refused.stderr, name
        assert "\x1b" not in refused.stderr


def test_two_partners_that_both_call_themselves_prod_are_told_apart(inviter, daemons):
    twins = [daemons("prod"), daemons("prod")]
    names = [unique("prod"), unique("prod")]
    for twin, name in zip(twins, names):
        expect = ("--role", "both", "--expect", inviter.cloud_id)
        with twin.inviting(inviter.name, *expect) as invite:
            inviter.accept(invite.invitation, "--yes", "--name", name)
            assert invite.status() == 0
    shown = [inviter.told("partner", "show", name) for name in names]
    assert [one["calls_itself"] for one in shown] == ["prod", "prod"]
    assert [one["cloud_id"] for one in shown] == [twin.cloud_id for twin in twins]
    assert shown[0]["fingerprint"] != shown[1]["fingerprint"]
    inviter.run("partner", "suspend", names[0], status=None)
    assert inviter.partners() == {names[0]: "suspended", names[1]: "active"}


def test_an_object_of_that_name_that_is_not_ours_is_not_adopted(west, inviter, acceptor):
    """east's operator has a SAML identity provider, or a domain, that is called as the partner."""
    provider, domain = unique("saml"), unique("domain")
    body = {"identity_provider": {"enabled": True, "description": "Our SAML login"}}
    west.do("PUT", f"/OS-FEDERATION/identity_providers/{provider}", body)
    west.domain(domain)
    before = [objects(west, name) for name in (provider, domain)]
    for name in (provider, domain):
        expect = ("--role", "host", "--expect", acceptor.cloud_id)
        with inviter.inviting(acceptor.name, *expect) as invite:
            refused = acceptor.accept(invite.invitation, "--yes", "--name", name, status=1)
            assert name in refused.stderr
    assert [objects(west, name) for name in (provider, domain)] == before
    assert acceptor.partners() == {}


def test_without_the_operators_rights_nothing_is_accepted(inviter, acceptor, west):
    expect = ("--role", "host", "--expect", acceptor.cloud_id)
    with inviter.inviting(acceptor.name, *expect) as invite:
        real = acceptor.variables
        acceptor.variables = lambda: {n: v for n, v in real().items() if not n.startswith("OS_")}
        refused = acceptor.accept(invite.invitation, status=1)
        assert "OS_" in refused.stderr
        acceptor.variables = lambda: {
            **real(),
            **west.variables("ann"),
            "ALLIANCE_SOCKET": str(acceptor.socket),
        }
        refused = acceptor.accept(invite.invitation, status=1)
        assert "Keystone" in refused.stderr
        acceptor.variables = real
        assert not invite.is_done()
    assert objects(west, inviter.name) == []
    assert acceptor.partners() == {}


def test_an_interrupted_invitation_is_taken_back(inviter, acceptor):
    with inviter.inviting(acceptor.name, "--role", "both") as invite:
        invitation = invite.invitation
        invite.interrupt()
        assert invite.status() == 1
    refused = acceptor.accept(invitation, status=1)
    assert "rejected" in refused.stderr
    assert acceptor.partners() == inviter.partners() == {}


def test_an_acceptance_taken_back_before_the_confirmation_pairs_nobody(west, inviter, acceptor):
    with inviter.inviting(acceptor.name, "--role", "both", "--yes") as invite:
        invitation = invite.invitation
        invite.halt()
        accepting = acceptor.accepting(invitation)
        accepting.says("Waiting")
        accepting.interrupt()
        assert accepting.status() == 1
        assert objects(west, inviter.name) == []
        invite.go_on()
        assert invite.status() == 1
    assert acceptor.partners() == inviter.partners() == {}
    assert objects(west, acceptor.name) == []


def test_a_removed_partner_is_gone_also_when_it_is_dead(west, inviter, acceptor):
    pair(inviter, acceptor)
    acceptor.kill()
    asked = inviter.run("partner", "remove", acceptor.name, status=1)
    assert "--yes" in asked.stderr
    removed = inviter.run("partner", "remove", acceptor.name, "--yes", "--purge", status=None)
    assert removed.status in (0, 3), removed
    assert inviter.partners() == {}
    assert objects(west, acceptor.name) == []
    acceptor.start()
    until(
        lambda: (
            acceptor.run("partner", "repair", inviter.name, status=None)
            and "warning" in acceptor.run("partner", "show", inviter.name).stdout
        ),
        "the removed one sees that it is not heard any more",
    )


def test_a_removed_partner_can_be_paired_anew(west, inviter, acceptor):
    pair(inviter, acceptor)
    for one, other in ((inviter, acceptor), (acceptor, inviter)):
        one.run("partner", "remove", other.name, "--yes", status=None)
    assert inviter.partners() == acceptor.partners() == {}
    pair(inviter, acceptor)
    assert inviter.partners() == {acceptor.name: "active"}


def test_the_operator_is_told_what_a_removal_leaves_in_keystone(west, inviter, acceptor):
    pair(inviter, acceptor)
    done = inviter.run("partner", "remove", acceptor.name, "--yes", status=None)
    for found in objects(west, acceptor.name):
        assert found.split()[-1] in done.stderr + done.stdout


def test_repair_puts_back_what_an_operator_deleted(west, inviter, acceptor):
    pair(inviter, acceptor)
    path = f"/OS-FEDERATION/identity_providers/{acceptor.name}"
    west.do("DELETE", path)
    assert "missing" in inviter.told("partner", "show", acceptor.name)["keystone"]["detail"]
    inviter.run("partner", "repair", acceptor.name)
    assert inviter.told("partner", "show", acceptor.name)["keystone"]["ok"]
    west.do("PATCH", path, {"identity_provider": {"enabled": False}})
    inviter.run("partner", "repair", acceptor.name)
    assert west.do("GET", path)["identity_provider"]["enabled"]


def altered(invitation: str, **changes) -> str:
    """An invitation with other content and a right checksum, as a forger would make it."""
    encoded = invitation.removeprefix("alliance1-")
    content = base64.urlsafe_b64decode(encoded + "=" * (-len(encoded) % 4))[:-4]
    changed = json.dumps({**json.loads(content), **changes}, separators=(",", ":")).encode()
    whole = changed + hashlib.sha256(changed).digest()[:4]
    return "alliance1-" + base64.urlsafe_b64encode(whole).rstrip(b"=").decode()
