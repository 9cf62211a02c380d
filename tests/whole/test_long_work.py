"""What services of east have begun for a user of west goes on without him, or ends with his token
or with the agreement."""

import contextlib
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import pytest

from tests.kit import http
from tests.kit.cloud import Cloud
from tests.kit.keystone_beside import KeystoneBeside
from tests.kit.waiting import until
from tests.whole.conftest import FLAVOR

#: How long a token lives in which work begins.
LIFE = 20
#: Until a service of a busy machine has done what it was asked for.
DONE = 60

#: Of services that wait for no other.
LISTINGS = {"nova": "/v2.1/servers", "cinder": "/v3/volumes", "glance": "/v2/images"}
ROLES = ("member", "reader")

pytestmark = pytest.mark.usefixtures("network")


@dataclass(frozen=True)
class Worker:
    """Asks a cloud's services for work."""

    cloud: Cloud
    token: str

    def ask(self, service: str, method: str, path: str, body=None) -> http.Answer:
        url = f"http://127.0.0.1:{self.cloud.port(service)}{path}"
        newest = {"OpenStack-API-Version": "volume 3.70"} if service == "cinder" else {}
        return http.send(method, url, {"X-Auth-Token": self.token, **newest}, body, deadline=DONE)

    def told(self, service: str, path: str) -> dict:
        answer = self.ask(service, "GET", path)
        assert answer.status == 200, f"{path}: {answer.status} {answer.body}"
        return answer.json()

    def wanted(self, name: str) -> dict:
        """What to send for a server."""
        [network] = self.told("neutron", "/v2.0/networks?name=net")["networks"]
        [image] = self.told("glance", "/v2/images?name=img")["images"]
        flavors = self.told("nova", "/v2.1/flavors")["flavors"]
        server = {
            "name": name,
            "networks": [{"uuid": network["id"]}],
            "imageRef": image["id"],
            "flavorRef": next(each["id"] for each in flavors if each["name"] == FLAVOR["name"]),
        }
        return {"server": server}

    def boots(self, name: str) -> None:
        """Asks for a server, which then is not there yet."""
        answer = self.ask("nova", "POST", "/v2.1/servers", self.wanted(name))
        assert answer.status == 202, answer.body

    def servers(self) -> dict[str, str]:
        """How each server is."""
        listed = self.told("nova", "/v2.1/servers/detail")["servers"]
        return {each["name"]: each["status"] for each in listed}

    def ports(self) -> int:
        """How many ports servers have."""
        listed = self.told("neutron", "/v2.0/ports?device_owner=compute:nova")
        return len(listed["ports"])

    def uploads(self, volume: str) -> str:
        """Asks for an image of a volume; the image's id."""
        asked = {"image_name": volume, "disk_format": "raw", "container_format": "bare"}
        path = f"/v3/volumes/{self.volume(volume)['id']}/action"
        answer = self.ask("cinder", "POST", path, {"os-volume_upload_image": asked})
        assert answer.status == 202, answer.body
        return answer.json()["os-volume_upload_image"]["image_id"]

    def volume(self, name: str) -> dict:
        [found] = self.told("cinder", f"/v3/volumes/detail?name={name}")["volumes"]
        return found

    def image(self, image: str) -> str | None:
        """How an image is; None if there is none."""
        answer = self.ask("glance", "GET", f"/v2/images/{image}")
        return answer.json()["status"] if answer.status == 200 else None


@pytest.fixture
def begun(east, shell):
    """Takes back what a test has begun."""
    with contextlib.ExitStack() as stack:
        yield lambda words: stack.callback(shell.openstack, "east", words)


def test_work_outlives_an_expired_token_but_not_a_revoked_one(west, east, ann, begun):
    names = ("expires", "revoked")
    later = Worker(east, ann.login())
    for name in names:
        made = later.ask("cinder", "POST", "/v3/volumes", {"volume": {"name": name, "size": 1}})
        assert made.status == 202, made.body
    begun("volume delete expires revoked")
    begun("server delete --wait expires revoked")

    def ready() -> bool:
        return all(later.volume(name)["status"] == "available" for name in names)

    until(ready, "the volumes are there", DONE)

    with KeystoneBeside(west, {"token": {"expiration": LIFE}}) as short:
        issued = {name: short.login(ann) for name in names}
    workers = {name: Worker(east, each.token) for name, each in issued.items()}
    with east.frozen("nova-compute"), east.frozen("cinder-volume"):
        images = {}
        for name, worker in workers.items():
            worker.boots(name)
            images[name] = worker.uploads(name)
        gone = issued["revoked"].token
        west.ask("DELETE", "/auth/tokens", gone, X_Subject_Token=gone)
        until(lambda: not east.lets_in(gone), "east knows that it was revoked")
        last = max(each.expires for each in issued.values())
        until(lambda: time.time() > last + 1, "the tokens have expired", deadline=LIFE + 5)
        assert not any(east.lets_in(each.token) for each in issued.values())
        # What services remember of the token would do for them.
        east.forget()

    until(lambda: later.servers()["expires"] == "ACTIVE", "the server is there", DONE)
    until(lambda: later.image(images["expires"]) == "active", "the image is there", DONE)
    until(lambda: later.servers()["revoked"] == "ERROR", "the other was not built", DONE)
    until(lambda: later.volume("revoked")["status"] == "available", "nor is it uploaded", DONE)
    assert later.image(images["revoked"]) != "active"
    assert later.ports() == 1


def test_an_agreement_ends_while_servers_are_being_created(west, east, ann, begun):
    """One that compute has not begun with, and one whose request is under way."""
    token = ann.login()
    guest, nobody = Worker(east, token), dict.fromkeys(LISTINGS, 401)
    wanted = guest.wanted("under-way")
    begun("server delete --wait accepted")
    with contextlib.ExitStack() as again, ThreadPoolExecutor() as pool:
        again.callback(east.agree, "west", ann.project, ROLES)
        with east.frozen("nova-compute"):
            guest.boots("accepted")
            with east.noting("glance") as seen, east.frozen("neutron"):
                under_way = pool.submit(guest.ask, "nova", "POST", "/v2.1/servers", wanted)
                until(lambda: seen.has(token), "nova works at it")
                east.end("west", ann.project.id)
                refused = {name: guest.ask(name, "GET", path) for name, path in LISTINGS.items()}
        assert {name: answer.status for name, answer in refused.items()} == nobody
        assert under_way.result().status == 401
        for name, path in LISTINGS.items():
            Worker(west, token).told(name, path)
        assert west.status_of("east") == "active"
    later = Worker(east, ann.login())
    until(lambda: later.servers() == {"accepted": "ERROR"}, "it was not built", DONE)
    assert later.ports() == 0
