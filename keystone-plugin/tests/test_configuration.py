import os
import subprocess
import sys

from oslo_config import cfg
import pytest

from keystone_alliance import options
from keystone_alliance import token


def test_oslo_config_generator_knows_the_options(tmp_path):
    generator = os.path.join(os.path.dirname(sys.executable), 'oslo-config-generator')
    output = subprocess.run(
        [sys.executable, generator, '--namespace', 'keystone_alliance'],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert '[alliance]' in output
    for option in options.OPTS:
        assert f'#{option.name} =' in output


@pytest.mark.parametrize('option', options.OPTS, ids=lambda option: option.name)
def test_the_help_of_an_option_says_when_to_change_it(option):
    words = option.help.lower()
    assert any(
        word in words
        for word in ('set it', 'change', 'turn it', 'raise', 'lower', 'name', 'add', 'while')
    )


def configuration(**values):
    conf = cfg.ConfigOpts()
    options.load(conf)
    for name, value in values.items():
        conf.set_override(name, value, group='alliance')
    return options.load(conf)


@pytest.mark.parametrize(('threads', 'askers'), [(1, 1), (4, 1), (7, 1), (8, 2), (40, 10)])
def test_a_quarter_of_the_threads_but_at_least_one_may_ask(threads, askers):
    assert configuration(worker_threads=threads).askers == askers


def test_socket_owners_are_root_keystone_and_whoever_is_named():
    owners = configuration(socket_owners=['nobody', '4711', 'no such user']).socket_owners
    assert owners == {0, os.geteuid(), 65534, 4711}


def test_the_plugin_does_not_compose_itself(world, monkeypatch):
    settings = configuration(inner_provider='alliance')
    monkeypatch.setattr(options, 'load', lambda _conf: settings)
    with pytest.raises(SystemExit, match='inner_provider'):
        token.Provider()
