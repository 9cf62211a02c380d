"""Two whole clouds in a lab of their own, beside the small one of the other tests."""

import contextlib
import json
import re
import secrets
import shlex
import subprocess
from collections.abc import Sequence

import pytest

from lab.cache import Environment
from lab.services import rabbitmq
from tests.kit import known_secrets
from tests.kit.cloud import Cloud
from tests.kit.nightly import NIGHTLY
from tests.kit.own_lab import east, own_lab, west
from tests.kit.people import Person
from tests.kit.receiver import Receiver
from tests.kit.waiting import until
from tests.whole.listening import LISTENER

__all__ = ["east", "west"]

LONG = [
    "test_first_networks.py",
    "test_notices_faults.py",
    "test_provisioning_faults.py",
    "test_retirement_faults.py",
    "test_tempest.py",
    "test_usage_faults.py",
]
collect_ignore = [] if NIGHTLY else LONG
#: A flavor of this run's.
FLAVOR = {"name": f"f-{secrets.token_hex(4)}", "ram": 64, "disk": 1, "vcpus": 1}

#: How the client's --debug shows a command, a request, an answer.
REQUEST = re.compile(r'REQ: curl -g -i -X (\w+) "?([^\s"]+)')
EVENT = re.compile(rf"^command: (.+) -> |^{REQUEST.pattern}|^RESP: \[(\d+)\]", re.M)


@pytest.fixture(scope="package")
def lab():
    with own_lab("whole") as lab:
        yield lab


@pytest.fixture(scope="package")
def flavor(west, east):
    """FLAVOR is there, at each cloud."""
    for cloud in (west, east):
        cloud.make("nova", "/v2.1/flavors", {"flavor": FLAVOR})
    return FLAVOR["name"]


@pytest.fixture(scope="package")
def ann(west, east, flavor):
    """A west user whose project may do everything at east that a member may."""
    person = west.person(roles=("member", "reader"))
    east.agree("west", person.project, ("member", "reader"))
    until(lambda: person.project.id in str(west.told("region", "list")), "west sees east's region")
    return person


class Shell:
    """Runs the openstack client as a user, as installed from PyPI and with nothing added to it."""

    def __init__(self, variables: dict[str, str]):
        self.variables = variables

    def run(self, *command, timeout: float = 180) -> subprocess.CompletedProcess:
        done = subprocess.run(
            command, env=self.variables, capture_output=True, text=True, timeout=timeout
        )
        assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
        return done

    def openstack(self, region: str | None, words: str) -> str:
        """What the client prints."""
        return self._openstack(region, words).stdout.strip()

    def requests(self, region: str | None, words: str) -> list[tuple[str, str]]:
        """Method and URL of each request that the client makes."""
        return REQUEST.findall(self._openstack(region, f"--debug {words}").stderr)

    def dialogue(self, region: str, commands: Sequence[str]) -> list[tuple[str, list]]:
        """Types commands to one client. For each, without its options: method, URL and status of
        each request that it makes."""
        found = []
        # It takes its own options for commands too, and complains about those in the end.
        done = subprocess.run(
            ["openstack", "--debug"],
            input="\n".join(commands),
            env={**self.variables, "OS_REGION_NAME": region},
            capture_output=True,
            text=True,
            timeout=600,
        )
        for command, method, url, status in EVENT.findall(done.stderr):
            if command:
                found.append((command, []))
            elif method:
                asked = (method, url)
            else:
                found[-1][1].append((*asked, status))
        return found

    def _openstack(self, region: str | None, words: str) -> subprocess.CompletedProcess:
        where = ["--os-region-name", region] if region else []
        return self.run("openstack", *where, *shlex.split(words))


def shell_of(home: Cloud, person: Person) -> Shell:
    """A shell of a user of this cloud's."""
    return Shell(
        {
            **home.variables(),
            "OS_USERNAME": person.name,
            "OS_PASSWORD": person.password,
            "OS_PROJECT_NAME": person.project.name,
        }
    )


@pytest.fixture(scope="package")
def shell(west, ann):
    return shell_of(west, ann)


@pytest.fixture(scope="package")
def image_file(tmp_path_factory):
    content = tmp_path_factory.mktemp("images") / "image"
    content.write_bytes(b"\0" * 65536)
    return content


@pytest.fixture(scope="package")
def network(shell, image_file):
    """Ann's network `net` and image `img` at each cloud."""
    image = f"image create img --disk-format raw --container-format bare --file {image_file}"
    for region in ("west", "east"):
        shell.openstack(region, "network create net")
        shell.openstack(region, "subnet create sub --network net --subnet-range 10.9.0.0/24")
        shell.openstack(region, image)


@pytest.fixture
def receiver(tmp_path):
    receiver = Receiver()
    yield receiver
    receiver.go_away()


@pytest.fixture
def heard(west, receiver, tmp_path):
    """What is said on west's message bus from now on; `receiver` is west's webhook."""
    secret = tmp_path / "webhook-secret"
    secret.write_text(known_secrets.note(receiver.secret, "webhook secret"))
    notify = {
        "webhook_url": receiver.url,
        "webhook_secret_file": str(secret),
        "exchange": "alliance",
    }
    said = tmp_path / "said"
    python = Environment("services").bin("python")
    command = [python, "-c", LISTENER, rabbitmq.url(west._cloud)]
    with contextlib.ExitStack() as stack:
        listener = subprocess.Popen(
            ["setpriv", "--pdeathsig", "KILL", *command],
            stdout=stack.enter_context(said.open("wb")),
        )
        stack.callback(listener.wait)
        stack.callback(listener.kill)
        until(lambda: said.read_text(), "somebody listens to west's message bus", deadline=60.0)
        sections = {"alliance": {"notify": notify, "audit": {"bus": True}}, "alliance-work": {}}
        stack.enter_context(west.configured(**sections))
        # The last line may not be there as a whole.
        yield lambda: [json.loads(line) for line in said.read_text().split("\n")[1:-1]]
