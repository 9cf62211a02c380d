import copy
import json
import socket
import uuid

import fake_daemon
from keystone.catalog import core as catalog_core
from keystone.catalog.backends import sql
from keystone_host import PROVIDERS
import pytest

from keystone_alliance import ids


def service(kind, url, name=None, region='west'):
    return {
        'id': uuid.uuid4().hex,
        'type': kind,
        'name': name or kind,
        'endpoints': [
            {
                'id': uuid.uuid4().hex,
                'interface': 'public',
                'region': region,
                'region_id': region,
                'url': url,
            }
        ],
    }


@pytest.fixture
def local(world, west):
    """A member of a native project, who may use west."""

    class Local:
        project = {
            'id': uuid.uuid4().hex,
            'name': uuid.uuid4().hex[:8],
            'domain_id': 'default',
            'enabled': True,
        }
        user = PROVIDERS.identity_api.create_user(
            {
                'name': uuid.uuid4().hex[:8],
                'domain_id': 'default',
                'password': 'secret1',
                'enabled': True,
            }
        )

        @staticmethod
        def grant(role, **target):
            role_id = PROVIDERS.role_api.get_unique_role_by_name(role)['id']
            PROVIDERS.assignment_api.create_grant(role_id, user_id=Local.user['id'], **target)

        @staticmethod
        def login(scope=None):
            catalog_core.COMPUTED_CATALOG_REGION.invalidate()
            scope = scope or {'project': {'id': Local.project['id']}}
            response = world.api.password(Local.user['name'], 'secret1', scope)
            assert response.status_code == 201, response.data
            return response.json['token']

    PROVIDERS.resource_api.create_project(Local.project['id'], Local.project)
    Local.grant('member', project_id=Local.project['id'])
    catalog = world.snapshot['catalog']
    catalog['projects'][Local.project['id']] = [west.tag]
    catalog['entries'][west.tag] = [
        service('identity', 'http://west/v3'),
        service('image', 'http://west:9292'),
        service('object-store', 'http://west/v1/AUTH_%(project_id)s'),
        service('volume', 'http://west/v3/$(tenant_id)s'),
        service('odd', 'http://west/%(user_id)s'),
        service('key-manager', 'http://west/keys'),
    ]
    seen = ['image', 'object-store', 'volume', 'odd']
    catalog['services'][west.tag] = {Local.project['id']: seen, '*': seen, 'guests': seen}
    world.write()
    return Local


def urls(token, region='west'):
    return {
        entry['type']: endpoint['url']
        for entry in token['catalog']
        for endpoint in entry['endpoints']
        if endpoint['region'] == region
    }


def test_a_project_with_an_agreement_sees_the_partner_behind_the_local_services(world, west, local):
    token = local.login()
    assert urls(token, 'east') == {'identity': 'http://east.example/v3'}
    there = ids.project_id(world.cloud_id, local.project['id'])
    assert urls(token) == {
        'identity': 'http://west/v3',
        'image': 'http://west:9292',
        'object-store': f'http://west/v1/AUTH_{there}',
        'volume': f'http://west/v3/{there}',
    }
    regions = [entry['endpoints'][0]['region'] for entry in token['catalog']]
    assert regions == sorted(regions), 'local entries come first'
    assert len({entry['type'] for entry in token['catalog']}) == len(token['catalog'])
    [identity] = [entry for entry in token['catalog'] if entry['type'] == 'identity']
    assert [each['region'] for each in identity['endpoints']] == ['east', 'west']
    entry = token['catalog'][-1]
    assert set(entry) == {'endpoints', 'id', 'type', 'name'}
    assert set(entry['endpoints'][0]) == {'id', 'interface', 'region', 'region_id', 'url'}


def test_a_type_that_another_projects_agreement_names_is_not_shown(world, west, local):
    assert 'key-manager' not in urls(local.login())
    services = world.snapshot['catalog']['services']
    services[west.tag] = {local.project['id']: ['key-manager'], 'other': ['image']}
    world.write()
    assert set(urls(local.login())) == {'identity', 'key-manager'}


def test_a_project_without_an_agreement_sees_the_local_services_only(world, api, local):
    world.snapshot['catalog']['projects'] = {'other': [world.west.tag]}
    world.write()
    assert not urls(local.login())


def test_an_agreement_for_all_projects_is_one_for_native_projects(world, api, west, local, admin):
    world.snapshot['catalog'].update(projects={}, all_projects=[west.tag])
    world.write()
    assert urls(local.login())
    guest = api.validate(world.north.token(west.user(), west.project()), admin).json['token']
    assert not urls(guest)


@pytest.mark.parametrize(
    'change', [{'status': 'suspended'}, {'trust_till': 1}, {'role': 'guest'}], ids=str
)
def test_regions_of_a_partner_that_is_no_host_any_more_are_gone(world, local, change):
    world.partner_entry().update(change)
    world.write()
    assert not urls(local.login())


def test_administrators_see_no_partner_region(world, local):
    local.grant('admin', project_id=local.project['id'])
    assert not urls(local.login())


def test_domain_and_system_scoped_tokens_see_no_partner_region(world, api, local):
    world.snapshot['catalog']['all_projects'] = [world.west.tag]
    world.write()
    local.grant('member', domain_id='default')
    assert not urls(local.login({'domain': {'id': 'default'}}))
    system = api.password(scope='system').json['token']
    assert not urls(system)


def test_a_guest_sees_their_own_home_with_the_ids_of_home(world, api, west, local, admin):
    world.snapshot['catalog']['guests'] = {west.domain_id: west.tag}
    world.write()
    project = west.project()
    token = api.validate(west.token(west.user(), project), admin).json['token']
    assert urls(token)['object-store'] == f'http://west/v1/AUTH_{project["id"]}'
    assert urls(token)['identity'] == 'http://west/v3'
    other = api.validate(world.north.token(west.user(), project), admin).json['token']
    assert not urls(other)


def test_what_is_shown_is_a_copy_of_the_snapshot(world, west, local):
    before = copy.deepcopy(world.provider._source.current().regions.entries)
    for entry in PROVIDERS.catalog_api.driver.get_v3_catalog(local.user['id'], local.project['id']):
        entry['endpoints'].clear()
        entry['name'] = 'spoilt'
    assert world.provider._source.current().regions.entries == before


def test_with_nothing_in_the_snapshot_the_catalog_is_the_stock_one(world, local):
    world.snapshot['catalog'] = {}
    world.write()
    arguments = (local.user['id'], local.project['id'])
    stock = sql.Catalog().get_v3_catalog(*arguments)
    assert PROVIDERS.catalog_api.driver.get_v3_catalog(*arguments) == stock
    (world.folder / 'keystone.json').write_text('garbage')
    assert PROVIDERS.catalog_api.driver.get_v3_catalog(*arguments) == stock


@pytest.fixture
def pokes(world):
    """What the daemon has been told since the last time."""
    path = world.folder / 'poke.sock'
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as server:
        server.bind(str(path))

        def all_of_them():
            found = []
            while True:
                try:
                    found.append(json.loads(server.recv(2048)))
                except BlockingIOError:
                    return found

        yield all_of_them
    path.unlink()


def test_each_change_of_the_catalog_pokes_the_daemon_and_no_reading_does(world, pokes):
    catalog = PROVIDERS.catalog_api
    made = {'id': uuid.uuid4().hex, 'type': 'image', 'name': 'glance', 'enabled': True}
    endpoint = {
        'id': uuid.uuid4().hex,
        'interface': 'public',
        'service_id': made['id'],
        'region_id': 'east',
        'url': 'http://east.example:9292',
        'enabled': True,
    }
    for change in [
        lambda: catalog.create_service(made['id'], made),
        lambda: catalog.update_service(made['id'], {'enabled': False}),
        lambda: catalog.create_endpoint(endpoint['id'], endpoint),
        lambda: catalog.update_endpoint(endpoint['id'], {'enabled': False}),
        lambda: catalog.delete_endpoint(endpoint['id']),
        lambda: catalog.delete_service(made['id']),
    ]:
        change()
        assert pokes() == [{'catalog': True}]
    catalog.list_endpoints()
    assert not pokes()


def test_without_a_daemon_the_catalog_can_be_changed(world):
    made = {'id': uuid.uuid4().hex, 'type': 'image', 'name': 'glance', 'enabled': True}
    PROVIDERS.catalog_api.create_service(made['id'], made)
    PROVIDERS.catalog_api.delete_service(made['id'])


def test_a_hung_daemon_does_not_slow_a_login_and_is_not_asked(world, local):
    world.daemon.fault = fake_daemon.hang
    assert urls(local.login())
    assert not world.daemon.calls
