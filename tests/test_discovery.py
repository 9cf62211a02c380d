"""What a partner offers appears and disappears by itself, for those who may use it."""

import contextlib

import pytest

from tests.kit.waiting import until

#: With this, nothing is found out by looking now and then.
NEVER = {"catalog": {"refresh": 3600}}


@pytest.fixture(scope="module", autouse=True)
def told_and_not_looked_for(west, east):
    with contextlib.ExitStack() as stack:
        for cloud in (west, east):
            stack.enter_context(cloud.configured(alliance=NEVER))
        yield


@pytest.fixture(scope="module")
def ann(west, east):
    """A west user whose project east lets in."""
    person = west.person()
    east.agree("west", person.project)
    return person


@pytest.fixture
def image(east):
    """The image service of east."""
    return east.do("GET", "/services?type=image")["services"][0]["id"]


def seen(person, region="east", kind="image", interface="public"):
    """The URLs in the catalog of a fresh token."""
    scope = {"project": {"id": person.project.id}}
    by = {"password": {"user": {"id": person.id, "password": person.password}}}
    answer = person.cloud.auth(by, scope)
    assert answer.status == 201, answer.body
    return {
        endpoint["url"]
        for service in answer.json()["token"]["catalog"]
        for endpoint in service["endpoints"]
        if service["type"] == kind
        and endpoint["region"] == region
        and endpoint["interface"] == interface
    }


@contextlib.contextmanager
def endpoint(cloud, service, url, **more):
    """An endpoint, meanwhile."""
    body = {"service_id": service, "interface": "public", "region_id": cloud.name, "url": url}
    made = cloud.do("POST", "/endpoints", {"endpoint": {**body, **more}})["endpoint"]["id"]
    try:
        yield made
    finally:
        if cloud.ask("GET", f"/endpoints/{made}", cloud.admin).status == 200:
            cloud.do("DELETE", f"/endpoints/{made}")


def test_what_an_operator_changes_at_east_is_so_in_fresh_west_tokens(ann, east, image):
    before = seen(ann)
    assert before

    def soon(expected, what):
        until(lambda: seen(ann) == expected, what, deadline=20)

    first, second = "http://127.0.0.1:9/first", "http://127.0.0.1:9/second"
    with endpoint(east, image, first) as made:
        soon(before | {first}, "an endpoint that was added is seen")
        east.do("PATCH", f"/endpoints/{made}", {"endpoint": {"url": second}})
        soon(before | {second}, "an endpoint that was changed is seen as it is")
        east.do("PATCH", f"/endpoints/{made}", {"endpoint": {"enabled": False}})
        soon(before, "an endpoint that was disabled is gone")
        east.do("PATCH", f"/endpoints/{made}", {"endpoint": {"enabled": True}})
        soon(before | {second}, "an endpoint that was enabled is back")
        east.do("DELETE", f"/endpoints/{made}")
        soon(before, "an endpoint that was deleted is gone")
    east.do("PATCH", f"/services/{image}", {"service": {"enabled": False}})
    try:
        soon(set(), "a service that was disabled is gone")
    finally:
        east.do("PATCH", f"/services/{image}", {"service": {"enabled": True}})
    soon(before, "a service that was enabled is back")


def test_who_has_no_agreement_sees_no_trace_of_it(west, east, ann):
    assert seen(ann, kind="identity")
    assert not seen(west.person(), kind="identity")
