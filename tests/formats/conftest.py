"""All tests here run once for each format that west issues, format by format: a change starts a
Keystone anew."""

import pytest

from tests.formats.terms import (
    CACHE_TIME,
    KEY_OVERLAP,
    OPAQUE,
    REFRESH,
    REVOCATION_AGE,
    SIGNED,
    STALENESS,
)
from tests.kit.nightly import NIGHTLY
from tests.kit.waiting import until
from tests.kit.wiretap import Wiretap

#: PKI is PKIZ, not compressed, and Fernet is what all other tests use: by day these are left out.
AT_NIGHT = ("pki", "fernet")
FORMATS = [issued for issued in OPAQUE + SIGNED if issued not in AT_NIGHT or NIGHTLY]
#: Wait for long: by day for these formats, by `make nightly` for all.
LONG = {
    "test_a_dead_home_is_outlived_as_long_as_promised_and_then_nobody_can_tell": ("jws",),
    "test_half_a_home_is_no_less_than_none": ("uuid", "jws"),
    "test_its_keystone_is_outlived_as_long_as_promised_and_then_nobody_can_tell": ("uuid",),
}
#: Fixtures that are there for some formats only: by which fixture the format is known, and which.
ONLY = {
    "signed": ("issued", SIGNED),
    "jws": ("issued", ("jws",)),
    "ambiguous": ("plain", ("fernet",)),
}


def pytest_collection_modifyitems(items):
    """What is about signatures, say, is not asked of tokens that have none."""

    def is_meant(item) -> bool:
        names = getattr(item, "fixturenames", ())
        chosen = [ONLY[name] for name in ONLY if name in names]
        if item.originalname in LONG and not NIGHTLY:
            by_day = LONG[item.originalname]
            chosen.append(("plain" if "plain" in names else "issued", by_day))
        return all(item.callspec.params[by] in formats for by, formats in chosen)

    items[:] = filter(is_meant, items)


@pytest.fixture(scope="package")
def hasty(east):
    """East, with small bounds. An untagged token is none of its own."""
    keystone = {
        "token": {"cache_time": CACHE_TIME},
        "alliance": {"max_staleness": STALENESS, "accept_untagged": "false"},
    }
    tokens = {
        "max_staleness": STALENESS,
        "max_revocation_age": REVOCATION_AGE,
        "revocation_refresh": REFRESH,
    }
    with east.configured(keystone=keystone, alliance={"tokens": tokens}):
        yield east


@pytest.fixture(scope="package")
def home(west):
    """West, which will issue what it issues now when all is over."""
    settings = {"signing": {"key_overlap": KEY_OVERLAP}, "catalog": {"refresh": REFRESH}}
    with west.configured(alliance=settings), west.issuing(west.token_provider):
        yield west


@pytest.fixture(scope="package", params=FORMATS)
def issued(request, home, hasty):
    """The format of west's tokens."""
    home.issue(request.param)
    return request.param


@pytest.fixture
def signed(issued):
    """The same; only for tokens that are signed."""
    return issued


@pytest.fixture
def jws(issued):
    """The same; only for those that Keystone signs itself."""
    return issued


@pytest.fixture(scope="package")
def guest(issued, home, hasty):
    person = home.person(roles=("member", "reader"))
    hasty.agree("west", person.project, ("member", "reader"))
    known = f"east takes {issued} tokens"
    until(lambda: hasty.judge(person.login())["status"] == "valid", known, deadline=20)
    return person


@pytest.fixture(scope="package")
def third(east, north, home):
    """North, and what east's daemon says to north's."""
    keys = [cloud.folder / "alliance" / "state" / "identity.key" for cloud in (north, east)]
    with Wiretap(north.port("alliance-peer"), *keys) as tap:

        def moved(cloud, url: str):
            return lambda: cloud.told("partner", "show", "north")["peer_url"] == url

        with north.configured(alliance={"peer": {"url": tap.url}}):
            until(moved(east, tap.url), "east finds north's daemon behind the tap", deadline=40)
            yield north, tap
        direct = f"https://127.0.0.1:{north.port('alliance-peer')}"
        # Whoever missed it would never find it again.
        for cloud in (east, home):
            found = f"{cloud} finds north's daemon without the tap"
            until(moved(cloud, direct), found, deadline=40)
