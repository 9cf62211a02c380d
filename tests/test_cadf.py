"""The samples of audit events: pycadf takes each, and the guide has each name."""

import copy
import re

import pytest

from tests import test_docs
from tests.kit import cadf

SAMPLES = cadf.read(test_docs.ROOT / "deploy/audit/events.jsonl")
GUIDE = (test_docs.ROOT / "docs/operators-guide.md").read_text()


def test_pycadf_takes_each_event():
    assert len(cadf.valid(SAMPLES)) > 50


@pytest.mark.parametrize(
    ("name", "value"),
    [("action", "dance"), ("outcome", "maybe"), ("eventType", "rumour"), ("observer", None)],
)
def test_pycadf_would_notice(name, value):
    wrong = copy.deepcopy(SAMPLES[0])
    wrong[name] = value
    with pytest.raises(AssertionError):
        cadf.valid([wrong])


def test_ids_are_ids():
    wrong = copy.deepcopy(SAMPLES[0])
    wrong["initiator"]["id"] = "ann"
    with pytest.raises(AssertionError, match="Invalid uuid"):
        cadf.valid([wrong])


def _of_the_guide() -> set[str]:
    found = set()
    for row in test_docs._table(GUIDE, "### Audit"):
        first, *more = re.findall(r"`([\w.]+)`", row[0])
        found |= {first} | {first.rpartition(".")[0] + name for name in more}
    return found


def test_the_guide_has_each_event():
    assert _of_the_guide() == {event["name"] for event in SAMPLES}


def test_what_the_daemon_records_has_a_sample():
    """Actions that stand in its source; those that are put together there are known by their first
    word."""
    source = "".join(
        file.read_text() for file in (test_docs.ROOT / "crates/alliance/src/daemon").rglob("*.rs")
    )
    words = "partner|invitation|agreement|session|token|provision|retirement"
    whole = set(re.findall(rf'"((?:{words})\.\w+)"', source))
    begun = set(re.findall(rf'"({words})\.\{{', source))
    names = {event["name"].removeprefix("alliance.") for event in SAMPLES}
    assert len(whole) > 10
    assert whole <= names
    assert begun <= {name.partition(".")[0] for name in names}
