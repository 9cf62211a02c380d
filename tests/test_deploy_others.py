"""DevStack's plugin and kolla-ansible's playbook, as far as they can be tried without either."""

import configparser
import re
import subprocess

import pytest
import yaml

from lab.commands import base_settings
from tests import test_docs

DEPLOY = test_docs.ROOT / "deploy"
DEVSTACK, KOLLA = DEPLOY / "devstack", DEPLOY / "kolla"
#: What DevStack has, of which the plugin uses this. An ini file is a folder of sections with a file
#: for each option; everything else is noted.
STUBS = r"""
set -eu
noted() { printf '%s\n' "$*" >> "$NOTES"; }
iniset() { mkdir -p "$1/$2" && printf '%s\n' "$4" > "$1/$2/$3"; }
iniget() { [[ ! -e $1/$2/$3 ]] || cat "$1/$2/$3"; }
enable_service() { noted enable_service "$@"; }
is_service_enabled() { [[ $1 == alliance ]]; }
echo_summary() { noted summary "$@"; }
die() { echo "died: $*" >&2; exit 1; }
for one in pip_install get_or_create_user run_process stop_process stop_keystone start_keystone \
    openstack; do
    eval "$one() { noted $one \"\$@\"; }"
done
sudo() { "$@"; }
source "$PLUGIN/settings"
"""


@pytest.fixture
def devstack(tmp_path):
    """A DevStack that is none: runs a mode and a phase of the plugin; returns what was noted."""
    conf, notes = tmp_path / "keystone.conf", tmp_path / "notes"
    for section, key, value in (("token", "provider", "fernet"), ("cache", "enabled", "true")):
        (conf / section).mkdir(parents=True)
        (conf / section / key).write_text(f"{value}\n")
    variables = {
        "ALLIANCE_BIN": test_docs._program(),
        "ALLIANCE_PROGRAM": tmp_path / "bin/alliance",
        "ALLIANCE_CONF_DIR": tmp_path / "etc",
        "DATA_DIR": tmp_path / "data",
        "DEST": tmp_path / "dest",
        "KEYSTONE_CONF": conf,
        "KEYSTONE_SERVICE_URI": "http://10.0.0.1/identity",
        "NOTES": notes,
        "PLUGIN": test_docs.ROOT / "devstack",
        "SERVICE_DOMAIN_NAME": "Default",
        "SERVICE_HOST": "10.0.0.1",
        "SERVICE_PASSWORD": "secret",
        "SERVICE_PROJECT_NAME": "service",
        "STACK_USER": "root",
    }
    (tmp_path / "bin").mkdir()
    (tmp_path / "data").mkdir()
    environment = {name: str(value) for name, value in variables.items()}

    def run(*words: str) -> str:
        notes.write_text("")
        script = STUBS + f'source "$PLUGIN/plugin.sh" {" ".join(words)}'
        done = subprocess.run(
            ["bash", "-c", script],
            env={**base_settings(), **environment},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert done.returncode == 0, f"{words}: {done.stdout}{done.stderr}"
        return notes.read_text()

    run.folder = tmp_path
    run.keystone = lambda: _ini_of(conf)
    return run


def _ini(file) -> configparser.ConfigParser:
    found = configparser.ConfigParser(interpolation=None)
    found.read(file)
    return found


def _ini_of(folder) -> configparser.ConfigParser:
    found = configparser.ConfigParser(interpolation=None)
    for file in folder.glob("*/*"):
        found.read_dict({file.parent.name: {file.name: file.read_text().strip()}})
    return found


def _options(found: configparser.ConfigParser) -> set[tuple[str, str]]:
    return {(section, key) for section in found.sections() for key in found[section]}


def _known() -> set[tuple[str, str]]:
    return test_docs._options_of_the_plugin() | test_docs.OTHERS


def _is_complete(keystone: configparser.ConfigParser) -> bool:
    """Whether it says what the guide says."""
    guide = (test_docs.ROOT / "docs/operators-guide.md").read_text()
    [block] = re.findall(r"```ini\n(\[token\].*?)```", guide, re.S)
    wanted = configparser.ConfigParser(interpolation=None)
    wanted.read_string(block)
    drivers = {section for section in wanted.sections() if wanted.has_option(section, "driver")}
    assert drivers
    return (
        keystone["token"]["provider"] == "alliance"
        and keystone["alliance"]["inner_provider"] == "fernet"
        and keystone["auth"]["methods"] == wanted["auth"]["methods"]
        and all(keystone[section]["driver"] == "alliance" for section in drivers)
    )


def test_devstack_finds_the_plugin():
    """It looks for `devstack/` at the top of a repository."""
    assert (test_docs.ROOT / "devstack/plugin.sh").samefile(DEVSTACK / "plugin.sh")
    assert (test_docs.ROOT / "devstack/settings").is_file()


def test_devstacks_phases_configure_daemon_and_keystone_also_twice(devstack):
    assert "pip_install --no-deps" in devstack("stack", "install")
    said = devstack("stack", "post-config")
    assert devstack("stack", "post-config").count("run_process alliance") == 1
    assert said.index("run_process alliance") < said.index("stop_keystone")
    assert said.index("stop_keystone") < said.index("start_keystone")
    assert "openstack role add --user alliance --user-domain Default --system all reader" in said
    keystone = devstack.keystone()
    assert _is_complete(keystone)
    assert _options(keystone) <= _known()
    configuration = devstack.folder / "etc/alliance.toml"
    assert 'auth_url = "http://10.0.0.1/identity/v3"' in configuration.read_text()
    assert (devstack.folder / "data/alliance/identity.key").is_file()


def test_devstack_is_as_before_when_it_is_cleaned(devstack):
    devstack("stack", "install")
    devstack("stack", "post-config")
    assert "stop_process alliance" in devstack("unstack")
    devstack("clean")
    keystone = devstack.keystone()
    assert keystone["token"]["provider"] == "fernet"
    assert keystone["revoke"]["driver"] == "sql"
    assert not (devstack.folder / "etc").exists()
    assert not (devstack.folder / "data/alliance").exists()


def test_kollas_keystone_is_configured_as_the_guide_says():
    keystone = _ini(KOLLA / "config/keystone.conf")
    assert _is_complete(keystone)
    assert _options(keystone) <= _known()


def _filled(text: str) -> str:
    """A template with a word, a port or an address for what kolla-ansible knows."""
    text = re.sub(r"\{% for .*? %\}(.*?)\{% endfor %\}", r"\1", text, flags=re.S)
    text = re.sub(r"\{% if .*? %\}.*?\{% endif %\}", "", text, flags=re.S)
    text = re.sub(r"\{\{[^}]*(?:port|alliance_port)[^}]*\}\}", "5443", text)
    text = re.sub(r"\{\{[^}]*address[^}]*\}\}", "10.0.0.1", text)
    text = re.sub(r"\{\{[^}]*url[^}]*\}\}", "https://alliance.west.example:5443", text)
    return re.sub(r"\{\{[^}]*\}\}", "word", text)


def test_kollas_daemon_is_configured_by_what_the_program_reads(tmp_path):
    file = tmp_path / "alliance.toml"
    file.write_text(_filled((KOLLA / "alliance.toml.j2").read_text()))
    command = [test_docs._program(), "config", "check", "--config", file]
    checked = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert checked.returncode == 0, checked.stderr


def test_haproxy_passes_on_tcp_and_asks_whether_a_daemon_is_ready():
    text = (KOLLA / "config/haproxy/services.d/alliance.cfg").read_text()
    assert set(re.findall(r"^ +mode (\w+)", text, re.M)) == {"tcp"}
    assert "option httpchk GET /readyz\n" in text
    # As the guide says.
    closing = "default-server on-marked-down shutdown-sessions\n"
    assert closing in text.partition("\nbackend ")[2]
    assert closing in (test_docs.ROOT / "docs/operators-guide.md").read_text()
    [port] = re.findall(r"check port (\d+)", text)
    assert f":{port}" in (KOLLA / "alliance.toml.j2").read_text()
    polled = 25
    for side in ("client", "server"):
        [seconds] = re.findall(rf"timeout {side} (\d+)s", text)
        assert int(seconds) > 2 * polled


def test_kollas_playbook_is_one_and_its_files_are_there():
    facts, play = yaml.safe_load((KOLLA / "alliance.yml").read_text())
    # Of all hosts, before the first of one: the configuration has the addresses of all.
    assert facts["ansible.builtin.import_playbook"] == "gather-facts.yml"
    handlers = {one["name"] for one in play["handlers"]}
    for task in play["tasks"]:
        assert task["name"]
        assert {task["notify"]} <= handlers if "notify" in task else True
        template = task.get("ansible.builtin.template")
        assert not template or (KOLLA / template["src"]).is_file()
    volumes = yaml.safe_load((KOLLA / "globals.yml").read_text())["keystone_extra_volumes"]
    unit = (KOLLA / "alliance.service.j2").read_text()
    for volume in volumes:
        assert f"--volume {volume.removesuffix(':ro')}" in unit
