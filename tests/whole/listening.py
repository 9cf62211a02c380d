"""Who listens to a cloud's message bus, and what is heard there."""

import re

import yaml

from lab.state import CHECKOUT

METERS = CHECKOUT / "deploy" / "ceilometer" / "meters.d" / "alliance.yaml"

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


def of_server(heard, server: str) -> list[dict]:
    """What was said of the usage of a server."""
    said = [one for one in heard() if one["type"].startswith("alliance.usage.")]
    return [one for one in said if one["payload"]["resource_id"] == server]


def meters(message: dict) -> dict[str, object]:
    """What the meters for Ceilometer that come with this measure by a message, by their names."""
    found = yaml.safe_load(METERS.read_text())["metric"]
    found = [one for one in found if re.match(one["event_type"], message["type"])]
    return {one["name"]: value(one["volume"], message) for one in found}


def value(path, message: dict):
    """What stands at `$.payload.NAME`; a number stands for itself."""
    return message["payload"][path.removeprefix("$.payload.")] if isinstance(path, str) else path
