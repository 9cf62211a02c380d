"""One request, seen in all clouds that it went through."""

import secrets

import pytest

from tests.kit.collector import Collector, tree
from tests.kit.waiting import until

VALIDATE = "east: SERVER POST /v1/tokens/validate"
ASKED = "east: CLIENT POST /v1/introspect"
ANSWERED = "west: SERVER POST /v1/introspect"
LOOKED = "west: CLIENT GET /v3/auth/tokens"
WAY = (VALIDATE, ASKED, ANSWERED, LOOKED)
#: A restarted daemon, a first use, and what the machine has to do beside.
SOON = 30.0


@pytest.fixture(scope="module")
def collector(west, east):
    """Told by both clouds of what somebody asks for, and of nothing else."""
    with Collector() as collector:
        settings = {"trace": {"otlp_url": collector.url, "sample": 0.0}}
        with west.configured(alliance=settings), east.configured(alliance=settings):
            yield collector
    assert not collector.refused


@pytest.fixture
def person(west, east):
    """Of west, who may come to east."""
    person = west.person()
    east.agree("west", person.project)
    return person


def traceparent(trace: str, flags: str = "01", span: str | None = None) -> str:
    return f"00-{trace}-{span or secrets.token_hex(8)}-{flags}"


def test_one_trace_has_client_host_home_and_homes_keystone(collector, west, east, person):
    trace, client, token = secrets.token_hex(16), secrets.token_hex(8), person.login()
    sent = {"traceparent": traceparent(trace, span=client), "tracestate": "a=b"}
    with west.noting() as seen:
        answer = east.ask("GET", "/auth/projects", token, **sent)
        assert answer.status == 200
        spans = collector.whole(trace, *WAY)
        print(tree(spans))
        way = [next(span for span in spans if str(span) == name) for name in WAY]
        # West's Keystone could go on with it.
        assert seen.has(traceparent(trace, span=way[-1].id))
    parents = [client, *(span.id for span in way)]
    assert [span.parent for span in way] == parents[:-1]
    assert all(span.ended > span.began for span in spans)
    assert {span.state for span in way} == {"a=b"}
    assert not any(span.failed for span in spans)
    validate, asked, answered, looked = (span.attributes for span in way)
    assert validate["http.route"] == "/v1/tokens/validate"
    assert validate["openstack.request_id"] == answer.headers["x-openstack-request-id"]
    said = [validate[f"alliance.{name}"] for name in ("partner", "verdict", "reason", "via")]
    assert said == ["west", "valid", "none", "asked"]
    assert asked["alliance.partner.tag"] == west.tag
    assert answered["alliance.partner"] == "east"
    assert answered["alliance.answer"] == "active"
    assert answered["openstack.request_id"] == validate["openstack.request_id"]
    assert looked["url.template"] == "/v3/auth/tokens"
    steps = (validate, asked, answered, looked)
    assert {one["http.response.status_code"] for one in steps} == {200}
    resources = {span.cloud: span.resource for span in way}
    assert {one["service.name"] for one in resources.values()} == {"alliance"}
    assert len({one["service.instance.id"] for one in resources.values()}) == 2


def test_a_service_that_takes_part_in_a_trace_is_its_client(collector, east, person):
    trace = secrets.token_hex(16)
    answer = east.validate(person.login(), traceparent=traceparent(trace))
    assert answer.status == 200
    collector.whole(trace, *WAY)


def test_why_a_request_was_refused_is_in_its_trace(collector, west, east, person):
    trace, token = secrets.token_hex(16), person.login()
    west.do("PATCH", f"/users/{person.id}", {"user": {"enabled": False}})
    answer = east.ask("GET", "/auth/projects", token, traceparent=traceparent(trace))
    assert answer.status == 401
    [validate] = [one for one in collector.whole(trace, VALIDATE) if str(one) == VALIDATE]
    assert validate.attributes["alliance.verdict"] == "invalid"
    assert validate.attributes["alliance.reason"] != "none"


def test_what_nobody_asks_for_is_not_told(collector, east, person):
    quiet, asked = secrets.token_hex(16), secrets.token_hex(16)
    for flags, trace in ("00", quiet), ("01", asked):
        token = person.login()
        sent = traceparent(trace, flags)
        assert east.ask("GET", "/auth/projects", token, traceparent=sent).status == 200
    collector.whole(asked, *WAY)
    assert not collector.spans(quiet)


def test_nothing_secret_and_nobodys_name_is_told(collector, west, east, person):
    trace, token = secrets.token_hex(16), person.login()
    east.ask("GET", "/auth/projects", token, traceparent=traceparent(trace))
    east.rescope(token, person.project)
    collector.whole(trace, *WAY)
    told = b"".join(collector.bodies).decode()
    inner = token.rpartition("~")[2]
    for secret in (token, inner, person.password, person.id, person.name, person.project.id):
        assert secret not in told


def test_who_knows_a_requests_id_finds_its_trace_in_both_clouds(collector, west, east, person):
    settings = {"trace": {"sample": 1.0}}
    with west.configured(alliance=settings), east.configured(alliance=settings):
        answer = east.ask("GET", "/auth/projects", person.login())
        assert answer.status == 200
        trace = answer.headers["x-openstack-request-id"].removeprefix("req-").replace("-", "")
        spans = collector.whole(trace, *WAY)
        [root] = [span for span in spans if not span.parent]
        assert str(root) == VALIDATE
        # What goes on all the time would drown the rest.
        routes = {span.attributes.get("http.route", "") for span in collector.spans()}
        assert not {route for route in routes if "poll" in route or route == "/v1/descriptor"}


def test_without_a_collector_requests_are_served_and_what_is_lost_is_counted(west, east, person):
    lost = {"trace": {"otlp_url": "http://127.0.0.1:1/v1/traces", "sample": 1.0}}
    with east.configured(alliance=lost):
        assert east.lets_in(person.login())
        until(
            lambda: east.metric("alliance_spans_total", result="failed") > 0,
            "spans were lost",
            deadline=SOON,
        )
        assert east.metric("alliance_spans_total", result="sent") == 0
