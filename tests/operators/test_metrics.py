"""What daemons at work expose to those who watch."""

import pytest

from tests.kit.metrics import Exposition, listed
from tests.kit.waiting import until

VALIDATE = "/v1/tokens/validate"
#: A pull, a doorbell, a sign-out, and what the machine has to do beside.
SOON = 30.0


@pytest.fixture
def token(west, east) -> str:
    """Of somebody of west, who is at east."""
    person = west.person()
    east.agree("west", person.project)
    token = person.login()
    assert east.lets_in(token)
    return token


def log_out(west, token: str) -> None:
    answer = west.ask("DELETE", "/auth/tokens", token, X_Subject_Token=token)
    assert answer.status == 204


def signed_out(east) -> float:
    return east.metric("alliance_sign_out_seconds_count", partner="west")


def test_what_is_exposed_is_what_is_listed_and_prometheus_reads_it(west, east, token, tmp_path):
    before = signed_out(east)
    log_out(west, token)
    until(lambda: signed_out(east) > before, "the sign-out was measured", deadline=SOON)
    for cloud in (west, east):
        exposed = Exposition(cloud.metrics())
        folder = tmp_path / cloud.name
        folder.mkdir()
        exposed.is_sound(folder)
        assert exposed.types.items() <= listed().types.items()
        assert exposed.labels.items() <= listed().labels.items()
        assert exposed.bounds <= listed().bounds


def test_both_apis_count_who_asks_what_and_how_it_ended(west, east, token):
    asked = west.metric("alliance_peer_requests_total", partner="east", outcome="ok")
    pulled = west.metric("alliance_peer_request_seconds_count", route="/v1/descriptor")
    validated = east.metric("alliance_delegate_request_seconds_count", route=VALIDATE)
    assert asked > 0
    assert validated > 0
    east.alliance("partner", "repair", "west")
    east.forget()
    assert east.lets_in(token)
    assert west.metric("alliance_peer_requests_total", partner="east", outcome="ok") > asked
    assert west.metric("alliance_peer_request_seconds_count", route="/v1/descriptor") > pulled
    assert east.metric("alliance_delegate_request_seconds_count", route=VALIDATE) > validated
    assert east.metric("alliance_question_seconds_count", partner="west") > 0
    # What stands in a path is data, and no label.
    east.told("partner", "show", "west")
    assert "/v1/partners/west" not in east.metrics()
    assert east.metric("alliance_delegate_requests_total", route="/v1/partners/{name}") > 0


def test_sessions_are_counted_on_both_sides_and_so_is_what_ends(west, east, token):
    ended = "alliance_sessions_ended_total"
    # Others come and go meanwhile: how many there are is for the tests of the daemon.
    assert east.metric("alliance_sessions", partner="west", side="here") > 0
    assert west.metric("alliance_sessions", partner="east", side="abroad") > 0
    before = east.metric(ended, partner="west")
    log_out(west, token)
    until(lambda: east.metric(ended, partner="west") > before, "it has ended", deadline=SOON)


def test_sign_outs_that_a_host_does_not_fetch_are_told(west, east, token):
    unheard = "alliance_sign_outs_unheard"

    def all_is_heard() -> bool:
        told = west.metrics()
        since = f'{unheard}_since_seconds{{partner="east"}}'
        return f'{unheard}{{partner="east"}} 0' in told and since not in told

    until(all_is_heard, "east has heard all", deadline=SOON)
    with east.stopped("alliance"):
        log_out(west, token)
        until(lambda: west.metric(unheard, partner="east") > 0, "it waits for east", deadline=SOON)
        assert west.metric(f"{unheard}_since_seconds", partner="east") > 0
    until(all_is_heard, "east has heard it", deadline=SOON)


def test_what_partners_are_to_each_other_is_told(west, east):
    def state(cloud, partner: str, **labels: str) -> bool:
        return cloud.metric("alliance_partner_state", partner=partner, **labels) == 1

    assert state(east, "west", here="active")
    east.orders("partner", "suspend", "west")
    try:
        assert state(east, "west", here="suspended")
        until(
            lambda: state(west, "east", here="active", there="suspended"),
            "west tells that east suspended it",
            deadline=SOON,
        )
    finally:
        east.orders("partner", "resume", "west")
    until(lambda: state(west, "east", there="active"), "it is over", deadline=SOON)


def test_a_keystone_that_hears_no_doorbell_is_told_since_when(east):
    deaf = "alliance_keystone_deaf_since_seconds"
    until(lambda: east.metric(deaf) == 0, "Keystone hears", deadline=SOON)
    try:
        with east.stopped("keystone"):
            # Stored, and in force once Keystone has heard it.
            east.alliance("partner", "suspend", "west", status=3)
            until(lambda: east.metric(deaf) > 0, "Keystone does not hear", deadline=SOON)
        until(lambda: east.metric(deaf) == 0, "Keystone hears again", deadline=SOON)
    finally:
        east.orders("partner", "resume", "west")


def test_the_database_and_the_process_are_told(east):
    assert east.metric("alliance_database_reachable") == 1
    assert east.metric("process_resident_memory_bytes") > 1024 * 1024
    assert 0 < east.metric("process_open_fds") < east.metric("process_max_fds")
    assert east.metric("process_start_time_seconds") > 0
