"""Judges audit events by pycadf, as Keystone has it."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

from lab.cache import Environment

#: Builds each event out of pycadf's own types, whose validators judge each value. A warning, as of
#: an id that is no UUID, is an error.
JUDGE = """\
import json, sys, warnings
from pycadf import attachment, cadftaxonomy, cadftype, credential, event, measurement, metric
from pycadf import reason, resource, timestamp
import datetime

warnings.simplefilter("error")
RESOURCE = {"typeURI", "id", "name", "domain"}
OWN = {"cloud_id", "user_id", "project_id", "home_user_id", "home_project_id"}

def made_of(told):
    assert set(told) <= RESOURCE | OWN | {"credential"}, told
    assert cadftaxonomy.is_valid_resource(told["typeURI"])
    made = resource.Resource(**{name: told[name] for name in RESOURCE & set(told)})
    if "credential" in told:
        made.credential = credential.Credential(**told["credential"])
    assert made.is_valid()
    return made

def judge(told):
    parts = dict(told)
    assert parts.pop("typeURI") == event.TYPE_URI_EVENT
    measured = parts.pop("measurements", [])
    attached = parts.pop("attachments", [])
    tags = parts.pop("tags", [])
    for name in ("initiator", "target", "observer"):
        parts[name] = made_of(parts[name])
    if "reason" in parts:
        parts["reason"] = reason.Reason(**parts["reason"])
    made = event.Event(**parts)
    for one in measured:
        made.add_measurement(measurement.Measurement(
            result=one["result"], metric=metric.Metric(**one["metric"])))
    for one in attached:
        made.add_attachment(attachment.Attachment(**one))
    for one in tags:
        made.add_tag(one)
    assert made.is_valid()
    at = datetime.datetime.strptime(made.eventTime, timestamp.TIME_FORMAT)
    assert at.utcoffset() == datetime.timedelta(0)
    # DSP0262: a decision has its reason.
    assert made.eventType != cadftype.EVENTTYPE_CONTROL or hasattr(made, "reason")
    back = json.loads(json.dumps(made.as_dict()))
    for name in ("id", "name", "eventType", "eventTime", "action", "outcome"):
        assert back[name] == told[name]

for line in sys.stdin:
    try:
        judge(json.loads(line))
    except Exception as error:
        sys.exit(f"{line}: {error!r}")
"""


def valid(events: list[dict]) -> list[dict]:
    """The events, each of which pycadf takes."""
    python = Environment("keystone").ensure().bin("python")
    lines = "".join(json.dumps(event) + "\n" for event in events)
    judged = subprocess.run(
        [python, "-c", JUDGE], input=lines, capture_output=True, text=True, timeout=120
    )
    assert judged.returncode == 0, judged.stderr
    return events


def read(file: Path) -> list[dict]:
    """Whole lines of a file of events; the last may not be there as a whole."""
    text = file.read_text() if file.exists() else ""
    return [json.loads(line) for line in text.split("\n")[:-1]]


def tags(event: dict) -> dict[str, str]:
    return dict(re.fullmatch(r"(\w+)\?value=(.*)", tag).groups() for tag in event.get("tags", []))
