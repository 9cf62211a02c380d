import pytest

from lab.errors import LabError
from lab.services import services_of
from lab.services.alliance import Alliance
from lab.services.keystone import Keystone
from lab.state import Lab
from lab.words import Setting, Wish, keystone_releases, services


@pytest.fixture
def lab(tmp_path):
    return Lab(tmp_path / "lab")


def made(lab, word):
    cloud, _ = Wish.parse(word).grant(lab)
    return cloud.alliance, cloud.token_provider


def test_a_cloud_is_made_as_its_word_says(lab):
    assert made(lab, "west") == (True, "fernet")
    assert made(lab, "east=pkiz") == (True, "pkiz")
    assert made(lab, "north=plain") == (False, "fernet")
    assert made(lab, "south=plain:uuid") == (False, "uuid")


def test_a_cloud_stays_as_it_is_until_a_word_says_otherwise(lab):
    cloud, _ = Wish.parse("north=plain:uuid").grant(lab)
    for word, other, provider in [
        ("north", False, "uuid"),
        ("north=plain", False, "uuid"),
        ("north=uuid", False, "uuid"),
        ("north=jws", True, "jws"),
    ]:
        assert Wish.parse(word).grant(lab) == (cloud, other), word
        assert (cloud.alliance, cloud.token_provider) == (False, provider)
    cloud.settings["keystone"] = {"token": {"cache_time": 5}}
    lab.save()
    again = Lab(lab.folder).cloud("north")
    assert (again.alliance, again.token_provider) == (False, "jws")
    assert again.settings == cloud.settings


def test_a_cloud_with_alliance_is_never_made_plain(lab):
    made(lab, "west")
    with pytest.raises(LabError, match="west was made with Alliance"):
        made(lab, "west=plain")


@pytest.mark.parametrize(
    "word", ["west=", "west=pkix", "west=plain:", "west=plain:x", "west=uuid:"]
)
def test_a_word_that_means_nothing_is_refused_with_those_that_do(word):
    with pytest.raises(LabError, match="fernet, jws, uuid, pki, pkiz"):
        Wish.parse(word)


def test_a_setting_ends_up_in_the_configuration_of_its_service(lab, monkeypatch):
    west = lab.add("west", services=["keystone"])
    names = ("keystone", "memcached", "alliance-peer", "alliance-metrics")
    west.ports = {name: 1000 + at for at, name in enumerate(names)}
    west.choose_passwords(["alliance"])
    for word in (
        "keystone.token.cache_time=5",
        "alliance.tokens.max_staleness=6",
        "alliance.peer.url=https://other",
        "alliance.services.memcached=[]",
    ):
        assert Setting.parse(word).grant(west), word
        assert not Setting.parse(word).grant(west), word
    keystone, alliance = Keystone(west)._configuration(), Alliance(west).text()
    assert keystone.endswith("\n[token]\ncache_time = 5\n")
    assert "[tokens]\nmax_staleness = 6\n" in alliance
    assert 'url = "https://other"\n' in alliance
    assert "memcached = []\n" in alliance
    assert Setting.parse("keystone.token.cache_time=").grant(west)
    assert "cache_time" not in Keystone(west)._configuration()


@pytest.mark.parametrize("word", ["keystone.token=5", "glance.a.b=1", "keystone.token.cache_time"])
def test_a_setting_that_cannot_be_made_is_refused(word):
    with pytest.raises(LabError, match=r"SERVICE\.SECTION\.OPTION=VALUE"):
        Setting.parse(word)


def test_a_cloud_has_the_services_that_were_named_when_it_was_made_and_what_they_need(lab):
    small, _ = Wish("small", services=services("glance")).grant(lab)
    assert small.parts == {"keystone", "glance"}
    assert [one.name for one in services_of(small)] == [
        "memcached",
        "keystone",
        "glance",
        "alliance",
    ]
    compute, _ = Wish("compute", services=services("nova")).grant(lab)
    assert {"database", "messages", "glance", "placement", "neutron"} < compute.parts
    assert "cinder" not in compute.parts
    whole, _ = Wish.parse("whole").grant(lab)
    assert {"nova", "cinder"} < whole.parts
    # Nothing said: as it was made.
    assert Wish.parse("small").grant(lab)[0].parts == small.parts
    with pytest.raises(LabError, match="was made with keystone,glance"):
        Wish("small", services=services("nova")).grant(lab)
    with pytest.raises(LabError, match="no service 'swift'"):
        services("glance,swift")
    lab.save()
    assert Lab(lab.folder).cloud("small").parts == small.parts


def test_a_cloud_has_the_keystone_that_was_named_when_it_was_made(lab):
    said = keystone_releases(["22", "west=30"])
    west, _ = Wish("west", keystone_release=said["west"]).grant(lab)
    east, _ = Wish("east", keystone_release=said[None]).grant(lab)
    north, _ = Wish.parse("north").grant(lab)
    found = [(cloud.keystone_release, Keystone(cloud).environment_name) for cloud in (west, east)]
    assert found == [("30", "keystone"), ("22", "keystone22")]
    assert north.keystone_release == "30"
    # Nothing said: as it was made.
    assert Wish.parse("east").grant(lab)[0].keystone_release == "22"
    with pytest.raises(LabError, match="east was made with Keystone 22"):
        Wish("east", keystone_release="30").grant(lab)
    lab.save()
    assert Lab(lab.folder).cloud("east").keystone_release == "22"


@pytest.mark.parametrize("word", ["", "21", "west", "west=", "=22", "west=21"])
def test_a_keystone_that_the_lab_has_not_is_refused_with_those_that_it_has(word):
    with pytest.raises(LabError, match="RELEASE is one of 30, 22"):
        keystone_releases([word])


def test_a_service_starts_after_those_that_it_needs(lab):
    whole, _ = Wish.parse("whole").grant(lab)
    started = []
    for service in services_of(whole):
        assert {*service.after} <= {*started}, service.name
        started.append(service.name)
