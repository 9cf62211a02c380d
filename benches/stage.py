"""What is measured: two clouds that are partners, and a stock one beside them."""

from __future__ import annotations

import os
import secrets
import socket
import struct
import subprocess
import time
from base64 import urlsafe_b64encode
from pathlib import Path

from benches import programs
from benches.client import Request, Sender, to_cloud, to_daemon
from lab.errors import LabError
from lab.services.alliance import Alliance
from lab.state import CHECKOUT, Lab, lab_folder
from tests.kit import http
from tests.kit.cloud import Cloud
from tests.kit.people import Person
from tests.kit.waiting import until

#: Users, each with a project of its own, that every home has besides those who take part.
POPULATION = 50
#: Seconds that Keystone remembers a token: what the plugin makes of an unset `[token] cache_time`.
CACHE_TIME = 55
#: `[alliance] max_staleness`: when Keystone has surely forgotten it.
MAX_STALENESS = 60
#: The same in a stock Keystone.
STOCK_CACHE_TIME = 600


class Stage:
    """`west` is home, `east` is host. `stock` is like west, without Alliance: whatever is made at
    one is made at the other."""

    def __init__(self):
        self.programs = programs.build()
        self.sender = Sender(self.programs / "alliance-load")
        here = lab_folder()
        beside = here.with_name(here.name + "-stock")
        up(here, "west", "east")
        up(beside, "--without-alliance", "west")
        lab = Lab(here)
        self.west, self.east = Cloud(lab, "west"), Cloud(lab, "east")
        self.stock = Cloud(Lab(beside), "west")
        self.daemon = Alliance(lab.cloud("east"))
        self.home_daemon = Alliance(lab.cloud("west"))
        for _ in range(POPULATION):
            self.resident()
        #: At west, in a project for which east has an agreement.
        self.guest = self.resident()[0]
        self.east.agree("west", self.guest.project)
        #: At east.
        self.native = self.east.person()
        #: As which east's services validate tokens.
        self.service = self.east.login_as("alliance", "service")
        #: What rows found out and later rows need, in milliseconds.
        self.costs: dict[str, float] = {}
        self.used: list[tuple[Request, Request]] = []
        self.used_at = 0.0
        until(self._is_shown, "west shows its guest the region east", deadline=40)

    def resident(self, project=None, stock_project=None) -> tuple[Person, Person]:
        """A new user at west, and one at the stock cloud."""
        ours = self.west.person(project=project)
        return ours, self.stock.person(project=stock_project)

    def _is_shown(self) -> bool:
        person = self.guest
        answer = self.west.auth(
            {"password": {"user": {"id": person.id, "password": person.password}}}, person.project
        )
        regions = {
            endpoint["region"]
            for service in answer.json()["token"]["catalog"]
            for endpoint in service["endpoints"]
        }
        return "east" in regions

    def tokens(self, person: Person, count: int) -> list[str]:
        """Fresh tokens of a person. Bought with a first one, which is cheaper than a login."""
        first = person.login()
        return [person.cloud.sells(first, person.project) for _ in range(count)]

    def validates(self, token: str) -> Request:
        """A service of east asks its Keystone about a token."""
        headers = {"X-Auth-Token": self.service, "X-Subject-Token": token}
        return to_cloud("GET", f"{self.east.identity}/auth/tokens", headers)

    def asks_daemon(
        self, token: str, max_age: float, daemon: Alliance | None = None, **headers: str
    ) -> Request:
        """The question of a plugin to its daemon: east's, unless another is named."""
        headers["x-openstack-request-id"] = "req-00000000-0000-4000-8000-000000000000"
        body = {"token": token, "max_age": max_age}
        socket = (daemon or self.daemon).socket
        return to_daemon(socket, "POST", "/v1/tokens/validate", headers, body)

    def told_by_daemon(self, token: str, daemon: Alliance | None = None) -> dict:
        """What it answers to that question."""
        daemon = daemon or self.daemon
        request = self.asks_daemon(token, 60, daemon, Connection="close")
        with socket.socket(socket.AF_UNIX) as stream:
            stream.settimeout(http.DEADLINE)
            stream.connect(str(daemon.socket))
            stream.sendall(request.text.encode())
            received = bytearray()
            while chunk := stream.recv(65536):
                received += chunk
        answer = http.parse(bytes(received))
        assert answer.status == 200, f"{daemon.name}: {answer.status} {answer.body!r}"
        return answer.json()

    def lets_west_issue(self, provider: str) -> None:
        """West's own tokens are of another format from now on; former ones count nowhere."""
        up(lab_folder(), f"west={provider}")

    def questions(self) -> int:
        """How often east has asked west so far."""
        return int(self.east.metric("alliance_questions_total", partner="west"))

    def warm_up(self) -> None:
        """Lets both workers of east's Keystone see foreign and native tokens."""
        for _ in range(2):
            tokens = self.tokens(self.guest, 8) + self.tokens(self.native, 8)
            requests = [self.validates(token) for token in tokens]
            self.sender.at_rate(requests, len(requests), 1, len(requests)).all_are(200)


def junk(tag: str) -> str:
    """A string that nobody can tell from a fresh token of the cloud with this tag, "" for none,
    without asking that cloud."""
    frame = b"\x80" + struct.pack(">Q", int(time.time())) + secrets.token_bytes(16 + 128 + 32)
    token = urlsafe_b64encode(frame).rstrip(b"=").decode()
    return f"{tag}~{token}" if tag else token


def up(folder: Path, *words: str, services: str = "glance") -> None:
    """Brings clouds up in a lab, with Keystone and these services."""
    _lab(folder, "up", "--services", services, *words)


def down(folder: Path) -> None:
    _lab(folder, "down")


def _lab(folder: Path, *words: str) -> None:
    done = subprocess.run(
        [CHECKOUT / "lab" / words[0], *words[1:]],
        env={**os.environ, "ALLIANCE_LAB": str(folder)},
        stdin=subprocess.DEVNULL,
    )
    if done.returncode:
        raise LabError("the clouds to be measured did not start or end (above)")
