"""A server at the host, by a user of home and by one of the host's own."""

from __future__ import annotations

import subprocess

from benches.client import Request, to_cloud
from benches.samples import Row, Series, Target, ratio
from benches.stage import Stage, down, up
from lab.state import Lab, lab_folder
from tests.kit import http
from tests.kit.cloud import Cloud
from tests.kit.waiting import until

ROUNDS, EACH = 8, 6
#: Servers without a network can be asked for since this version.
VERSION = {"X-OpenStack-Nova-API-Version": "2.37"}
FLAVOR = {"name": "bench", "ram": 64, "disk": 1, "vcpus": 1}


def measure(stage: Stage) -> list[Row]:
    """In two whole clouds of its own, which end with it."""
    folder = lab_folder().with_name(lab_folder().name + "-whole")
    up(folder, "west", "east", services="nova")
    try:
        lab = Lab(folder)
        return [_compare(stage, Cloud(lab, "west"), Cloud(lab, "east"))]
    finally:
        down(folder)


def _compare(stage: Stage, west: Cloud, east: Cloud) -> Row:
    flavor = east.make("nova", "/v2.1/flavors", {"flavor": FLAVOR})["flavor"]["id"]
    picture = image(east)
    people = (west.person(), east.person())
    east.agree("west", people[0].project)
    until(lambda: east.lets_in(people[0].login()), "east lets in the guest", deadline=40)
    foreign, native = Series("server create, west token"), Series("east token")
    for number in range(ROUNDS + 1):
        tokens = [person.login() for person in people]
        requests = [_create(east, token, picture, flavor) for token in tokens] * EACH
        took = stage.sender.in_order(requests).all_are(202).milliseconds[2:]
        # The first round is the first time that anybody does it.
        if number:
            foreign.add(took[0::2])
            native.add(took[1::2])
        for token in tokens:
            _delete_all(east, token)
    note = "POST /v2.1/servers until 202, both tokens seen before; the first use is another row."
    return ratio(foreign, native, Target(1.05), note)


def _create(east: Cloud, token: str, image: str, flavor: str) -> Request:
    server = {"name": "bench", "imageRef": image, "flavorRef": flavor, "networks": "none"}
    headers = {"X-Auth-Token": token, **VERSION}
    return to_cloud("POST", f"{_compute(east)}/servers", headers, {"server": server})


def _delete_all(east: Cloud, token: str) -> None:
    headers = {"X-Auth-Token": token}

    def left() -> list[str]:
        answer = http.send("GET", f"{_compute(east)}/servers", headers)
        assert answer.status == 200, answer.body
        return [server["id"] for server in answer.json()["servers"]]

    for server in left():
        http.send("DELETE", f"{_compute(east)}/servers/{server}", headers)
    until(lambda: not left(), "the servers are gone", deadline=120)


def _compute(east: Cloud) -> str:
    return f"http://127.0.0.1:{east.port('nova')}/v2.1"


def image(east: Cloud) -> str:
    """The id of a public one; what is in it does not matter."""
    words = ("--public", "--disk-format", "raw", "--container-format", "bare", "bench")
    create = ["openstack", "image", "create", "--file", __file__, *words, "-f", "value", "-c", "id"]
    done = subprocess.run(
        create, env=east.variables(), stdout=subprocess.PIPE, text=True, timeout=60, check=True
    )
    return done.stdout.strip()
