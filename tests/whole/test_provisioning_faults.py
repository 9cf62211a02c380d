"""Orders of west, and what goes wrong at east meanwhile: at the end each stack is whole or gone.
Takes long: `make nightly`."""

import contextlib
import functools
import json
import sqlite3
import subprocess
import threading
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import pytest

from tests.kit import known_secrets
from tests.kit.waiting import until
from tests.whole.conftest import FLAVOR
from tests.whole.provisioning import LATEST, Stack, network, server, volume
from tests.whole.retiring import DONE, Estate, reaches, retirement

pytestmark = pytest.mark.usefixtures("network")

SMALL = {**network("net", "10.30.0.0/24"), "web": server("net"), "data": volume()}
WHOLE = {"networks": ["net"], "subnets": ["net-subnet"], "servers": ["web"], "volumes": ["data"]}


@pytest.fixture
def stack(west, east, ann, tmp_path, request):
    name = request.node.name.translate(str.maketrans("[]", "--"))
    stack = Stack(west, east, ann, tmp_path, name[-40:])
    stack.plan(**SMALL)
    yield stack
    stack.does("destroy", status=None)
    assert not stack.there()


@pytest.fixture
def location(image_file):
    """Where the web has an image."""
    handler = functools.partial(SimpleHTTPRequestHandler, directory=image_file.parent)
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as web:
        threading.Thread(target=web.serve_forever).start()
        try:
            yield f"http://127.0.0.1:{web.server_port}/{image_file.name}"
        finally:
            web.shutdown()


def test_a_plan_of_every_kind_is_made_and_removed_to_the_last(east, stack, location, image_file):
    def use(name: str) -> dict:
        return {"get_resource": name}

    rules = [
        {"protocol": "tcp", "port_range_min": 80, "port_range_max": 81},
        {"direction": "egress", "protocol": "udp", "remote_ip_prefix": "192.0.2.0/24"},
    ]
    source = {"location": location, "disk_format": "raw", "container_format": "bare"}
    at = {"network": use("net"), "security_groups": [use("rules")]}
    address = {"subnet": use("net-subnet"), "ip_address": "10.31.0.77"}
    web = {"flavor": FLAVOR["name"], "image": use("image"), "networks": [{"port": use("port")}]}
    attachment = {"instance_uuid": use("web"), "volume_id": use("data")}
    gate = {"router": use("router"), "subnet": use("net-subnet")}
    stack.plan(
        **network("net", "10.31.0.0/24"),
        router={"type": "OS::Neutron::Router"},
        gate={"type": "OS::Neutron::RouterInterface", "properties": gate},
        rules={"type": "OS::Neutron::SecurityGroup", "properties": {"rules": rules}},
        port={"type": "OS::Neutron::Port", "properties": {**at, "fixed_ips": [address]}},
        image={"type": "OS::Glance::WebImage", "properties": source},
        web={"type": "OS::Nova::Server", "properties": web},
        data=volume(),
        use={"type": "OS::Cinder::VolumeAttachment", "properties": attachment},
    )
    stack.does("apply")
    assert stack.there() == {
        **WHOLE,
        "routers": ["router"],
        "security_groups": ["rules"],
        "ports": ["port"],
        "images": ["image"],
    }
    made = {one["resource"]: one["id"] for one in stack.report()["resources"]}
    found = stack.asked("neutron", f"/v2.0/ports/{made['port']}")["port"]
    assert found["device_id"] == made["web"]
    assert [one["ip_address"] for one in found["fixed_ips"]] == [address["ip_address"]]
    assert found["security_groups"] == [made["rules"]]
    group = stack.asked("neutron", f"/v2.0/security-groups/{made['rules']}")["security_group"]
    its = {(one["protocol"], one["direction"]) for one in group["security_group_rules"]}
    assert its > {("tcp", "ingress"), ("udp", "egress")}
    image = stack.asked("glance", f"/v2/images/{made['image']}")
    assert (image["status"], image["size"]) == ("active", image_file.stat().st_size)
    gates = stack.asked("neutron", f"/v2.0/ports?device_id={made['router']}")["ports"]
    assert [one["network_id"] for one in gates] == [made["net"]]
    assert stack.attached() == [1]

    again = json.loads(stack.does("apply").stdout.splitlines()[0])["changes"]
    assert {change["change"] for change in again} == {"keep"}
    stack.does("destroy")
    assert not stack.there()
    ports = stack.asked("neutron", "/v2.0/ports")["ports"]
    assert made["net"] not in {one["network_id"] for one in ports}


@pytest.mark.parametrize("resource", SMALL)
def test_a_kill_at_each_step_leaves_nothing_twice(east, stack, resource):
    with stack.under_way("apply") as applying:
        until(lambda: stack.resources().get(resource) in ("started", "done"), "begun", deadline=60)
        with east.started_after("alliance-work"):
            east.kill("alliance-work")
        _, complaints = applying.communicate(timeout=LATEST)
    assert applying.returncode == 0, complaints
    assert stack.there() == WHOLE
    with stack.under_way("destroy") as destroying:
        until(lambda: "removing" in stack.resources().values(), "begun", deadline=60)
        with east.started_after("alliance-work"):
            east.kill("alliance-work")
        _, complaints = destroying.communicate(timeout=LATEST)
    assert destroying.returncode == 0, complaints
    assert not stack.there()


@contextlib.contextmanager
def another_that_works(east, folder):
    """A further process that waits until east's own ends; what it says."""
    log = folder / "another.log"
    config = east.folder / "alliance-work" / "alliance.toml"
    command = ["setpriv", "--pdeathsig", "KILL", east.program, "work", "--config", config]
    with (
        known_secrets.note_log(log).open("wb") as output,
        subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT) as running,
    ):
        try:
            until(lambda: "this one waits" in log.read_text(), "it waits")
            yield log.read_text
        finally:
            running.terminate()


@contextlib.contextmanager
def halted(east):
    """East's own process that works is halted, between transactions: in one it halts the daemon."""
    database = east.folder / "alliance" / "state" / "alliance.db"
    for _ in range(100):
        with east.frozen("alliance-work"):
            with contextlib.closing(sqlite3.connect(database, isolation_level=None)) as asking:
                try:
                    asking.execute("BEGIN IMMEDIATE")
                    asking.execute("ROLLBACK")
                except sqlite3.OperationalError:
                    continue
            yield
            return
    raise AssertionError("it is always in a transaction")


@pytest.mark.parametrize("resource", ["net", "web"])
def test_who_is_halted_at_a_step_does_nothing_more_when_another_has_taken_over(
    east, stack, tmp_path, resource
):
    log = east.log("alliance-work")
    before = log.stat().st_size
    with another_that_works(east, tmp_path) as said:
        with stack.under_way("apply") as applying:
            until(lambda: stack.resources().get(resource) in ("started", "done"), "begun", 60)
            with halted(east):
                _, complaints = applying.communicate(timeout=LATEST)
                until(lambda: '"working"' in said(), "the other has taken over", deadline=60)
        assert applying.returncode == 0, complaints
        until(lambda: b"whoever works next" in log.read_bytes()[before:], "it has let go")
        assert stack.there() == WHOLE
        stack.does("destroy")
        assert not stack.there()
    stack.does("apply")
    assert stack.there() == WHOLE


def test_a_kill_while_it_is_undone_is_undone_to_the_end(east, stack):
    stack.plan(**SMALL, bad=server("net", image="no-such-image"))
    with stack.under_way("apply") as applying:
        until(lambda: stack.state() == "undoing", "it is being undone", deadline=LATEST)
        with east.started_after("alliance-work"):
            east.kill("alliance-work")
        applying.communicate(timeout=LATEST)
    assert applying.returncode == 1
    assert stack.state() == "failed"
    assert not stack.there()


def test_what_cannot_be_made_leaves_what_was_there_before(stack):
    stack.does("apply")
    stack.plan(**SMALL, more={"type": "OS::Neutron::Net"}, bad=server("net", image="no-such"))
    failed = stack.does("apply", status=1)
    assert 'bad: image "no-such" is not there' in failed.stderr
    assert stack.there() == WHOLE
    assert set(stack.resources().values()) == {"done"}


def test_more_than_the_agreement_grants_is_refused_before_anything_is_made(west, east, ann, stack):
    agreed = [one for one in east.told("agreement", "list") if one["projects"] == ann.project.id]
    agreement = agreed[0]["id"]
    east.ordered("agreement", "change", agreement, "--quota", "gigabytes=1")
    try:
        stack.plan(data=volume(2))
        refused = stack.does("apply", status=1)
        assert "asks for 2 gigabytes, the agreement grants 1" in refused.stderr
        assert stack.report() is None
    finally:
        east.ordered("agreement", "change", agreement, "--quota", "gigabytes=none")


def test_two_names_that_clash_are_told_apart_by_the_service(shell, stack):
    shell.openstack("east", "network create twice")
    shell.openstack("east", "network create twice")
    web = {"type": "OS::Nova::Server", "properties": {"flavor": FLAVOR["name"], "image": "img"}}
    web["properties"]["networks"] = [{"network": "twice"}]
    stack.plan(web=web)
    failed = stack.does("apply", status=1)
    assert 'web: several networks are called "twice": name the id' in failed.stderr
    assert not stack.there()


def test_two_applies_at_once_make_one(stack):
    with stack.under_way("apply") as first, stack.under_way("apply") as second:
        for applying in (first, second):
            _, complaints = applying.communicate(timeout=LATEST)
            assert applying.returncode == 0, complaints
    assert stack.there() == WHOLE


def test_another_plan_waits_for_the_one_under_way(stack):
    stack.does("apply", "--no-wait")
    stack.plan(data=volume())
    refused = stack.does("apply", status=1)
    assert "another order for the stack is being carried out" in refused.stderr
    stack.ends("complete")
    stack.does("apply")
    assert stack.there() == {"volumes": ["data"]}


def test_what_is_cancelled_is_gone(stack):
    with stack.under_way("apply") as applying:
        until(lambda: "started" in stack.resources().values(), "it has begun", deadline=60)
        cancelled = stack.does("cancel", status=None)
        assert "cancelled" in cancelled.stdout
        applying.communicate(timeout=LATEST)
    assert stack.state() == "cancelled"
    assert not stack.there()


def test_a_changed_property_is_replaced_if_that_is_wanted(stack):
    stack.does("apply")
    before = {one["resource"]: one["id"] for one in stack.report()["resources"]}
    stack.plan(**{**SMALL, "data": volume(2)})
    refused = stack.does("apply", status=1)
    assert "data: size: has changed" in refused.stderr
    stack.does("apply", "--replace")
    after = {one["resource"]: one["id"] for one in stack.report()["resources"]}
    assert {name for name in before if before[name] != after[name]} == {"data"}
    assert stack.there() == WHOLE


@pytest.mark.parametrize("service", ["nova", "neutron", "cinder"])
def test_a_service_that_is_away_for_a_while_is_waited_for(east, stack, service):
    log = east.log("alliance-work")
    with contextlib.ExitStack() as away:
        # Before it is ordered: Nova leaves a server in ERROR for which it has no Neutron.
        away.enter_context(east.stopped(service))
        before = log.stat().st_size
        with stack.under_way("apply") as applying:

            def is_missed() -> bool:
                said = log.read_bytes()[before:].decode(errors="replace").lower().splitlines()
                of_it = [line for line in said if f"{service} was not reached" in line]
                return any("trying again" in line for line in of_it)

            until(is_missed, f"{service} is missed", deadline=60)
            assert stack.state() == "running"
            away.close()
            _, complaints = applying.communicate(timeout=LATEST)
    assert applying.returncode == 0, complaints
    assert stack.state() == "complete"
    assert stack.there() == WHOLE


def test_a_message_bus_that_is_away_for_a_while_leaves_all_or_nothing(east, stack):
    with stack.under_way("apply") as applying:
        with east.stopped("rabbitmq"):
            until(lambda: stack.state() == "running", "it has begun", deadline=60)
        is_whole_or_gone(stack, applying)


#: What dies together, as with its machine.
DYING = [("nova", "nova-compute"), ("neutron",), ("cinder", "cinder-volume"), ("rabbitmq",)]


@pytest.mark.parametrize("services", DYING, ids="-".join)
def test_a_service_that_is_killed_in_the_middle_leaves_all_or_nothing(east, stack, services):
    with stack.under_way("apply") as applying:
        until(lambda: "started" in stack.resources().values(), "it has begun", deadline=60)
        with east.killed(*services):
            pass
        is_whole_or_gone(stack, applying)


def is_whole_or_gone(stack, applying) -> None:
    """How an apply ends during which a service was away. A server that Nova began without its
    message bus, or that its hypervisor's agent left, ends in ERROR: then all is taken back. An
    order that was lost with the bus is waited for ten minutes, unless home does not want to."""
    try:
        said, complaints = applying.communicate(timeout=60)
    except subprocess.TimeoutExpired:
        stack.does("cancel")
        said, complaints = applying.communicate(timeout=LATEST)
    ended = json.loads(said.splitlines()[-1])["state"]
    assert ended in ("complete", "failed", "cancelled"), complaints
    assert applying.returncode == (0 if ended == "complete" else 1), complaints
    assert stack.there() == (WHOLE if ended == "complete" else {})


def test_an_agreement_that_ends_in_the_middle_takes_it_back(west, east, ann, stack):
    resources = {f"web-{number}": server("net") for number in range(12)}
    stack.plan(**network("net", "10.30.0.0/24"), **resources)
    with stack.under_way("apply") as applying:
        until(lambda: "done" in stack.resources().values(), "it has begun", deadline=60)
        east.end("west", ann.project.id)
        try:
            applying.communicate(timeout=LATEST)
            assert stack.state() == "failed"
            # Who looks a moment later sees what follows from that.
            why = stack.report()["detail"]
            assert "no agreement" in why or "being retired" in why
            assert not stack.there()
        finally:
            east.agree("west", ann.project, ("member", "reader"))


def test_a_project_that_is_being_retired_is_given_nothing(west, east, flavor, tmp_path):
    leaving = west.person(roles=("member", "reader"))
    graces = ("--quarantine-after", "0s", "--delete-after", "1s")
    east.agree("west", leaving.project, ("member", "reader"), *graces)
    estate = Estate(east, leaving)
    stack = Stack(west, east, leaving, tmp_path, "leaving")
    small = network("net", "10.32.0.0/24")
    stack.plan(**small)
    stack.does("apply")
    stack.plan(**small, data=volume())
    with east.stopped("alliance-work"):
        stack.does("apply", "--no-wait")
        until(lambda: stack.state() == "ordered", "east has the order", deadline=DONE)
        east.end("west", leaving.project.id)
        until(lambda: retirement(east, estate), "it is retired", deadline=DONE)
    stack.ends("failed")
    assert "being retired" in stack.report()["detail"]
    reaches(east, estate, "deleted")
    assert estate.there() == {}
    refused = stack.does("apply", status=1).stderr
    assert "no agreement" in refused
    assert estate.there() == {}
