import pytest

from lab.errors import LabError
from lab.services import named, services_of
from lab.services.alliance import Alliance
from lab.services.alliance_work import AllianceWork
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


@pytest.fixture(params=[False, True], ids=["one database", "galera"])
def three(lab, request):
    """A cloud of three nodes; each of its ports is another."""
    wish = Wish("west", services=services("cinder"), ha=True, galera=request.param)
    west, _ = wish.grant(lab)
    names = [name for service in services_of(west) for name in service.ports]
    west.ports = {name: 1000 + at for at, name in enumerate(names)}
    west.choose_passwords(["alliance", "openstack", "rabbitmq"])
    return west


def test_a_cloud_has_the_nodes_with_which_it_was_made(lab, three):
    names = [service.name for service in services_of(three)]
    cluster = ["mariadb-1", "mariadb-2", "mariadb-3"] if "cluster" in three.parts else []
    assert names[: 6 + len(cluster)] == [
        *("memcached", *cluster, "mariadb", "rabbitmq"),
        *("keystone-1", "keystone-2", "keystone-3"),
    ]
    assert {"haproxy", "alliance-1", "alliance-2", "alliance-3", "alliance-work"} < {*names}
    lab.save()
    again = Lab(lab.folder)
    assert [one.name for one in services_of(again.cloud("west"))] == names
    # Nothing said: as it was made.
    assert Wish.parse("west").grant(again)[0].ha
    Wish.parse("east").grant(again)
    with pytest.raises(LabError, match="east was made with one node"):
        Wish("east", ha=True).grant(again)
    if not three.galera:
        with pytest.raises(LabError, match="west was made with one MariaDB"):
            Wish("west", ha=True, galera=True).grant(again)
    with pytest.raises(LabError, match="north: a stock cloud has one node"):
        Wish("north", plain=True, ha=True).grant(again)


def test_a_daemon_and_its_keystone_know_each_other_and_all_others_know_haproxy(three):
    ports = three.ports
    for node in (1, 2, 3):
        daemon = Alliance(three, node)
        text, keystone = daemon.text(), Keystone(three, node)._configuration()
        assert f'auth_url = "http://127.0.0.1:{ports[f"keystone-{node}"]}/v3"' in text
        assert f'instance = "alliance-{node}"\n' in text
        assert f'listen = "127.0.0.1:{ports[f"alliance-peer-{node}"]}"' in text
        assert f":{ports['mariadb']}/alliance" in text
        assert f'url = "https://127.0.0.1:{ports["alliance-peer"]}"' in text
        assert f"socket = {daemon.socket}\nsnapshot = {daemon.snapshot}\n" in keystone
        assert f"public_endpoint = http://127.0.0.1:{ports['keystone']}\n" in keystone
        assert f"key_repository = {three.folder}/keystone/fernet-keys\n" in keystone
    sockets = {Alliance(three, node).socket for node in (1, 2, 3)}
    assert len(sockets) == 3
    assert three.auth_url.endswith(f":{ports['keystone']}/v3")


def test_a_name_without_a_node_means_all_of_them_and_the_first_one_first(three):
    found = [service.name for service in named(three, "keystone")]
    assert found == ["keystone-1", "keystone-2", "keystone-3"]
    assert [service.name for service in named(three, "alliance-2")] == ["alliance-2"]
    assert Alliance(three).name == "alliance-1"
    assert AllianceWork(three)._daemon.name == "alliance-1"
    with pytest.raises(LabError, match=r"no service 'alliance-4' at west: it has .*alliance-3"):
        named(three, "alliance-4")


@pytest.mark.parametrize("word", ["", "21", "west", "west=", "=22", "west=21"])
def test_a_keystone_that_the_lab_has_not_is_refused_with_those_that_it_has(word):
    with pytest.raises(LabError, match="RELEASE is one of 30, 22"):
        keystone_releases([word])


@pytest.mark.parametrize("ha", [False, True])
def test_a_service_starts_after_those_that_it_needs(lab, ha):
    whole, _ = Wish("whole", ha=ha).grant(lab)
    started = []
    for service in services_of(whole):
        assert {*service.after} <= {*started}, service.name
        started.append(service.name)
