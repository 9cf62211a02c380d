"""A real Keystone in this process: SQLite file, memcached, the plugin, its WSGI application."""

import inspect
import json
import pathlib
import sys
import threading
import uuid

import checkout
from keystone.common import fernet_utils
from keystone.common import provider_api
from keystone.common import sql
import keystone.conf
from keystone.server.flask import core as flask_core
from keystone.token import provider as token_provider
from werkzeug.test import Client
from werkzeug.test import EnvironBuilder

CONF = keystone.conf.CONF
PROVIDERS = provider_api.ProviderAPIs
PASSWORD = 'correct horse'
METHODS = ['password', 'token', 'application_credential', 'totp', 'oauth1', 'mapped', 'alliance']

# Old Keystones (22) end the one token that is logged out, not what was made from it.
LOGOUT_ENDS_ITS_CHAIN = (
    inspect.signature(token_provider.Manager.revoke_token).parameters['revoke_chain'].default
)


def write_configuration(folder, memcached_port, driver='alliance', **changes):
    """Write keystone.conf into ``folder`` and return its path.

    :param driver: of all that the plugin has one for; without it there is no auth method of its own
    """
    methods = [method for method in METHODS if driver == 'alliance' or method != 'alliance']
    folder = pathlib.Path(folder)
    sections = {
        'DEFAULT': {'log_file': folder / 'keystone.log', 'debug': 'true'},
        'database': {
            'connection': f'sqlite:///{folder}/keystone.db',
            'sqlite_synchronous': 'false',
        },
        'cache': {
            'enabled': 'true',
            'backend': 'dogpile.cache.pymemcache',
            'backend_argument': f'url:127.0.0.1:{memcached_port}',
        },
        'token': {'provider': 'alliance'},
        'auth': {'methods': ','.join(methods)},
        'fernet_tokens': {'key_repository': folder / 'fernet'},
        'fernet_receipts': {'key_repository': folder / 'fernet'},
        'jwt_tokens': {
            'jws_public_key_repository': folder / 'jws-public',
            'jws_private_key_repository': folder / 'jws-private',
        },
        'credential': {'key_repository': folder / 'credential'},
        'identity': {'password_hash_rounds': '4'},
        'alliance': {
            'socket': folder / 'delegate.sock',
            'snapshot': folder / 'keystone.json',
            'tag_tokens': 'true',
            'worker_threads': '8',
        },
    }
    for section in checkout.drivers():
        sections.setdefault(section, {})['driver'] = driver
    for section, options in changes.items():
        sections.setdefault(section, {}).update(options)
    lines = []
    for section, options in sections.items():
        lines += [f'[{section}]', *(f'{key} = {value}' for key, value in options.items()), '']
    path = folder / 'keystone.conf'
    path.write_text('\n'.join(lines))
    return path


def start(configuration):
    """Load Keystone with ``configuration`` and return its WSGI application."""
    sys.argv = sys.argv[:1]  # oslo.config would read pytest's options
    return flask_core.initialize_application('public', config_files=[str(configuration)])


def make_keys(folder):
    for name in ('fernet', 'credential'):
        (folder / name).mkdir()
        utils = fernet_utils.FernetUtils(str(folder / name), 3, f'{name}_tokens')
        utils.create_key_directory()
        utils.initialize_key_repository()


def make_database():
    with sql.session_for_write() as session:
        sql.ModelBase.metadata.create_all(session.get_bind())
    root = '<<keystone.domain.root>>'
    from keystone.resource.backends import sql_model

    with sql.session_for_write() as session:
        session.add(
            sql_model.Project(
                id=root, name=root, domain_id=root, enabled=False, is_domain=True, extra={}
            )
        )
    from keystone.cmd import bootstrap

    bootstrapper = object.__new__(bootstrap.Bootstrapper)
    attributes = {
        'admin_password': PASSWORD,
        'admin_username': 'admin',
        'project_name': 'admin',
        'admin_role_name': 'admin',
        'service_name': 'keystone',
        'region_id': 'east',
        'public_url': 'http://east.example/v3',
        'internal_url': None,
        'admin_url': None,
        'immutable_roles': False,
        'endpoints': {},
        'reader_role_name': 'reader',
        'member_role_name': 'member',
        'manager_role_name': 'manager',
        'service_role_name': 'service',
    }
    for prefix in ('project', 'reader_role', 'member_role', 'manager_role', 'admin_role'):
        attributes[f'{prefix}_id'] = None
    for name in ('service_role_id', 'default_domain_id', 'admin_user_id'):
        attributes[name] = None
    for name, value in attributes.items():
        setattr(bootstrapper, name, value)
    bootstrapper.bootstrap()


def make_partner_objects(partner):
    """What ``alliance partner accept`` makes in Keystone for a partner."""
    description = f'Alliance partner {partner.cloud_id}'
    PROVIDERS.resource_api.create_domain(
        partner.domain_id,
        {
            'id': partner.domain_id,
            'name': partner.name,
            'enabled': True,
            'description': description,
        },
    )
    make_identity_provider(partner)


def make_identity_provider(partner):
    PROVIDERS.federation_api.create_idp(
        partner.name,
        {
            'domain_id': partner.domain_id,
            'enabled': True,
            'description': f'Alliance partner {partner.cloud_id}',
            'remote_ids': [],
            'authorization_ttl': None,
        },
    )
    mapping = f'alliance-{partner.tag}'
    if mapping not in [m['id'] for m in PROVIDERS.federation_api.list_mappings()]:
        rules = [
            {
                'local': [{'user': {'name': '{0}'}}],
                'remote': [{'type': 'never', 'any_one_of': [uuid.uuid4().hex]}],
            }
        ]
        PROVIDERS.federation_api.create_mapping(mapping, {'rules': rules})
    PROVIDERS.federation_api.create_protocol(partner.name, 'alliance', {'mapping_id': mapping})


class Api:
    """Requests to the application, each in a thread of its own choosing."""

    def __init__(self, application):
        self._application = application
        self._local = threading.local()

    def request(self, method, path, token=None, subject=None, body=None, headers=None):
        headers = dict(headers or {})
        if token is not None:
            headers['X-Auth-Token'] = token
        if subject is not None:
            headers['X-Subject-Token'] = subject
        data = json.dumps(body) if body is not None else None
        if data is not None:
            headers['Content-Type'] = 'application/json'
        builder = EnvironBuilder(method=method, path=path, headers=headers, data=data)
        environ = builder.get_environ()
        client = Client(self._application)
        return client.open(environ)

    def get(self, path, token=None, **kwargs):
        return self.request('GET', path, token, **kwargs)

    def validate(self, subject, token, query=''):
        return self.get(f'/v3/auth/tokens{query}', token, subject=subject)

    def login(self, identity, scope=None):
        auth = {'identity': identity}
        if scope is not None:
            auth['scope'] = scope
        return self.request('POST', '/v3/auth/tokens', body={'auth': auth})

    def password(self, name='admin', password=PASSWORD, scope='project'):
        identity = {
            'methods': ['password'],
            'password': {'user': {'name': name, 'domain': {'id': 'default'}, 'password': password}},
        }
        scopes = {
            'project': {'project': {'name': 'admin', 'domain': {'id': 'default'}}},
            'system': {'system': {'all': True}},
            None: 'unscoped',
        }
        return self.login(identity, scope if isinstance(scope, dict) else scopes[scope])

    def rescope(self, token, scope=None):
        return self.login({'methods': ['token'], 'token': {'id': token}}, scope)
