"""The console in a browser: on a desk and on a phone, with scripts and without."""

import os
import subprocess
from pathlib import Path

import pytest

from lab.state import free_port
from tests.kit import known_secrets
from tests.kit.browser import Browser
from tests.kit.people import Person, Project
from tests.kit.waiting import until

DESK, PHONE = 1280, 390
PAGES = (
    "/",
    "/partners/east",
    "/partners/east/suspend",
    "/partners/east/resume",
    "/sessions",
    "/sign-outs",
    "/work",
    "/audit",
)


@pytest.fixture(scope="module")
def console(west, tmp_path_factory) -> str:
    """The console's URL at west."""
    folder = tmp_path_factory.mktemp("console")
    certificate, key = folder / "console.pem", folder / "console.key"
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-nodes", "-days", "2", "-subj", "/CN=console"),
            *("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"),
            *("-keyout", key, "-out", certificate),
        ],
        check=True,
        capture_output=True,
    )
    listen = f"127.0.0.1:{free_port()}"
    settings = {"listen": listen, "certificate": str(certificate), "key": str(key)}
    with west.configured(alliance={"console": settings}):
        yield f"https://{listen}"


@pytest.fixture(scope="module")
def pictures(tmp_path_factory) -> Path:
    """Where what was seen is kept, for people to look at."""
    named = os.environ.get("ALLIANCE_PICTURES")
    folder = Path(named) if named else tmp_path_factory.mktemp("pictures")
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@pytest.fixture(scope="module")
def busy(west, east) -> dict:
    """Somebody of west who is at east, and somebody of east who is at west."""
    people = {}
    for home, host in ((west, east), (east, west)):
        person = home.person(roles=("member", "reader"))
        host.agree(home.name, person.project, ("member", "reader"))
        token = person.login()
        until(lambda h=host, t=token: h.images(t) == 200, f"{person} is let in")
        people[home.name] = (person, token)
    return people


def an_operator(west) -> Person:
    """Somebody who is let in."""
    [admin] = west.do("GET", "/projects?name=admin&domain_id=default")["projects"]
    project = Project(admin["id"], admin["name"], "default")
    return west.person(project=project, roles=("admin",))


@pytest.fixture(scope="module")
def operator(west) -> Person:
    return an_operator(west)


@pytest.fixture
def browser():
    with Browser() as browser:
        browser.looks(DESK)
        yield browser


def shows(browser, username: str, password: str) -> None:
    browser.type("#username", username)
    browser.type("#password", password)
    browser.follow("form.card:nth-of-type(1) button")


def log_in(browser, console, person, *, then: str = "/") -> None:
    browser.open(console + then)
    assert "/login" in browser.url
    shows(browser, person.name, person.password)
    assert browser.url == console + then


def test_nobody_meets_a_barrier_on_any_page_at_any_width(
    console, operator, busy, browser, pictures
):
    browser.open(f"{console}/login")
    assert browser.faults() == []
    log_in(browser, console, operator)
    for page in PAGES:
        for width in (DESK, PHONE):
            for dark in (False, True):
                browser.looks(width, dark=dark)
                browser.open(console + page)
                assert browser.faults() == [], f"{page} at {width}, dark: {dark}"
                assert browser.width() <= width, f"{page} must be scrolled sideways at {width}"
                shade = "dark" if dark else "light"
                name = page.strip("/").replace("/", "-") or "overview"
                browser.picture(pictures / f"{name}-{width}-{shade}.png")
    # Among them: what the policy would not let in.
    assert browser.complaints == []


def test_a_barrier_would_be_found(console, browser):
    browser.open(f"{console}/login")
    browser.run("document.querySelector('main').innerHTML += '<button></button>'")
    [fault] = browser.faults()
    assert fault.startswith("button-name (critical)")


def test_a_page_follows_what_happens_without_being_asked(console, east, operator, busy, browser):
    log_in(browser, console, operator)
    until(lambda: browser.reads(".live") == "live", "the page is live")
    with east.stopped("alliance"):
        until(lambda: "silent" in browser.reads("#live table"), "east is silent", deadline=60)
    until(lambda: "silent" not in browser.reads("#live table"), "east answers", deadline=120)


def test_a_partner_is_suspended_and_resumed_by_somebody_with_a_name(
    console, west, operator, busy, browser
):
    log_in(browser, console, operator, then="/partners/east")
    browser.follow(".orders a")
    assert browser.reads("h1") == "Suspend east?"
    assert west.status_of("east") == "active", "it was only asked"
    browser.follow(".choice a")
    assert browser.url == f"{console}/partners/east"
    try:
        browser.follow(".orders a")
        browser.follow(".choice button")
        assert "east is suspended" in browser.reads(".said")
        assert west.status_of("east") == "suspended"
        browser.follow(".orders a")
        browser.follow(".choice button")
        assert "east is active again" in browser.reads(".said")
        assert west.status_of("east") == "active"
    finally:
        west.alliance("partner", "resume", "east", status=None)
    browser.open(f"{console}/audit")
    rows = browser.all_read("tbody tr")
    assert any("partner.suspended" in row and f"{operator.name} in Default" in row for row in rows)


def test_a_session_is_ended_and_its_token_refused(console, west, east, operator, busy, browser):
    _, token = busy["east"]
    assert west.images(token) == 200
    person = east.person(roles=("member", "reader"))
    west.agree("east", person.project, ("member", "reader"))
    other = person.login()
    until(lambda: west.images(other) == 200, "somebody else is let in")
    log_in(browser, console, operator, then="/sessions")
    browser.type("#user", person.id)
    browser.follow(".filter button")
    browser.follow("td a.button")
    assert person.id in browser.reads("main")
    browser.follow(".choice button")
    assert "has ended" in browser.reads(".said")
    assert west.images(other) == 401
    assert west.images(token) == 200


def test_it_says_how_long_a_sign_out_took_to_reach_whom(console, west, east, operator, browser):
    person = west.person(roles=("member", "reader"))
    east.agree("west", person.project, ("member", "reader"))
    token = person.login()
    until(lambda: east.images(token) == 200, "somebody is let in")
    log_in(browser, console, operator, then="/sign-outs")
    west.ask("DELETE", "/auth/tokens", token, X_Subject_Token=token)
    until(lambda: east.images(token) == 401, "it is refused abroad")

    def told() -> bool:
        browser.open(f"{console}/sign-outs")
        return "east in " in browser.reads("section:nth-of-type(1) tbody")

    until(told, "the time is shown")


def test_all_but_liveness_works_without_scripts(console, west, operator, busy, browser):
    browser.scripts(False)
    log_in(browser, console, operator)
    for page in PAGES:
        browser.open(console + page)
        assert browser.reads("h1")
    browser.open(console)
    assert browser.find(".live") == []
    assert "Made at" in browser.reads("footer")
    browser.open(f"{console}/partners/east/suspend")
    try:
        browser.follow(".choice button")
        assert "east is suspended" in browser.reads(".said")
    finally:
        west.alliance("partner", "resume", "east")
    browser.follow(".who button")
    assert browser.url == f"{console}/login"
    browser.open(console)
    assert "/login" in browser.url


def test_a_token_opens_it_and_neither_a_wrong_password_nor_a_guests_token_does(
    console, operator, busy, browser
):
    _, guests = busy["east"]
    browser.open(f"{console}/login")
    shows(browser, operator.name, known_secrets.note("not the password", "password"))
    assert "knows no such user" in browser.reads(".warning")
    browser.type("#subject", guests)
    browser.follow("form.card:nth-of-type(2) button")
    assert "That is a guest" in browser.reads(".warning")
    browser.type("#subject", operator.login())
    browser.follow("form.card:nth-of-type(2) button")
    assert browser.url == f"{console}/"


def test_whoever_lacks_the_role_is_not_let_in(console, west, browser):
    person = west.person(roles=("admin",))
    browser.open(f"{console}/login")
    shows(browser, person.name, person.password)
    assert browser.find(".warning"), "an admin of another project"
    browser.type("#subject", person.login())
    browser.follow("form.card:nth-of-type(2) button")
    assert "That needs role admin" in browser.reads(".warning")


def test_whoever_loses_the_role_is_out_with_the_next_order(console, west, browser):
    person = an_operator(west)
    log_in(browser, console, person)
    browser.open(f"{console}/partners/east/suspend")
    west.revoke(person, "admin")
    browser.follow(".choice button")
    assert "not logged in any more" in browser.reads("main")
    assert west.status_of("east") == "active"
    browser.open(console)
    assert "/login" in browser.url
