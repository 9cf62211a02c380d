import socket

import pytest

from lab.errors import LabError
from lab.state import Lab, free_port, lab_folder


@pytest.fixture
def lab(tmp_path):
    return Lab(tmp_path / "lab")


def test_what_was_chosen_is_found_again(lab):
    west = lab.add("west")
    west.choose_port("keystone")
    west.choose_passwords(["ann"])
    lab.save()
    assert lab.file.stat().st_mode & 0o777 == 0o600
    again = Lab(lab.folder).cloud("west")
    assert (again.ports, again.passwords) == (west.ports, west.passwords)


def test_a_port_is_kept_unless_somebody_has_it(lab, capsys):
    west = lab.add("west")
    west.choose_port("keystone")
    port = west.ports["keystone"]
    west.choose_port("keystone")
    assert west.ports["keystone"] == port
    with socket.create_server(("127.0.0.1", port)):
        west.choose_port("keystone")
    assert west.ports["keystone"] != port
    assert f"port {port} of keystone is taken" in capsys.readouterr().out


def test_a_port_is_not_given_again_before_somebody_can_listen_there():
    ports = [free_port() for _ in range(200)]
    assert len({*ports}) == len(ports)


@pytest.mark.parametrize("name", ["", "West", "../x", "9", "a" * 16, "we st", "_bin", "west\n"])
def test_a_cloud_name_that_cannot_be_a_folder_and_a_region_is_refused(lab, name):
    with pytest.raises(LabError, match="cloud name"):
        lab.add(name)


def test_an_unknown_cloud_is_refused_with_the_known_ones(lab):
    with pytest.raises(LabError, match="no lab in"):
        lab.cloud("west")
    lab.add("west"), lab.add("east")
    with pytest.raises(LabError, match="no cloud 'wets' in this lab: it has west, east"):
        lab.cloud("wets")


def test_a_damaged_lab_says_how_to_get_rid_of_it(lab):
    lab.save()
    lab.file.write_text("{}")
    with pytest.raises(LabError, match="--purge"):
        Lab(lab.folder)


def test_a_folder_too_long_for_a_socket_is_refused(monkeypatch):
    monkeypatch.setenv("ALLIANCE_LAB", "/tmp/" + "x" * 80)
    with pytest.raises(LabError, match="too long"):
        lab_folder()
    monkeypatch.setenv("ALLIANCE_LAB", "/tmp/a lab")
    with pytest.raises(LabError, match="only letters"):
        lab_folder()
