"""What becomes of a west project's resources at east when a user of it goes, and when it does."""

import pytest

from tests.kit.waiting import until
from tests.whole.retiring import DONE, Estate, reaches, retirement

ROLES = ("member", "reader")


@pytest.fixture(scope="module")
def estate(west, east, flavor):
    """A project with a bit of everything; its agreement gives it five seconds."""
    ann = west.person(roles=ROLES)
    graces = ("--quarantine-after", "0s", "--delete-after", "5s")
    east.agree("west", ann.project, ROLES, *graces)
    return Estate(east, ann)


@pytest.fixture(scope="module")
def server(west, estate, image_file):
    estate.image(west, image_file)
    estate.network()
    return estate.server("web")


def test_a_user_who_is_deleted_at_home_leaves_the_projects_server_running(west, estate, server):
    bob = west.person(project=estate.person.project, roles=ROLES)
    colleague = Estate(estate.east, bob)
    token = bob.login()
    colleague.ask("GET", "nova", "/v2.1/servers", token=token)
    west.do("DELETE", f"/users/{bob.id}")
    until(lambda: not estate.east.lets_in(token), "bob has no access", deadline=DONE)
    assert estate.status(server) == "ACTIVE"
    assert retirement(estate.east, estate) is None
    estate.ask("GET", "nova", f"/v2.1/servers/{server}")


def test_a_project_that_is_deleted_at_home_is_stopped_then_deleted_and_home_has_the_receipt(
    west, east, estate, server
):
    estate.volumes(server)
    address = estate.address(server)
    estate.rest(server)
    had = estate.there()
    assert {*had} >= {"server", "volume", "snapshot", "image", "floating_ip", "router", "network"}
    assert len(estate.in_keystone()) >= 2

    west.do("DELETE", f"/projects/{estate.person.project.id}")
    begun = reaches(east, estate, "quarantine")
    assert begun["cause"] == "project_deleted"
    until(lambda: estate.status(server) in ("SHUTOFF", "GONE"), "the server is off", deadline=DONE)
    done = reaches(east, estate, "deleted")
    assert estate.there() == {}
    assert estate.in_keystone() == []
    gone = {(item["kind"], item["id"]) for item in done["items"] if item["state"] == "deleted"}
    missing = {(kind, id) for kind, ids in had.items() for id in ids} - gone
    # Neutron's own ports go with what they serve.
    assert {kind for kind, _ in missing} <= {"port"}, missing
    assert ("floating_ip", address) in gone

    receipt = reaches(west, estate, "deleted")
    assert receipt["here"] is False
    told = {(item["kind"], item["id"]) for item in receipt["items"]}
    assert told >= gone
    assert all(item["state"] == "deleted" for item in receipt["items"])
    until(
        lambda: retirement(east, estate)["receipt"]["acknowledged"],
        "east knows that west has the receipt",
    )
