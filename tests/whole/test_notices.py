"""What happens at east to a west project's servers is told at west, once: to its operator, its
webhook and its message bus."""

import contextlib
import json
import subprocess

import pytest

from lab.cache import Environment
from lab.services import rabbitmq
from tests.kit import known_secrets
from tests.kit.receiver import Receiver
from tests.kit.waiting import until
from tests.whole.metering import LATEST, boot, delete

pytestmark = pytest.mark.usefixtures("network")

#: Who listens as Ceilometer does, by the services' own library; prints what it hears.
LISTENER = """\
import json, os, sys
import oslo_messaging
from oslo_config import cfg

class Endpoint:
    def heard(self, context, publisher_id, event_type, payload, metadata):
        said = {"publisher": publisher_id, "type": event_type, "payload": payload, **metadata}
        # At once: it is called by several threads.
        os.write(1, json.dumps(said).encode() + b"\\n")
    info = warn = error = heard

conf = cfg.ConfigOpts()
conf([])
transport = oslo_messaging.get_notification_transport(conf, url=sys.argv[1])
target = oslo_messaging.Target(exchange="alliance", topic="notifications")
listener = oslo_messaging.get_notification_listener(
    transport, [target], [Endpoint()], executor="threading")
listener.start()
print("{}", flush=True)
listener.wait()
"""


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
        until(lambda: said.read_text(), "somebody listens to west's message bus", deadline=LATEST)
        sections = {"alliance": {"notify": notify}, "alliance-work": {}}
        stack.enter_context(west.configured(**sections))
        # The last line may not be there as a whole.
        yield lambda: [json.loads(line) for line in said.read_text().split("\n")[1:-1]]


def told(west, server: str) -> list[str]:
    return [one["kind"] for one in west.told("notice", "list") if one["subject"] == server]


def test_a_server_is_noticed_when_it_comes_and_when_it_goes(west, ann, shell, receiver, heard):
    server = boot(shell, "noticed")
    until(lambda: told(west, server), "home is told of the server", deadline=LATEST)
    delete(shell, server)
    both = ["server.created", "server.deleted"]
    until(lambda: told(west, server) == both, "home is told that it is gone", deadline=LATEST)

    def sent() -> list[dict]:
        events = (one.event for one in receiver.messages)
        return [one for one in events if one["subject"] == f"server/{server}"]

    def said() -> list[dict]:
        return [one for one in heard() if one["payload"].get("subject") == server]

    until(lambda: len(sent()) == 2, "the webhook is told", deadline=LATEST)
    until(lambda: len(said()) == 2, "it is said on the message bus", deadline=LATEST)
    assert not receiver.forged
    assert [one["type"] for one in sent()] == [f"urn:alliance:event:{kind}" for kind in both]
    created = sent()[0]
    assert (created["partner"], created["data"]["region"]) == ("east", "east")
    assert created["data"]["project_id"] == ann.project.id
    assert [one["type"] for one in said()] == [f"alliance.{kind}" for kind in both]
    [created, deleted] = said()
    assert {created["publisher"], deleted["publisher"]} == {"alliance.east"}
    assert created["payload"]["project_id"] == ann.project.id
    # The same notice has the same id everywhere.
    assert [one["message_id"] for one in said()] == [one["id"] for one in sent()]
    assert told(west, server) == both
