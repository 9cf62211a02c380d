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
    until(lambda: seen(person), "west has heard of the agreement")
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


def listed(cloud, region="east"):
    """What its operator is told of a partner's region."""
    return next(view for view in cloud.told("region", "list") if view["region"] == region)


def api(cloud, kind):
    return next(api for api in listed(cloud)["apis"] if api["type"] == kind)


def test_the_versions_of_what_east_offers_are_known_at_west(west, ann):
    def known():
        return api(west, "image")["there"] and api(west, "identity")["there"]

    until(known, "west knows the versions of east's APIs", deadline=30)
    identity, image = (api(west, kind) for kind in ("identity", "image"))
    assert identity["there"].startswith("v3.")
    assert image["there"].startswith("v2.")
    assert {version["status"] for version in image["versions"]} >= {"CURRENT", "SUPPORTED"}
    # Both clouds run the same software.
    for one in (identity, image):
        assert one["there"] == one["here"]
        assert not one["differs"]


def test_internal_endpoints_are_offered_only_where_the_host_says_so(west, east, ann, image):
    assert not seen(ann, interface="internal")
    with east.configured(alliance={"catalog": {"interfaces": ["public", "internal"]}}):
        until(lambda: seen(ann, interface="internal"), "internal endpoints are seen", deadline=20)
        assert seen(ann)
        assert not seen(ann, interface="admin")
    until(lambda: not seen(ann, interface="internal"), "they are gone again", deadline=20)


def test_regions_are_called_as_the_operator_says_and_never_as_one_of_ours(west, east, ann, image):
    before = seen(ann)
    with west.configured(alliance={"catalog": {"region_names": "partner:region"}}):
        until(lambda: seen(ann, "east:east") == before, "the longer name is seen", deadline=20)
        assert not seen(ann, "east")
    until(lambda: seen(ann) == before, "the shorter name is back", deadline=20)
    body = {"interface": "public", "region_id": "east", "url": "http://127.0.0.1:9/ours"}
    ours = west.do("GET", "/services?type=image")["services"][0]["id"]
    west.do("POST", "/regions", {"region": {"id": "east"}})
    made = west.do("POST", "/endpoints", {"endpoint": {**body, "service_id": ours}})["endpoint"]
    try:
        until(lambda: seen(ann, "east:east") == before, "east's has another name", deadline=20)
        assert seen(ann, "east") == {"http://127.0.0.1:9/ours"}
        assert listed(west, "east:east")["taken"] == "east"
        warned = west.alliance("doctor", status=None).stdout
        assert "its region is called east:east here, for east is one of our own" in warned
    finally:
        west.do("DELETE", f"/endpoints/{made['id']}")
        west.do("DELETE", "/regions/east")
    until(lambda: seen(ann) == before, "it is called east again", deadline=20)


def test_what_leads_where_it_must_not_is_left_out_and_the_operator_is_told(west, east, ann, image):
    before = seen(ann)
    wrong = [
        "http://[fd00:ec2::254]/latest",
        "http://[::ffff:10.0.0.7]:9292",
        "http://2130706433:9292",
        "http://10.0.0.8:9292",
    ]
    allowed = "http://10.9.9.9:9292"
    rules = {"refuse_ranges": ["10.0.0.0/8"], "allow_hosts": ["10.9.9.9"]}
    with contextlib.ExitStack() as stack:
        stack.enter_context(west.configured(alliance={"catalog": rules}))
        for url in (*wrong, allowed):
            stack.enter_context(endpoint(east, image, url))
        until(lambda: seen(ann) == before | {allowed}, "the others are seen", deadline=20)

        def told():
            return {left["url"] for left in listed(west)["left_out"]} == {*wrong}

        until(told, "west's operator is told", deadline=20)
        shown = west.alliance("region", "list").stdout
        assert "http://10.0.0.8:9292 points at 10.0.0.8, in 10.0.0.0/8" in shown
        assert (
            "4 of its endpoints are shown to nobody" in west.alliance("doctor", status=None).stdout
        )


def test_a_name_that_drives_a_terminal_ends_in_none(west, east, ann):
    made = east.do("POST", "/services", {"service": {"type": "dns", "name": "\x1b[2Jdns"}})
    service = made["service"]["id"]
    try:
        with endpoint(east, service, "http://127.0.0.1:9/\x1b]0;mine\x07"):

            def told():
                return any(left["service"] == "dns" for left in listed(west)["left_out"])

            until(told, "west's operator is told", deadline=20)
            done = west.alliance("region", "list")
            assert "\x1b" not in done.stdout + done.stderr
    finally:
        east.do("DELETE", f"/services/{service}")
