"""A cloud without Alliance becomes a partner by its Keystone, and ceases to be one."""

import contextlib
import socket
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from lab.state import write_secret
from tests.kit import people
from tests.kit.waiting import until

ALIAS = "old"


def add(east, *words: str, name: str = ALIAS, status: int | None = 0):
    command = ("partner", "add-keystone", name, *words, "--yes")
    return east.alliance(*command, status=status)


def made_for_partners(east) -> tuple[set, set, set]:
    """What stands in a Keystone for partners' users."""
    federation = "/OS-FEDERATION"
    providers = east.do("GET", f"{federation}/identity_providers")["identity_providers"]
    mappings = east.do("GET", f"{federation}/mappings")["mappings"]
    domains = east.do("GET", "/domains")["domains"]
    return tuple({each["id"] for each in found} for found in (providers, mappings, domains))


def partners(east) -> set[str]:
    return {partner["name"] for partner in east.told("partner", "list")}


@pytest.fixture
def access(old) -> dict[str, str]:
    """The options that describe it."""
    words = old.as_plain()
    return dict(zip(words[::2], words[1::2], strict=True))


def spelled(access: dict[str, str], **changes: str) -> list[str]:
    changed = {f"--{option.replace('_', '-')}": value for option, value in changes.items()}
    return [word for option in {**access, **changed}.items() for word in option]


@pytest.fixture
def added(east, access):
    """It is a partner of east for the time of a test."""
    before = made_for_partners(east)
    add(east, *spelled(access))
    yield east.told("partner", "show", ALIAS)
    east.orders("partner", "remove", ALIAS, "--yes", "--purge")
    assert made_for_partners(east) == before
    assert ALIAS not in partners(east)


@contextlib.contextmanager
def nothing_made(east):
    before = made_for_partners(east), partners(east)
    yield
    assert (made_for_partners(east), partners(east)) == before


def other_spelling(url: str) -> str:
    """Another URL of the same Keystone."""
    return f"http://localhost:{urlsplit(url).port}/v3"


def test_a_keystone_is_shown_with_how_it_is_asked_and_without_its_password(east, old, added):
    assert (added["kind"], added["role"], added["status"]) == ("keystone", "guest", "active")
    assert added["access"]["auth_url"] == old.identity
    assert added["access"]["formats"] == ["uuid"]
    assert added["modes"] == {"uuid": "soft"}
    assert added["keystone"]["ok"]
    secret = Path(added["access"]["password_file"]).read_text()
    for words in (("partner", "show", ALIAS), ("--format", "json", "partner", "list")):
        assert secret not in east.alliance(*words).stdout
    assert "guest (keystone)" in east.alliance("partner", "list").stdout
    until(
        lambda: east.told("partner", "show", ALIAS)["last_seen"],
        "east has asked old's Keystone",
    )
    assert f"OK    partner {ALIAS}:" in east.alliance("doctor").stdout


def test_what_holds_for_partners_holds_for_it(east, added):
    east.orders("partner", "suspend", ALIAS)
    assert east.status_of(ALIAS) == "suspended"
    east.orders("partner", "resume", ALIAS)
    east.orders("partner", "set", ALIAS, "--max-users", "7", "--mode", "uuid=hard")
    east.orders("partner", "set", ALIAS, "--allow-sha1", "yes")
    shown = east.told("partner", "show", ALIAS)
    assert (shown["status"], shown["max_users"]) == ("active", 7)
    assert (shown["modes"], shown["allow_sha1"]) == ({"uuid": "hard"}, True)
    provider = f"/OS-FEDERATION/identity_providers/{ALIAS}"
    east.do("PATCH", provider, {"identity_provider": {"enabled": False}})
    assert not east.told("partner", "show", ALIAS)["keystone"]["ok"]
    east.alliance("partner", "repair", ALIAS)
    assert east.told("partner", "show", ALIAS)["keystone"]["ok"]


def test_modes_that_it_cannot_have_are_refused_with_the_reason(east, added):
    opaque = east.alliance("partner", "set", ALIAS, "--mode", "uuid=offline", status=2)
    assert "only their issuer can validate them" in opaque.stderr
    other = east.alliance("partner", "set", ALIAS, "--mode", "jws=hard", status=1)
    assert "its formats here are uuid" in other.stderr


def test_its_projects_are_found_by_name_and_by_id(east, old, added):
    project = old.project()
    by_name = ("agreement", "create", ALIAS, "--role", "member", "--project", project.name)
    made = east.orders(*by_name)["agreements"][0]
    assert (made["projects"], made["project_name"]) == (project.id, project.name)
    east.end(ALIAS, project.id)
    east.agree(ALIAS, project)
    unknown = ("agreement", "create", ALIAS, "--role", "member", "--project", "nowhere")
    assert f"{ALIAS} has no project" in east.alliance(*unknown, status=1).stderr


def test_a_user_that_may_not_look_for_projects_takes_ids(east, old, access):
    """Old Keystones know no readers of the whole system. It is said before."""
    user = old.person(roles=("service",))
    password = east.folder.parent / "_tests" / "plain.password"
    write_secret(password, user.password)
    as_user = {"username": user.name, "project": user.project.name}
    added = add(east, *spelled(access, password_file=str(password), **as_user))
    assert "the service user may not read there" in added.stderr
    try:
        project = old.project()
        create = ("agreement", "create", ALIAS, "--role", "member", "--project")
        by_name = east.alliance(*create, project.name, status=1)
        assert "name the project by its id" in by_name.stderr
        made = east.orders(*create, project.id)["agreements"][0]
        assert made["projects"] == project.id
    finally:
        east.orders("partner", "remove", ALIAS, "--yes", "--purge")


def test_a_password_that_changes_is_read_from_its_file(east, old, access):
    user = old.person(roles=("service",))
    password = east.folder.parent / "_tests" / "changing.password"
    write_secret(password, user.password)
    as_user = {"username": user.name, "project": user.project.name}
    add(east, *spelled(access, password_file=str(password), **as_user))
    try:
        new = people.password()
        old.do("PATCH", f"/users/{user.id}", {"user": {"password": new}})
        east.alliance("partner", "repair", ALIAS)
        error = east.told("partner", "show", ALIAS)["last_error"]
        assert "check the password in" in error
        assert str(password) in error
        write_secret(password, new)

        def is_well():
            east.alliance("partner", "repair", ALIAS)
            return east.told("partner", "show", ALIAS)["last_error"] is None

        # A refused login is not tried again at once.
        until(is_well, "the new password is used", deadline=20)
    finally:
        east.orders("partner", "remove", ALIAS, "--yes", "--purge")


def test_a_keystone_that_is_away_is_a_warning_and_comes_back(east, old, added):
    with old.stopped("keystone"):
        shown = east.alliance("partner", "repair", ALIAS).stdout
        assert f"the Keystone of {ALIAS} cannot be asked" in shown
        assert "does not answer" in east.alliance("partner", "list").stdout
        doctor = east.alliance("doctor")
        warning = f"WARN  partner {ALIAS}: the Keystone of {ALIAS} cannot be asked"
        assert warning in doctor.stdout
        assert f"the Keystone of partner {ALIAS} cannot be asked" in str(east.told("status"))
    east.alliance("partner", "repair", ALIAS)
    assert east.told("partner", "show", ALIAS)["last_error"] is None


def test_two_partners_with_one_untagged_format_are_both_named(east, access, added):
    again = other_spelling(access["--auth-url"])
    with nothing_made(east):
        refused = add(east, *spelled(access, auth_url=again), name="older", status=1)
    assert f"untagged uuid tokens are those of partner {ALIAS}" in refused.stderr
    assert "those of older too" in refused.stderr
    twice = add(east, *spelled(access, token_format="pki"), name="older", status=1)
    assert f"a partner already, named {ALIAS}" in twice.stderr
    named = add(east, *spelled(access, auth_url=again, token_format="pki"), status=1)
    assert f"a partner is called {ALIAS} already" in named.stderr


def test_a_wrong_password_is_said_and_nothing_is_made(east, access):
    password = east.folder.parent / "_tests" / "wrong.password"
    write_secret(password, people.password())
    with nothing_made(east):
        refused = add(east, *spelled(access, password_file=str(password)), status=1)
    assert "refuses to log in" in refused.stderr
    assert str(password) in refused.stderr


@pytest.mark.parametrize(
    ("mode", "content", "complaint"),
    [
        (0o644, "secret", "every user of this machine can open"),
        (0o600, "", "is empty"),
        (None, None, "cannot be read"),
    ],
)
def test_a_password_file_of_no_use_is_named(east, access, tmp_path, mode, content, complaint):
    password = tmp_path / "password"
    if mode is not None:
        password.write_text(content)
        password.chmod(mode)
    with nothing_made(east):
        refused = add(east, *spelled(access, password_file=str(password)), status=1)
    assert complaint in refused.stderr
    assert str(password) in refused.stderr


@pytest.mark.parametrize(
    ("service", "complaint"),
    [("glance", "is auth_url that of a Keystone?"), ("memcached", "was not reached")],
)
def test_what_is_no_keystone_is_said(east, old, access, service, complaint):
    elsewhere = f"http://127.0.0.1:{old.port(service)}"
    with nothing_made(east):
        refused = add(east, *spelled(access, auth_url=elsewhere), status=1)
    assert complaint in refused.stderr


def test_where_nobody_listens_is_said(east, access):
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        nobody = f"http://127.0.0.1:{bound.getsockname()[1]}/v3"
        with nothing_made(east):
            refused = add(east, *spelled(access, auth_url=nobody), status=1)
    assert f"Keystone at {nobody} was not reached" in refused.stderr


def test_the_own_keystone_is_no_partner_by_whatever_url(east):
    words = east.as_plain()
    own = dict(zip(words[::2], words[1::2], strict=True)) | {"--token-format": "pki"}
    own.pop("--signing-keys", None)
    for url in (
        east.identity,
        east.identity.removesuffix("/v3") + "/",
        other_spelling(east.identity),
    ):
        with nothing_made(east):
            refused = add(east, *spelled(own, auth_url=url), status=1)
        assert "this cloud's own Keystone" in refused.stderr, url


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        ("no key", "reading a key in"),
        (None, "the signing keys: reading"),
    ],
)
def test_signing_keys_of_no_use_are_named(east, access, tmp_path, content, complaint):
    keys = tmp_path / "key.pem"
    if content is not None:
        keys.write_text(content)
    wrong = spelled(access, token_format="uuid,pki", signing_keys=str(keys))
    with nothing_made(east):
        refused = add(east, *wrong, status=1)
    assert complaint in refused.stderr
    assert str(keys) in refused.stderr


def test_an_old_interface_and_unknown_formats_are_mistakes_of_the_command_line(east, access):
    version_2 = access["--auth-url"].replace("/v3", "/v2.0")
    assert "version 2" in add(east, *spelled(access, auth_url=version_2), status=2).stderr
    unknown = add(east, *spelled(access, token_format="uuid,saml"), status=2)
    assert "expected one of uuid, fernet, pki, pkiz, jws" in unknown.stderr


def test_without_the_operators_rights_nothing_is_asked(east, access):
    mistyped = east.alliance("partner", "add-keystone", ALIAS, *spelled(access), status=1)
    assert "nobody can be asked here" in mistyped.stderr
