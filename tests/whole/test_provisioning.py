"""What west orders for a project of its, east makes: all of it, once, whatever dies in between."""

import json

import pytest

from tests.kit.waiting import until
from tests.whole.provisioning import LATEST, Stack, network, server, volume

pytestmark = pytest.mark.usefixtures("network")

#: Two networks, three servers and a volume.
SHOW = {
    **network("front", "10.20.0.0/24"),
    **network("back", "10.21.0.0/24"),
    "web-1": server("front"),
    "web-2": server("front"),
    "db": server("back"),
    "data": volume(),
    "use": {
        "type": "OS::Cinder::VolumeAttachment",
        "properties": {
            "instance_uuid": {"get_resource": "db"},
            "volume_id": {"get_resource": "data"},
        },
    },
}
WHOLE = {
    "networks": ["back", "front"],
    "subnets": ["back-subnet", "front-subnet"],
    "servers": ["db", "web-1", "web-2"],
    "volumes": ["data"],
}


@pytest.fixture
def stack(west, east, ann, tmp_path, request):
    """One of the test's own; removed afterwards."""
    stack = Stack(west, east, ann, tmp_path, request.node.name[-40:])
    yield stack
    stack.does("destroy", status=None)


def test_a_plan_is_complete_and_nothing_twice_after_all_were_killed(west, east, stack):
    stack.plan(**SHOW)
    before = stack.members()
    planned = json.loads(stack.does("plan").stdout)["changes"]
    assert {change["change"] for change in planned} == {"create"}
    assert len(planned) == len(SHOW)
    assert not stack.there()
    with stack.under_way("apply") as applying:
        until(lambda: "started" in stack.resources().values(), "it has begun", deadline=60)
        with west.started_after("alliance"), east.started_after("alliance", "alliance-work"):
            east.kill("alliance-work", "alliance")
            west.kill("alliance")
        said, complaints = applying.communicate(timeout=LATEST)
    assert applying.returncode == 0, complaints
    assert json.loads(said.splitlines()[-1])["state"] == "complete"
    assert stack.there() == WHOLE
    assert stack.attached() == [1]
    assert set(stack.resources().values()) == {"done"}
    assert stack.members() == before, "the role in the project was given back"

    again = stack.does("apply")
    planned = json.loads(again.stdout.splitlines()[0])["changes"]
    assert {change["change"] for change in planned} == {"keep"}
    assert stack.there() == WHOLE

    stack.does("destroy")
    assert stack.state() == "destroyed"
    assert not stack.there()
    assert stack.members() == before


def test_a_project_is_made_ready_before_any_of_its_users_comes(west, east):
    person = west.person(roles=("member", "reader"))
    place = ("--at", "east", "--project", person.project.id)
    refused = west.alliance("provision", "prepare", *place, status=1).stderr
    assert "no agreement of this cloud covers the project now" in refused
    east.agree("west", person.project, ("member",), "--quota", "networks=3")
    prepared = west.told("provision", "prepare", *place)
    here = east.do("GET", f"/projects/{prepared['host_project_id']}")["project"]
    assert here["name"].startswith(f"{person.project.name}@")

    def limits() -> list:
        found = east.told("project", "limits", "--partner", "west")
        own = [one for one in found if one["project_id"] == person.project.id]
        return [one["limit"] for one in own if one["resource"] == "networks"]

    until(lambda: limits() == [3], "what was agreed is set", deadline=30)
    assert west.told("provision", "prepare", *place)["host_project_id"] == here["id"]
    token = east.validate(person.login()).json()["token"]
    assert token["project"]["id"] == here["id"]


def test_what_cannot_be_made_is_refused_or_taken_back(stack):
    stack.plan(net={"type": "OS::Neutron::Net", "properties": {"nam": "x"}})
    refused = stack.does("apply", status=1).stderr
    assert "net: nam: no such property" in refused
    assert stack.report() is None

    stack.plan(**network("net", "10.22.0.0/24"), web=server("net", image="no-such-image"))
    failed = stack.does("apply", status=1)
    assert 'web: image "no-such-image" is not there' in failed.stderr
    assert stack.state() == "failed"
    assert not stack.there()
