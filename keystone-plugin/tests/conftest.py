import dataclasses
import hashlib
import json
import os
import pathlib
import secrets
import shutil
import socket
import subprocess
import tempfile
import time
import warnings

import pytest

warnings.filterwarnings('ignore')

import checkout  # noqa: E402

_FOLDER = pathlib.Path(tempfile.mkdtemp(prefix='alliance-plugin-'))
checkout.install(_FOLDER / 'metadata')

import at_once  # noqa: E402
from fake_daemon import FakeDaemon  # noqa: E402
import keystone_host  # noqa: E402
from keystone_host import CONF  # noqa: E402
from keystone_host import PROVIDERS  # noqa: E402
from partner_cloud import PartnerCloud  # noqa: E402
from partner_cloud import new_key  # noqa: E402

from keystone_alliance import staleness  # noqa: E402


def free_port():
    with socket.socket() as probe:
        probe.bind(('127.0.0.1', 0))
        return probe.getsockname()[1]


@pytest.fixture(scope='session')
def folder():
    yield _FOLDER
    shutil.rmtree(_FOLDER, ignore_errors=True)


@pytest.fixture(scope='session')
def memcached(folder):
    port = free_port()
    process = subprocess.Popen(
        ['memcached', '-l', '127.0.0.1', '-p', str(port), '-u', 'root', '-m', '64']
    )
    until = time.monotonic() + 5
    while True:
        try:
            socket.create_connection(('127.0.0.1', port), 1).close()
            break
        except OSError:
            assert time.monotonic() < until, 'memcached does not start'
            time.sleep(0.02)
    yield port
    process.terminate()
    process.wait()


class World:
    """East (this Keystone, the host) with its partners west and north, and its daemon's double.

    A third partner, the plain Keystone ``old``, is in the snapshot of those tests that ask for it.
    """

    def __init__(self, folder, application):
        self.folder = folder
        self.api = keystone_host.Api(application)
        self.cloud_id = new_key()[2]
        self.tag = self.cloud_id[:8]
        self.west = PartnerCloud('west')
        self.north = PartnerCloud('north')
        self.old = PartnerCloud('old', kind='keystone')
        partners = [self.west, self.north, self.old]
        self.daemon = FakeDaemon(folder / 'delegate.sock', self.cloud_id, partners)
        for partner in partners:
            keystone_host.make_partner_objects(partner)
        self.generation = 0
        self.settings = self.provider._settings
        self.reset()

    @property
    def provider(self):
        return PROVIDERS.token_provider_api.driver

    def configure(self, **changes):
        """Run with other options of the [alliance] group until the test ends."""
        at_once.configure(self.provider, dataclasses.replace(self.settings, **changes))

    def reset(self):
        self.daemon.reset()
        self.configure()
        CONF.clear_override('cache_time', group='token')
        self.snapshot = {
            'version': 1,
            'cloud': {
                'id': self.cloud_id,
                'tag': self.tag,
                'name': 'east',
                'keys': [self.daemon.jwk],
            },
            'ring': None,
            'partners': {partner.tag: partner.entry() for partner in (self.west, self.north)},
            'catalog': {
                'projects': {},
                'all_projects': [],
                'guests': {},
                'entries': {},
                'services': {},
            },
        }
        self.write()
        staleness.flush()

    def write(self):
        """Replace the snapshot as the daemon does."""
        self.generation += 1
        self.snapshot['generation'] = self.generation
        path = self.folder / 'keystone.json'
        temporary = path.with_suffix('.new')
        temporary.write_text(json.dumps(self.snapshot))
        os.replace(temporary, path)

    def claim(self, *formats, **changes):
        """Have ``old`` as a partner, with the untagged tokens of these formats."""
        entry = self.old.entry(**{'untagged': list(formats), **changes})
        self.snapshot['partners'][self.old.tag] = entry
        self.write()

    def partner_entry(self, partner=None):
        return self.snapshot['partners'][(partner or self.west).tag]

    def log(self):
        return (self.folder / 'keystone.log').read_text()

    def admin(self, scope='project'):
        return self.api.password(scope=scope).headers['X-Subject-Token']


@pytest.fixture(scope='session')
def _world(folder, memcached):
    configuration = keystone_host.write_configuration(folder, memcached)
    keystone_host.make_keys(folder)
    application = keystone_host.start(configuration)
    keystone_host.make_database()
    world = World(folder, application)
    yield world
    world.daemon.stop()


@pytest.fixture
def world(_world):
    _world.reset()
    yield _world
    _world.reset()


@pytest.fixture
def api(world):
    return world.api


@pytest.fixture
def west(world):
    return world.west


@pytest.fixture
def old(world):
    """A plain Keystone of 2014 as a partner: no daemon, no tags."""
    world.claim('uuid', 'pki', 'pkiz')
    return world.old


@pytest.fixture
def admin(world):
    return world.admin()


@pytest.fixture
def unhurried(world, monkeypatch):
    """Nobody is refused for being kept waiting by a busy machine."""
    at_once.take_time(world.provider, monkeypatch.setattr)


@pytest.fixture
def ring(world):
    """The string with which the daemon rings."""
    secret = 'ring~' + secrets.token_urlsafe(32)
    world.snapshot['ring'] = hashlib.sha256(secret.encode()).hexdigest()
    world.write()
    return secret
