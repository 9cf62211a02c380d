"""Retirements whatever goes wrong. Takes long: `make nightly`."""

import os
import signal

import pytest

from tests.kit.waiting import until
from tests.whole.retiring import DONE, Estate, reaches, retirement

ROLES = ("member", "reader")


@pytest.fixture
def made(west, east, flavor, image_file):
    """Makes a project with a running server, and says with which agreement."""

    def make(delete_after: str) -> tuple[Estate, str]:
        ann = west.person(roles=ROLES)
        graces = ("--quarantine-after", "0s", "--delete-after", delete_after)
        east.agree("west", ann.project, ROLES, *graces)
        estate = Estate(east, ann)
        estate.image(west, image_file)
        estate.network()
        return estate, estate.server("web")

    return make


def test_a_project_that_is_disabled_is_stopped_and_runs_again_when_it_is_enabled(west, east, made):
    estate, server = made("1s")
    address = estate.address(server)
    port = estate.port_of(address)
    project = f"/projects/{estate.person.project.id}"
    west.do("PATCH", project, {"project": {"enabled": False}})
    until(lambda: estate.status(server) == "SHUTOFF", "the server is off", deadline=DONE)
    until(lambda: estate.port_of(address) is None, "the address is withdrawn", deadline=DONE)
    until(lambda: retirement(east, estate)["quarantined_at"], "all is stopped", deadline=DONE)
    held = retirement(east, estate)
    assert (held["cause"], held["delete_at"]) == ("project_disabled", None)
    west.do("PATCH", project, {"project": {"enabled": True}})
    until(lambda: estate.status(server) == "ACTIVE", "the server runs again", deadline=DONE)
    reaches(east, estate, "restored")
    assert estate.port_of(address) == port


def test_a_new_agreement_before_the_deletion_starts_what_was_stopped(west, east, made):
    estate, server = made("7d")
    asleep = estate.server("asleep")
    estate.ask("POST", "nova", f"/v2.1/servers/{asleep}/action", {"os-stop": None})
    until(lambda: estate.status(asleep) == "SHUTOFF", "its user has stopped it", deadline=DONE)
    with west.stopped("alliance"):
        east.end("west", estate.person.project.id)
        until(lambda: estate.status(server) == "SHUTOFF", "it is off", deadline=DONE)
        until(lambda: retirement(east, estate)["quarantined_at"], "all is stopped", deadline=DONE)
    east.agree("west", estate.person.project, ROLES)
    reaches(east, estate, "restored")
    until(lambda: estate.status(server) == "ACTIVE", "it runs again", deadline=DONE)
    assert estate.status(asleep) == "SHUTOFF", "that was not us"


def test_both_processes_die_at_every_step_and_a_dead_home_hinders_nothing(west, east, made):
    estate, server = made("1s")
    estate.volumes(server)
    with west.stopped("alliance"):
        east.end("west", estate.person.project.id)
        for phase in ("quarantine", "deletion"):
            reaches(east, estate, phase)
            for service in ("alliance-work", "alliance"):
                os.kill(east.pid(service), signal.SIGKILL)
                until(lambda service=service: not _runs(east, service), f"{service} is dead")
            east.start("alliance", "alliance-work")
        reaches(east, estate, "deleted", deadline=3 * DONE)
        written = until(lambda: retirement(east, estate)["receipt"], "a receipt is written")
    assert estate.there() == {}
    assert estate.in_keystone() == []
    assert written["acknowledged"] is False
    receipt = reaches(west, estate, "deleted")
    kinds = {item["kind"] for item in receipt["items"]}
    assert kinds >= {"server", "volume", "snapshot", "image", "network", "project"}


def test_what_cannot_be_deleted_is_named_in_the_receipt_and_goes_when_it_can(west, east, made):
    estate, _server = made("1s")
    network = {"port": {"network_id": estate.net, "project_id": "0" * 32}}
    port = estate.admin("POST", "neutron", "/v2.0/ports", network)["port"]["id"]
    east.end("west", estate.person.project.id)

    def remainder():
        told = retirement(west, estate)
        left = [item for item in told["items"] if item["state"] == "left"] if told else []
        return {item["kind"]: item["detail"] for item in left}

    left = until(remainder, "west has a receipt with a remainder", deadline=2 * DONE)
    assert {*left} == {"subnet", "network"}
    assert "in use" in left["network"]
    assert "could not be stopped or deleted" in east.alliance("doctor", status=None).stdout
    estate.admin("DELETE", "neutron", f"/v2.0/ports/{port}")
    reaches(west, estate, "deleted", deadline=2 * DONE)
    assert estate.there() == {}


def test_a_project_that_is_gone_has_no_limits_though_its_agreement_stands(west, east, made):
    estate, _server = made("1s")
    project = estate.person.project.id

    def limits() -> set[tuple]:
        found = [one for one in east.told("project", "limits") if one["project_id"] == project]
        return {(one["resource"], one["problem"]) for one in found}

    until(lambda: ("servers", None) in limits(), "its limits are known", deadline=DONE)
    west.do("DELETE", f"/projects/{project}")
    reaches(east, estate, "deleted")
    until(lambda: limits() == {(None, None)}, "nobody tries to set them", deadline=DONE)


def test_a_new_password_and_a_logout_retire_nothing(west, east, made):
    estate, server = made("1s")
    ann = estate.person
    west.do("PATCH", f"/users/{ann.id}", {"user": {"password": "another-Secret1"}})
    until(lambda: not east.lets_in(estate.token), "her token has ended", deadline=DONE)
    assert retirement(east, estate) is None
    assert estate.status(server) == "ACTIVE"


def _runs(cloud, service: str) -> bool:
    try:
        cloud.pid(service)
    except AssertionError:
        return False
    return True
