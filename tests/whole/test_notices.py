"""What happens at east to a west project's servers is told at west, once, and to west's webhook."""

import pytest

from tests.kit import known_secrets
from tests.kit.receiver import Receiver
from tests.kit.waiting import until
from tests.whole.metering import LATEST, boot, delete

pytestmark = pytest.mark.usefixtures("network")


@pytest.fixture
def receiver(west, tmp_path):
    receiver = Receiver()
    secret = tmp_path / "webhook-secret"
    secret.write_text(known_secrets.note(receiver.secret, "webhook secret"))
    notify = {"webhook_url": receiver.url, "webhook_secret_file": str(secret)}
    with west.configured(alliance={"notify": notify}):
        yield receiver
    receiver.go_away()


def told(west, server: str) -> list[str]:
    return [one["kind"] for one in west.told("notice", "list") if one["subject"] == server]


def test_a_server_is_noticed_at_home_when_it_comes_and_when_it_goes(west, ann, shell, receiver):
    server = boot(shell, "noticed")
    until(lambda: told(west, server), "home is told of the server", deadline=LATEST)
    delete(shell, server)
    both = ["server.created", "server.deleted"]
    until(lambda: told(west, server) == both, "home is told that it is gone", deadline=LATEST)

    def sent() -> list[dict]:
        events = (one.event for one in receiver.messages)
        return [one for one in events if one["subject"] == f"server/{server}"]

    until(lambda: len(sent()) == 2, "the webhook is told", deadline=LATEST)
    assert not receiver.forged
    created, deleted = sent()
    assert created["type"] == "urn:alliance:event:server.created"
    assert deleted["type"] == "urn:alliance:event:server.deleted"
    assert (created["partner"], created["data"]["region"]) == ("east", "east")
    assert created["data"]["project_id"] == ann.project.id
    assert created["data"]["user_id"] == ann.id
    assert told(west, server) == both
