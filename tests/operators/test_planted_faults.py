"""What somebody breaks at a cloud that runs, and what `alliance doctor` calls it."""

import contextlib
import grp
import os
import shutil
import sqlite3
import subprocess
import time
from pathlib import Path

import pytest

from lab.state import free_port
from tests.kit.waiting import until


def planted(plant):
    """A fault that is there for as long as the context is, and the words that name and mend it."""
    return pytest.param(contextlib.contextmanager(plant), id=plant.__name__)


def daemons_user(east) -> str:
    [[user]] = east.rows("SELECT user_id FROM local_user WHERE name = 'alliance'")
    return user


def service_project(east) -> str:
    [[project]] = east.rows("SELECT id FROM project WHERE name = 'service' AND is_domain = 0")
    return project


FEDERATION = "/OS-FEDERATION"
PROTOCOL = f"{FEDERATION}/identity_providers/west/protocols/alliance"


def mapping_of(east) -> str:
    return east.do("GET", PROTOCOL)["protocol"]["mapping_id"]


def rules_of(east, mapping: str) -> list[dict]:
    return east.do("GET", f"{FEDERATION}/mappings/{mapping}")["mapping"]["rules"]


def protocol_is_deleted(east):
    mapping = mapping_of(east)
    east.do("DELETE", PROTOCOL)
    try:
        yield "protocol alliance of identity provider west is missing", "partner repair west"
    finally:
        east.do("PUT", PROTOCOL, {"protocol": {"mapping_id": mapping}})


def mapping_lets_somebody_in(east):
    mapping = mapping_of(east)
    rules = rules_of(east, mapping)
    path = f"{FEDERATION}/mappings/{mapping}"
    opened = [{"local": rules[0]["local"], "remote": [{"type": "REMOTE_USER"}]}]
    east.do("PATCH", path, {"mapping": {"rules": opened}})
    try:
        yield "has other rules", f"openstack mapping delete {mapping}"
    finally:
        east.do("PATCH", path, {"mapping": {"rules": rules}})


def protocol_has_another_mapping(east):
    mapping = mapping_of(east)
    other = f"{FEDERATION}/mappings/other"
    east.do("PUT", other, {"mapping": {"rules": rules_of(east, mapping)}})
    east.do("PATCH", PROTOCOL, {"protocol": {"mapping_id": "other"}})
    try:
        yield "has mapping other", "alliance partner repair west"
    finally:
        east.do("PATCH", PROTOCOL, {"protocol": {"mapping_id": mapping}})
        east.do("DELETE", other)


def identity_provider_is_disabled(east):
    path = f"{FEDERATION}/identity_providers/west"
    east.do("PATCH", path, {"identity_provider": {"enabled": False}})
    try:
        yield "identity provider west is disabled", "alliance partner repair west"
    finally:
        east.do("PATCH", path, {"identity_provider": {"enabled": True}})


def identity_provider_has_a_remote_id(east):
    path = f"{FEDERATION}/identity_providers/west"
    east.do("PATCH", path, {"identity_provider": {"remote_ids": ["https://idp.example"]}})
    try:
        yield "has remote ids (https://idp.example)", "--remote-id-file /dev/null west"
    finally:
        east.do("PATCH", path, {"identity_provider": {"remote_ids": []}})


def identity_provider_has_another_protocol(east):
    path = f"{FEDERATION}/identity_providers/west/protocols/mapped"
    east.do("PUT", path, {"protocol": {"mapping_id": mapping_of(east)}})
    try:
        mended = "openstack federation protocol delete --identity-provider west mapped"
        yield "further protocols (mapped)", mended
    finally:
        east.do("DELETE", path)


def domain_is_renamed(east):
    domain = east.do("GET", f"{FEDERATION}/identity_providers/west")["identity_provider"]
    path = f"/domains/{domain['domain_id']}"
    east.do("PATCH", path, {"domain": {"name": "wild-west"}})
    try:
        yield "is called wild-west", "openstack domain set --name west"
    finally:
        east.do("PATCH", path, {"domain": {"name": "west"}})


@contextlib.contextmanager
def granted(east, path: str):
    east.do("PUT", path)
    try:
        yield
    finally:
        east.do("DELETE", path)


def region_is_called_like_the_partners(east):
    east.do("POST", "/regions", {"region": {"id": "west"}})
    try:
        yield "partner west: this cloud has a region west", "openstack region delete west"
    finally:
        east.do("DELETE", "/regions/west")


def partners_daemon_signs_for_keystone(east):
    key = east.lab.cloud("west").folder / "alliance" / "state" / "signing.key"
    file = east.folder / "keystone" / "jws" / "public" / "partners.pem"
    subprocess.run(["openssl", "pkey", "-in", key, "-pubout", "-out", file], check=True)
    try:
        yield "a key of west is among this cloud's own", f"take the file {file} out"
    finally:
        file.unlink()


def user_administrates_another_project(east):
    path = f"/projects/{east.project().id}/users/{daemons_user(east)}/roles/{east.roles['admin']}"
    with granted(east, path):
        yield "holds admin on project ", "openstack role remove --user"


def user_administrates_a_domain(east):
    path = f"/domains/default/users/{daemons_user(east)}/roles/{east.roles['admin']}"
    with granted(east, path):
        yield "holds admin on domain Default", "--domain default admin"


def user_manages_a_domain(east):
    path = f"/domains/default/users/{daemons_user(east)}/roles/{east.roles['manager']}"
    with granted(east, path):
        yield "holds manager on domain Default", "openstack role remove --user"


def user_changes_the_system(east):
    path = f"/system/users/{daemons_user(east)}/roles/{east.roles['member']}"
    with granted(east, path):
        yield "holds member on system", "--system all member"


def user_has_another_role_than_service(east):
    place = f"/projects/{service_project(east)}/users/{daemons_user(east)}/roles"
    with granted(east, f"{place}/{east.roles['member']}"):
        east.do("DELETE", f"{place}/{east.roles['service']}")
        try:
            yield "it needs role service there", "openstack role add --user"
        finally:
            east.do("PUT", f"{place}/{east.roles['service']}")


def somebody_holds_the_database(east):
    file = east.folder / "alliance" / "state" / "alliance.db"
    with contextlib.closing(sqlite3.connect(file, isolation_level=None)) as database:
        database.execute("BEGIN IMMEDIATE")
        yield "the daemon's database", "changes fail until it answers"
        database.execute("ROLLBACK")


def everybody_may_use_the_socket(east):
    mode = east.daemon_socket.stat().st_mode
    os.chmod(east.daemon_socket, 0o666)
    try:
        yield "every user of this machine may ask", f"chmod 0660 {east.daemon_socket}"
    finally:
        os.chmod(east.daemon_socket, mode)


@contextlib.contextmanager
def away(file: Path):
    aside = file.with_name("aside")
    file.rename(aside)
    try:
        yield
    finally:
        aside.rename(file)


def keystone_has_no_snapshot(east):
    file = east.folder / "alliance" / "state" / "keystone.json"
    with away(file):
        yield f"{file} is not there", "systemctl restart alliance"


@contextlib.contextmanager
def beside(file: Path, text: str):
    """A site's own file, which is read after this one."""
    folder = file.with_name(file.name + ".d")
    folder.mkdir()
    (folder / "90-site.conf").write_text(text)
    try:
        yield
    finally:
        shutil.rmtree(folder)


def a_later_file_has_another_provider(east):
    with beside(east.folder / "keystone" / "keystone.conf", "[TOKEN]\nprovider = 'fernet'\n"):
        yield "Keystone knows no foreign tokens", "set [token] provider = alliance"


def an_option_is_misspelled(east):
    with beside(east.folder / "keystone" / "keystone.conf", "[alliance]\nmax_stalenes = 30\n"):
        yield "max_stalenes in [alliance]", "max_staleness"


def nothing_is_cached(east):
    with beside(
        east.folder / "keystone" / "keystone.conf", "[cache]\nbackend = dogpile.cache.null\n"
    ):
        yield "partners are asked about each request", "set [cache] backend"


def keystones_cache_is_away(east):
    servers = f"[cache]\nmemcache_servers = 127.0.0.1:{free_port()}\n"
    with beside(east.folder / "keystone" / "keystone.conf", servers):
        yield "nothing takes connections at 127.0.0.1:", "mend [cache] memcache_servers"


def keystones_cache_is_another_clouds(east):
    port = east.lab.cloud("west").ports["memcached"]
    servers = f"[cache]\nmemcache_servers = 127.0.0.1:{port}\n"
    with beside(east.folder / "keystone" / "keystone.conf", servers):
        yield "is used by cloud", "[cache] memcache_servers"


def a_number_is_none(east):
    with beside(east.folder / "keystone" / "keystone.conf", "[token]\ncache_time = 60s\n"):
        yield "[token] cache_time = 60s", "Keystone does not start"


@contextlib.contextmanager
def own_url_is(east, port: int):
    """In the file, as if it were copied from another cloud's."""
    file = east.folder / "alliance" / "alliance.toml"
    text = file.read_text()
    url = f"https://127.0.0.1:{east.port('alliance-peer')}"
    assert url in text
    file.write_text(text.replace(url, f"https://127.0.0.1:{port}"))
    try:
        yield
    finally:
        file.write_text(text)


def own_url_is_a_partners(east):
    with own_url_is(east, east.lab.cloud("west").ports["alliance-peer"]):
        yield "leads to another cloud", "set it to where this cloud's daemon answers"


def own_url_is_nobodys(east):
    with own_url_is(east, free_port()):
        yield "no daemon answers at [peer] url", "mend the address, the balancer or the firewall"


def trust_ends_in_an_hour(east):
    till = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 3600))
    east.orders("partner", "set", "west", "--trust-till", till)
    try:
        yield "the trust in west ends in", "alliance partner set west --trust-till DATE"
    finally:
        east.orders("partner", "set", "west", "--trust-till", "never")


def socket_is_another_groups(east):
    socket = east.daemon_socket
    group = socket.stat().st_gid
    os.chown(socket, -1, 1)
    try:
        yield f"{socket} belongs to the group", f"chgrp {grp.getgrgid(group).gr_name} {socket}"
    finally:
        os.chown(socket, -1, group)


def a_service_keeps_tokens_for_an_hour(east):
    with beside(
        east.folder / "glance" / "etc" / "glance-api.conf",
        "[keystone_authtoken]\ntoken_cache_time = 3600\n",
    ):
        yield "up to 3600 s more", "token_cache_time = 300"


FAULTS = [
    planted(plant)
    for plant in (
        protocol_is_deleted,
        mapping_lets_somebody_in,
        protocol_has_another_mapping,
        identity_provider_is_disabled,
        identity_provider_has_a_remote_id,
        identity_provider_has_another_protocol,
        domain_is_renamed,
        region_is_called_like_the_partners,
        partners_daemon_signs_for_keystone,
        user_manages_a_domain,
        user_administrates_another_project,
        user_administrates_a_domain,
        user_changes_the_system,
        user_has_another_role_than_service,
        somebody_holds_the_database,
        everybody_may_use_the_socket,
        a_later_file_has_another_provider,
        an_option_is_misspelled,
        nothing_is_cached,
        keystones_cache_is_away,
        keystones_cache_is_another_clouds,
        keystone_has_no_snapshot,
        a_number_is_none,
        own_url_is_a_partners,
        own_url_is_nobodys,
        trust_ends_in_an_hour,
        socket_is_another_groups,
        a_service_keeps_tokens_for_an_hour,
    )
]


def command(east, *words: str) -> list[str]:
    files = {
        "--config": east.folder / "alliance" / "alliance.toml",
        "--keystone-conf": east.folder / "keystone" / "keystone.conf",
        "--service-conf": east.folder / "glance" / "etc" / "glance-api.conf",
    }
    return [*words, "doctor", *(str(word) for pair in files.items() for word in pair)]


def said(east) -> list[str]:
    """All that is not as it should be."""
    found = east.alliance(*command(east, "--format", "json"), status=None).json()
    return [f"{one['what']}: {one['detail']}" for one in found if one["state"] in ("warn", "fail")]


@pytest.fixture(scope="module")
def before(east) -> set[str]:
    """What is said of east before anything is broken."""
    return set(said(east))


@pytest.mark.parametrize("plant", FAULTS)
def test_it_is_named_with_what_mends_it_and_no_more_when_it_is_mended(east, before, plant):
    with plant(east) as words:
        now = set(said(east)) - before
        assert any(all(word in text for word in words) for text in now), now
    until(lambda: set(said(east)) <= before, "all is as it was", deadline=20)


def test_a_password_that_is_wrong_is_named_before_a_daemon_starts_with_it(east, tmp_path):
    text = (east.folder / "alliance" / "alliance.toml").read_text()
    [line] = [line for line in text.splitlines() if line.startswith("password = ")]
    file = tmp_path / "alliance.toml"
    file.write_text(text.replace(line, 'password = "another one"'))
    file.chmod(0o600)
    words = ("doctor", "--config", str(file))
    found = east.alliance("--format", "json", *words, status=1).json()
    [user] = [one for one in found if one["what"] == "Keystone's user"]
    assert user["state"] == "fail"
    assert "password" in user["detail"]


def test_nothing_is_found_at_clouds_where_all_is_well(west, east, north):
    for cloud in (west, east, north):
        # Whoever was silent for the tests before is asked again each 30 s.
        until(lambda cloud=cloud: not said(cloud), "it has nothing to say", deadline=90)
        assert "NOTE" in cloud.alliance(*command(cloud), "--strict").stdout


def test_a_warning_is_no_failure_but_for_who_is_strict(east):
    with contextlib.contextmanager(everybody_may_use_the_socket)(east):
        assert "WARN" in east.alliance(*command(east)).stdout
        east.alliance(*command(east), "--strict", status=1)
