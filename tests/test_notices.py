"""What happens at a host to what a home's projects have there is told at home and by webhook."""

import uuid

import pytest

from tests.kit import http, known_secrets
from tests.kit.cloud import NOT_YET_IN_FORCE
from tests.kit.daemon import Daemon, running
from tests.kit.nightly import by_night
from tests.kit.receiver import Receiver
from tests.kit.waiting import until

#: A look at the host, a question of home's, and what the machine has to do beside.
SOON = 30.0


@pytest.fixture
def receiver():
    receiver = Receiver()
    known_secrets.note(receiver.secret, "webhook secret")
    yield receiver
    receiver.go_away()


@pytest.fixture
def clouds(west, east, receiver):
    """A home, which has a webhook, and a host."""
    home, host = (Daemon(at, f"{at.name}-{uuid.uuid4().hex[:8]}") for at in (west, east))
    secret = home.folder / "webhook-secret"
    secret.write_text(receiver.secret)
    secret.chmod(0o600)
    lines = f'webhook_url = "{receiver.url}"\nwebhook_secret_file = "{secret}"'
    home.configure(notify=lines)
    with running(host, home):
        yield home, host


@pytest.fixture
def agree(west, clouds):
    """Gives a project of home's something that ends in an hour: home is told so."""
    home, host = clouds

    def agree() -> str:
        project = west.person().project.id
        words = ("agreement", "create", home.name, "--project", project, "--role", "member")
        # The host's Keystone is told by another daemon.
        agreed = host.run("--format", "json", *words, "--till", "1h", status=NOT_YET_IN_FORCE)
        return agreed.json()["agreements"][0]["id"]

    return agree


def noticed(home: Daemon, *words: str) -> list[str]:
    return [one["subject"] for one in home.told("notice", "list", *words)]


def warned(home: Daemon, text: str) -> bool:
    return any(text in warning for warning in home.told("status")["warnings"])


def test_what_a_host_tells_is_at_home_and_at_its_webhook_once(clouds, receiver, agree):
    home, host = clouds
    agreement = agree()
    until(lambda: receiver.taken(), "the webhook is told", deadline=SOON)
    [message] = receiver.messages
    assert not receiver.forged
    [notice] = home.told("notice", "list")
    assert (notice["subject"], notice["kind"]) == (agreement, "agreement.ending")
    event = message.event
    assert (event["specversion"], event["id"]) == ("1.0", message.id)
    assert (message.id, event["partner"]) == (notice["id"], host.name)
    assert event["type"] == "urn:alliance:event:agreement.ending"
    assert event["source"] == f"urn:alliance:cloud:{host.cloud_id}"
    assert event["data"]["project_id"] == notice["project_id"]
    assert noticed(home, "--partner", host.name, "--since", "1h") == [agreement]
    assert noticed(home, "--project", notice["project_id"]) == [agreement]
    assert noticed(home, "--project", "another") == []
    assert noticed(host) == []
    assert 'alliance_notices_total{kind="agreement.ending"} 1' in metrics(home)
    assert 'alliance_notices_waiting{to="webhook"} 0' in metrics(home)


def metrics(daemon: Daemon) -> str:
    url = f"http://127.0.0.1:{daemon.metrics_port}/metrics"
    return http.send("GET", url).body.decode()


@by_night
def test_a_receiver_that_was_away_gets_everything_in_order(clouds, receiver, agree):
    home, _ = clouds
    first = agree()
    until(lambda: receiver.taken() == [first], "the webhook is told", deadline=SOON)
    receiver.go_away()
    for _ in range(3):
        agree()
    until(lambda: len(noticed(home)) == 4, "home is told", deadline=SOON)
    expected = noticed(home)
    home.kill()
    home.start()
    receiver.status = 503
    receiver.listen()
    until(lambda: receiver.messages[-1].status == 503, "it is tried", deadline=SOON)
    receiver.status = 204
    until(lambda: receiver.taken() == expected, "the webhook is told the rest", deadline=SOON)
    assert not receiver.forged
    # What is sent again has the same id.
    assert len({one.id for one in receiver.messages}) == len(expected)


@by_night
def test_a_receiver_that_wants_no_more_is_told_no_more_and_the_operator_is(clouds, receiver, agree):
    home, _ = clouds
    receiver.status = 410
    for _ in range(2):
        agree()
    until(lambda: len(noticed(home)) == 2, "home is told", deadline=SOON)
    until(lambda: warned(home, "410 Gone"), "the operator is told", deadline=SOON)
    assert len(receiver.messages) == 1
    doctor = home.run("doctor", status=None)
    assert "is told nothing more" in doctor.stdout
    assert "/hook" not in doctor.stdout
    # The operator has mended it.
    receiver.status = 200
    home.stop()
    home.start()
    until(lambda: len(receiver.taken()) == 2, "the webhook is told", deadline=SOON)


@by_night
def test_a_redirect_leads_nowhere(clouds, receiver, agree):
    elsewhere = Receiver()
    try:
        receiver.status, receiver.location = 307, elsewhere.url
        agree()
        until(lambda: len(receiver.messages) > 1, "it is tried again", deadline=SOON)
        assert elsewhere.messages + elsewhere.forged == []
    finally:
        elsewhere.go_away()
