"""What happens at east to a west project's servers is told at west, once: to its operator, its
webhook and its message bus."""

import pytest

from tests.kit import cadf
from tests.kit.waiting import until
from tests.whole.conftest import FLAVOR
from tests.whole.listening import meters, of_server
from tests.whole.metering import LATEST, boot, charges, counted, delete

pytestmark = pytest.mark.usefixtures("network")


def told(west, server: str) -> list[str]:
    return [one["kind"] for one in west.told("notice", "list") if one["subject"] == server]


def test_a_server_is_noticed_and_its_usage_said_when_it_comes_and_when_it_goes(
    west, east, ann, shell, receiver, heard
):
    server = boot(shell, "noticed")
    until(lambda: told(west, server), "home is told of the server", deadline=LATEST)
    until(lambda: of_server(heard, server), "its usage is said", deadline=LATEST)
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
    usage_was_said(west, east, ann, server, heard)


def usage_was_said(west, east, ann, server: str, heard) -> None:
    """Once for each thing that was known of it, in the end as home has counted it."""
    seconds = counted(west, east, server)

    def said() -> bool:
        return of_server(heard, server)[-1]["payload"]["seconds"] == seconds

    until(said, "its end is said as it is counted", deadline=LATEST)
    messages = of_server(heard, server)
    first, last = messages[0], messages[-1]
    assert first["type"] == "alliance.usage.server.began"
    assert first["payload"]["to"] is None
    assert last["type"] == "alliance.usage.server.ended"
    assert last["payload"]["to"] is not None
    assert len({one["message_id"] for one in messages}) == len(messages)
    assert {one["publisher"] for one in messages} == {"alliance.east"}
    payload = last["payload"]
    [row] = charges(west, server)
    assert (payload["project_id"], payload["partner"]) == (ann.project.id, "east")
    assert payload["from"].startswith(row["ChargePeriodStart"].removesuffix("Z")[:19])
    assert payload["flavor"] == FLAVOR["name"]
    assert meters(last) == {
        "alliance.server": 1,
        "alliance.server.vcpus": FLAVOR["vcpus"],
        "alliance.server.memory": FLAVOR["ram"],
        "alliance.server.disk": FLAVOR["disk"],
    }


def test_what_is_decided_is_said_on_the_message_bus_as_keystone_says_it(west, east, ann, heard):
    token = ann.login()
    assert east.lets_in(token)

    def issued() -> list[dict]:
        said = [one for one in heard() if one["type"] == "alliance.passport.issued"]
        return [one for one in said if one["payload"]["target"].get("user_id") == ann.id]

    until(issued, "home says that it has issued a passport", deadline=LATEST)
    [message] = issued()
    [event] = cadf.valid([message["payload"]])
    assert message["publisher"] == "alliance.west"
    assert message["message_id"] == event["id"]
    assert event["initiator"]["name"] == "east"
