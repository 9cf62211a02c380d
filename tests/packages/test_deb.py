"""The Debian package on a clean machine, from installing to purging: one test after the other."""

import shutil
import subprocess
from pathlib import PurePosixPath

import pytest

from tests.kit.waiting import until
from tests.packages.machine import PATH, image

UNITS = ("alliance", "alliance-work")
each_unit = pytest.mark.parametrize("unit", UNITS)


def test_it_is_installed_into_a_root_that_has_no_systemd_and_no_proc(machine, deb, tmp_path):
    """As while the image of a machine is made."""
    root = tmp_path / "root"
    root.mkdir()
    subprocess.run(["tar", "-x", "-C", root, "-f", image()], check=True)
    for name in ("systemd-sysusers", "systemd-tmpfiles"):
        (root / "usr" / "bin" / name).unlink()
    shutil.copy(deb, root / deb.name)

    def inside(*words) -> list[str]:
        command = ["chroot", root, "env", "-i", PATH, *words]
        done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=120)
        return done.stdout.splitlines()

    inside("dpkg", "--install", f"/{deb.name}")
    folders = ("/etc/alliance", "/var/lib/alliance", "/var/log/alliance")
    owners = ("alliance:alliance 750", "alliance:keystone 750", "alliance:alliance 750")
    assert inside("stat", "--format", "%U:%G %a", *folders) == list(owners)
    assert set(inside("id", "--name", "--groups", "alliance")[0].split()) == {
        "alliance",
        "keystone",
    }
    assert inside("alliance", "--version")[0].startswith("alliance ")


@pytest.fixture(scope="module")
def installed(machine, deb):
    machine.install(deb)
    return machine


@pytest.fixture(scope="module")
def running(installed):
    """As the guide says, but for a Keystone and a message bus."""
    secrets = {"keystone-password": "secret", "amqp-url": "amqp://alliance:secret@127.0.0.1:5672/"}
    for name, secret in secrets.items():
        file, owner = f"/etc/alliance/{name}", ("-o", "alliance", "-g", "alliance")
        installed.run("install", *owner, "-m", "0600", "/dev/null", file)
        installed.run("sh", "-c", f"echo {secret} > {file}")
    settings = {
        "peer.url": "https://alliance.west.example:5443",
        "keystone.auth_url": "http://127.0.0.1:5000/v3",
        "delegate.group": "keystone",
        "services.memcached": '["127.0.0.1:11211"]',
        "work.amqp_url_file": "/etc/alliance/amqp-url",
        "audit.file": "/var/log/alliance/audit.log",
    }
    words = [word for name, value in settings.items() for word in ("--set", f"{name}={value}")]
    daemons = ("runuser", "-u", "alliance", "--", "alliance")
    installed.run(*daemons, "init", "--name", "west", *words)
    installed.run("alliance", "config", "check")
    installed.run("systemctl", "enable", "--now", "alliance")
    _answers(installed)
    return installed


def _answers(machine) -> None:
    until(lambda: machine.try_run("alliance", "status").returncode == 0, "the daemon answers", 60)


def _shown(machine, unit: str, name: str) -> str:
    return machine.run("systemctl", "show", "--value", "--property", name, unit).strip()


def _modes(machine, *paths: str) -> list[str]:
    return machine.run("stat", "--format", "%U:%G %a", *paths).splitlines()


@each_unit
def test_nothing_starts_before_it_is_configured(installed, unit):
    assert _shown(installed, unit, "ActiveState") == "inactive"
    assert _shown(installed, unit, "UnitFileState") == "disabled"
    assert _shown(installed, unit, "LoadState") == "loaded"


def test_folders_are_the_daemons_and_keystone_finds_the_snapshot(installed):
    assert _modes(installed, "/etc/alliance", "/var/lib/alliance", "/var/log/alliance") == [
        "alliance:alliance 750",
        "alliance:keystone 750",
        "alliance:alliance 750",
    ]
    assert set(installed.run("id", "-Gn", "alliance").split()) == {"alliance", "keystone"}


@each_unit
def test_units_are_without_fault_and_hardened(installed, unit):
    assert f"ExecStart=/usr/bin/{unit.replace('-', ' ')}" in installed.run("systemctl", "cat", unit)
    checked = installed.try_run("systemd-analyze", "verify", f"{unit}.service")
    assert (checked.returncode, checked.stdout + checked.stderr) == (0, "")
    rating = ("security", "--offline=true", "--threshold=20")
    installed.run("systemd-analyze", *rating, f"{unit}.service")


@pytest.mark.parametrize("page", ["alliance", "alliance-serve", "alliance-partner-invite"])
def test_there_is_a_manual(installed, page):
    assert "SYNOPSIS" in installed.run("man", page)


def test_the_manual_says_where_things_are(installed):
    manual = installed.run("man", "alliance")
    for place in ("/etc/alliance/alliance.toml", "/usr/share/doc/alliance"):
        assert place in manual
        assert installed.try_run("ls", str(PurePosixPath(place).parent)).returncode == 0
    installed.run("test", "-s", "/usr/share/doc/alliance/operators-guide.md.gz")


@pytest.mark.parametrize(
    "shell",
    [
        (
            "bash",
            "-c",
            ". /usr/share/bash-completion/bash_completion; _completion_loader alliance;"
            "COMP_WORDS=(alliance par) COMP_CWORD=1; _alliance alliance par alliance;"
            'echo "${COMPREPLY[@]}"',
        ),
        (
            "zsh",
            "-c",
            "autoload -Uz compinit; compinit -D; autoload +X _alliance; whence -f _alliance",
        ),
        ("fish", "-c", "complete -C 'alliance par'"),
    ],
    ids=lambda words: words[0],
)
def test_shells_complete_its_commands(installed, shell):
    assert "partner" in installed.run(*shell)


def test_it_says_whose_work_is_in_it(installed):
    licences = installed.run("zcat", "/usr/share/doc/alliance/third-party-licenses.gz")
    assert "rustls" in licences
    assert "Permission is hereby granted" in licences


def test_a_sample_has_all_options(installed):
    sample = installed.run("cat", "/usr/share/doc/alliance/examples/alliance.toml")
    assert sample == installed.run("alliance", "config", "sample")


def test_monitoring_is_there(installed):
    installed.run("test", "-s", "/usr/share/alliance/prometheus/alliance.rules.yml")
    installed.run("test", "-s", "/usr/share/alliance/grafana/alliance.json")
    installed.run("test", "-s", "/usr/share/alliance/ceilometer/meters.d/alliance.yaml")
    installed.run("test", "-s", "/usr/share/alliance/ceilometer/gnocchi_resources.yaml")


def test_the_daemon_runs_in_its_unit(running):
    assert _shown(running, "alliance", "ActiveState") == "active"
    process = _shown(running, "alliance", "MainPID")
    assert running.run("ps", "-o", "user=", "-p", process).strip() == "alliance"
    assert "cloud id" in running.run("alliance", "status")
    socket, snapshot = "/run/alliance/delegate.sock", "/var/lib/alliance/keystone.json"
    assert _modes(running, socket, snapshot) == ["alliance:keystone 660", "alliance:keystone 640"]


def test_audit_events_are_in_a_file_that_may_be_rotated(running):
    # It waits for an answer, which never comes.
    running.try_run("timeout", "5", "alliance", "partner", "invite", "east", "--role", "host")
    log = "/var/log/alliance/audit.log"
    until(lambda: running.try_run("test", "-s", log).returncode == 0, "it is audited", 30)
    assert _modes(running, log) == ["alliance:alliance 640"]
    assert "alliance.partner.invited" in running.run("cat", log)
    running.run("test", "-s", "/etc/logrotate.d/alliance")


def test_an_upgrade_restarts_what_runs_and_starts_nothing_else(running, deb):
    before, cloud = _shown(running, "alliance", "MainPID"), running.run("alliance", "id")
    running.install(deb)
    _answers(running)
    assert _shown(running, "alliance", "MainPID") not in (before, "0")
    assert _shown(running, "alliance-work", "ActiveState") == "inactive"
    assert running.run("alliance", "id") == cloud


def test_the_second_process_runs_in_its_unit(running):
    running.run("systemctl", "start", "alliance-work")
    said = ("journalctl", "--unit", "alliance-work", "--output", "cat")
    until(lambda: "RabbitMQ is not heard" in running.run(*said), "it looks for its message bus", 30)
    assert _shown(running, "alliance-work", "ActiveState") == "active"
    assert _shown(running, "alliance-work", "NRestarts") == "0"


def test_removing_it_stops_both_and_keeps_what_is_configured(running):
    running.run("dpkg", "--remove", "alliance")
    assert running.try_run("pgrep", "-x", "alliance").returncode == 1
    assert running.try_run("test", "-e", "/usr/bin/alliance").returncode == 1
    running.run("test", "-s", "/etc/alliance/alliance.toml")
    running.run("test", "-s", "/var/lib/alliance/identity.key")


def test_a_purge_takes_the_configuration_and_leaves_the_keys(running):
    purged = running.try_run("dpkg", "--purge", "alliance")
    assert purged.returncode == 0
    assert "/var/lib/alliance is kept" in purged.stderr
    assert running.try_run("test", "-e", "/etc/alliance").returncode == 1
    running.run("test", "-s", "/var/lib/alliance/identity.key")
    found = running.run("find", "/etc", "/usr", "/lib", "-name", "*alliance*").split()
    assert found == []


def test_a_purge_of_what_was_never_configured_leaves_no_folder(machine, deb):
    machine.run("rm", "-r", "/var/lib/alliance")
    machine.install(deb)
    machine.run("dpkg", "--purge", "alliance")
    assert machine.try_run("test", "-e", "/var/lib/alliance").returncode == 1
