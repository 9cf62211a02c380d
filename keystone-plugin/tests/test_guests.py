import uuid

from at_once import parallel
from keystone import exception
from keystone_host import CONF
from keystone_host import PROVIDERS
import pytest

from keystone_alliance import guest
from keystone_alliance import staleness


def validate(world, admin, token):
    """Validate with nothing remembered from before."""
    staleness.flush()
    return world.api.validate(token, admin)


def body_of(world, admin, token):
    response = validate(world, admin, token)
    assert response.status_code == 200, response.data
    return response.json['token']


def role_names(body):
    return {role['name'] for role in body['roles']}


def held(user_id, project_id):
    grants = PROVIDERS.assignment_api.list_grants(user_id=user_id, project_id=project_id)
    return {role['name'] for role in grants}


def agree(world, **changes):
    world.partner_entry()['agreements'] = [
        {
            'project_id': '*',
            'host_project_id': None,
            'roles': ['member', 'reader'],
            'till': None,
            'transitive': False,
            **changes,
        }
    ]
    world.write()


def test_roles_are_what_passport_and_agreement_both_allow(world, west, admin):
    user, project = west.user(), west.project()
    token = west.token(user, project, roles=['reader', 'auditor'])
    assert role_names(body_of(world, admin, token)) == {'reader'}
    agree(world, roles=['reader'])
    token = west.token(user, west.project(), roles=['member', 'reader'])
    assert role_names(body_of(world, admin, token)) == {'reader'}


def test_a_role_taken_away_at_home_is_taken_away_here(world, west, admin):
    user, project = west.user(), west.project()
    both = west.token(user, project)
    assert role_names(body_of(world, admin, both)) == {'member', 'reader'}
    fewer = west.token(user, project, roles=['reader'])
    body = body_of(world, admin, fewer)
    assert role_names(body) == {'reader'}
    assert held(body['user']['id'], body['project']['id']) == {'reader'}


def test_a_narrowed_agreement_leaves_no_privilege_behind(world, west, admin):
    token = west.token(west.user(), west.project())
    body = body_of(world, admin, token)
    agree(world, roles=['reader'])
    assert role_names(body_of(world, admin, token)) == {'reader'}
    assert held(body['user']['id'], body['project']['id']) == {'reader'}
    agree(world, roles=['manager'])
    assert validate(world, admin, token).status_code == 404
    assert not held(body['user']['id'], body['project']['id'])


def test_no_other_project_of_the_user_is_touched(world, west, admin):
    user, science, biology = west.user(), west.project(), west.project()
    first = west.token(user, science)
    second = west.token(user, biology, roles=['reader'])
    body = body_of(world, admin, first)
    assert body_of(world, admin, second)['user']['id'] == body['user']['id']
    assert held(body['user']['id'], body['project']['id']) == {'member', 'reader'}
    assert body_of(world, admin, first)['project']['id'] == west.host_project_id(science)


def test_where_nothing_differs_no_cache_is_flushed(world, api, west, admin, monkeypatch):
    user, project = west.user(), west.project()
    body_of(world, admin, west.token(user, project))
    called = []
    for name in ('create_grant', 'delete_grant'):
        monkeypatch.setattr(
            PROVIDERS.assignment_api, name, lambda *a, **k: called.append((a, k)), raising=False
        )
    monkeypatch.setattr(
        PROVIDERS.identity_api, 'shadow_federated_user', lambda *a: called.append(a), raising=False
    )
    assert api.validate(west.token(user, project), admin).status_code == 200
    assert not called


def test_a_project_without_agreement_is_refused_and_made_nowhere(world, west, admin):
    covered, other = west.project(), west.project()
    agree(world, project_id=covered['id'])
    user = west.user()
    assert validate(world, admin, west.token(user, covered)).status_code == 200
    assert validate(world, admin, west.token(user, other)).status_code == 404
    with pytest.raises(exception.ProjectNotFound):
        PROVIDERS.resource_api.get_project(west.host_project_id(other))
    agree(world, till=1.0)
    assert validate(world, admin, west.token(user, covered)).status_code == 404


def test_an_unscoped_token_gives_an_unscoped_one_without_grants(world, west, admin):
    body = body_of(world, admin, west.token(west.user()))
    assert 'project' not in body
    assert 'roles' not in body
    agree(world, till=1.0)
    assert validate(world, admin, west.token(west.user())).status_code == 404


@pytest.mark.parametrize('home_roles', [['admin'], ['admin', 'member', 'reader']])
def test_an_admin_is_refused_unless_the_agreement_names_the_role(world, west, admin, home_roles):
    token = west.token(west.user(), west.project(), roles=home_roles)
    assert validate(world, admin, token).status_code == 404
    assert 'Refused (admin_role)' in world.log()
    agree(world, roles=['admin', 'member'])
    assert validate(world, admin, token).status_code == 404  # not on the daemon's word alone
    assert 'grant_admin_roles is off' in world.log()
    world.configure(grant_admin_roles=True)
    assert 'admin' in role_names(body_of(world, admin, token))


def test_a_guest_made_admin_by_inheritance_is_refused(world, west, admin):
    user, project = west.user(), west.project()
    token = west.token(user, project)
    body = body_of(world, admin, token)
    role = PROVIDERS.role_api.get_unique_role_by_name('admin')['id']
    grant = {'user_id': body['user']['id'], 'domain_id': west.domain_id}
    PROVIDERS.assignment_api.create_grant(role, inherited_to_projects=True, **grant)
    try:
        assert validate(world, admin, token).status_code == 404
    finally:
        PROVIDERS.assignment_api.delete_grant(role, inherited_to_projects=True, **grant)
    assert validate(world, admin, token).status_code == 200


@pytest.mark.parametrize(
    ('name', 'shown'),
    [
        ('a;b', 'a;b@Default'),
        ('line\nbreak', 'line?break@Default'),
        ('\x1b[31mred\x1b[0m', '?[31mred?[0m@Default'),
        ('right\u202eleft', 'right?left@Default'),
        ('admin', 'admin@Default'),
        ('Default', 'Default@Default'),
        ('größe 🐟', 'größe 🐟@Default'),
    ],
)
def test_names_of_projects_are_labels_and_harmless(world, west, admin, name, shown):
    project = west.project(name)
    body = body_of(world, admin, west.token(west.user(), project))
    assert body['project']['name'] == shown
    assert body['project']['domain']['id'] == west.domain_id


@pytest.mark.parametrize('name', ['x\r\nX-Evil: 1', 'y' * 300, 'admin', '\x9b31m'])
def test_names_of_users_are_labels_and_harmless(world, west, admin, name):
    body = body_of(world, admin, west.token(west.user(name), west.project()))
    assert body['user']['name'].isprintable()
    assert len(body['user']['name']) <= 255
    assert body['user']['domain']['id'] == west.domain_id


def test_a_name_of_300_characters_ends_in_a_piece_of_its_id(world, west, admin):
    project = west.project('n' * 300)
    body = body_of(world, admin, west.token(west.user(), project))
    assert len(body['project']['name']) == 64
    assert body['project']['name'].endswith('-' + project['id'][:8])


def test_two_home_projects_of_one_name_never_meet(world, west, admin):
    name = uuid.uuid4().hex[:6]
    physics = {'id': 'b' * 32, 'name': 'physics'}
    projects = [
        west.project(name),
        west.project(name, domain=physics),
        west.project(name),  # the same name and domain: one deleted and made again at home
    ]
    bodies = [body_of(world, admin, west.token(west.user(), project)) for project in projects]
    assert len({body['project']['id'] for body in bodies}) == 3
    assert bodies[0]['project']['name'] == f'{name}@Default'
    assert bodies[1]['project']['name'] == f'{name}@physics'
    assert bodies[2]['project']['name'] == f'{name}@Default-{projects[2]["id"][:8]}'


def test_a_project_renamed_at_home_is_renamed_here_and_keeps_its_id(world, west, admin):
    user, project = west.user(), west.project()
    before = body_of(world, admin, west.token(user, project))
    project['name'] = f'renamed-{uuid.uuid4().hex[:6]}'
    after = body_of(world, admin, west.token(user, project))
    assert after['project']['id'] == before['project']['id']
    assert after['project']['name'] == project['name'] + '@Default'
    ref = PROVIDERS.resource_api.get_project(after['project']['id'])
    assert ref['alliance_project_id'] == project['id']
    assert ref['alliance_cloud_id'] == west.cloud_id


def test_a_user_renamed_at_home_is_renamed_here_and_keeps_their_id(world, west, admin):
    user, project = west.user(), west.project()
    before = body_of(world, admin, west.token(user, project))
    user['name'] = 'anna'
    after = body_of(world, admin, west.token(user, project))
    assert after['user']['id'] == before['user']['id']
    assert after['user']['name'] == 'anna'


def test_a_user_deleted_and_made_again_at_home_is_somebody_else_here(world, west, admin):
    project = west.project()
    first = body_of(world, admin, west.token(west.user('eve'), project))
    second = body_of(world, admin, west.token(west.user('eve'), project))
    assert first['user']['id'] != second['user']['id']


def test_the_same_home_ids_at_two_partners_are_different_guests(world, west, admin):
    user, project = west.user(), west.project()
    mine = body_of(world, admin, west.token(user, project))
    theirs = body_of(world, admin, world.north.token(user, project))
    assert mine['user']['id'] != theirs['user']['id']
    assert mine['project']['id'] != theirs['project']['id']


def test_what_a_human_disabled_stays_disabled(world, west, admin):
    user, project = west.user(), west.project()
    body = body_of(world, admin, west.token(user, project))
    PROVIDERS.resource_api.update_project(body['project']['id'], {'enabled': False})
    assert validate(world, admin, west.token(user, project)).status_code == 404
    assert not PROVIDERS.resource_api.get_project(body['project']['id'])['enabled']
    other = west.token(user, west.project())
    assert validate(world, admin, other).status_code == 200
    PROVIDERS.identity_api.update_user(body['user']['id'], {'enabled': False})
    assert validate(world, admin, west.token(user, west.project())).status_code == 404
    assert not PROVIDERS.identity_api.get_user(body['user']['id'])['enabled']


def test_limits_count_only_what_is_new(world, west, admin):
    user, project = west.user(), west.project()
    token = west.token(user, project)
    body_of(world, admin, token)
    limits = world.partner_entry()['limits']
    limits['users'] = guest._count_users(partner(world))
    limits['projects'] = guest._count_projects(partner(world))
    world.write()
    assert validate(world, admin, token).status_code == 200
    assert validate(world, admin, west.token(west.user(), project)).status_code == 404
    assert 'Refused (user_limit)' in world.log()
    assert validate(world, admin, west.token(user, west.project())).status_code == 404
    assert 'Refused (project_limit)' in world.log()
    limits['users'] += 1
    world.write()
    assert validate(world, admin, west.token(west.user(), project)).status_code == 200
    assert validate(world, admin, west.token(west.user(), project)).status_code == 404


def partner(world):
    return world.provider._source.current().partners[world.west.tag]


@pytest.mark.usefixtures('unhurried')
def test_first_uses_of_one_new_user_in_many_threads_make_one_of_everything(world, api, west):
    user, project = west.user(), west.project()
    tokens = [west.token(user, project) for _ in range(8)]
    statuses = [
        status
        for status, _ in parallel(
            8, lambda number: api.get('/v3/auth/projects', tokens[number]).status_code
        )
    ]
    assert statuses == [200] * 8
    with pytest.raises(exception.Conflict):
        PROVIDERS.shadow_users_api.create_federated_user(
            west.domain_id,
            {
                'idp_id': 'west',
                'protocol_id': 'alliance',
                'unique_id': user['id'],
                'display_name': 'ann',
            },
        )


def test_names_are_made_safe_for_urls_where_keystone_demands_it(world, west, admin):
    CONF.set_override('project_name_url_safe', 'new', group='resource')
    try:
        project = west.project('a/b')
        body = body_of(world, admin, west.token(west.user(), project))
    finally:
        CONF.clear_override('project_name_url_safe', group='resource')
    assert body['project']['name'] == 'a_b_Default'


def test_nothing_that_a_west_user_sends_changes_anything_in_norths_domain(world, api, west):
    before = snapshot_of(world.north)
    token = west.token(west.user(), west.project())
    identity = {'methods': ['token', 'alliance'], 'token': {'id': token}}
    for idp in ('west', 'north', 'saml'):
        for protocol in ('alliance', 'mapped'):
            identity['alliance'] = {'identity_provider': idp, 'protocol': protocol}
            for methods in (['token', 'alliance'], ['alliance', 'token'], ['alliance'], ['token']):
                identity['methods'] = methods
                for scope in (
                    None,
                    {'project': {'name': 'admin', 'domain': {'id': 'default'}}},
                    {'domain': {'id': world.north.domain_id}},
                    {'system': {'all': True}},
                ):
                    response = api.login(identity, scope)
                    assert response.status_code != 201 or (methods, scope) == (['token'], None)
                    assert response.status_code < 500
    assert snapshot_of(world.north) == before


def snapshot_of(partner):
    projects = PROVIDERS.resource_api.list_projects_in_domain(partner.domain_id)
    users = PROVIDERS.shadow_users_api.list_federated_users_info()
    return (
        sorted(project['id'] for project in projects),
        sorted(user['user_id'] for user in users if user['idp_id'] == partner.name),
    )
