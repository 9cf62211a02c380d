import threading

from at_once import parallel
from keystone_host import PROVIDERS

from keystone_alliance import ids
from keystone_alliance import staleness


def acknowledgements(world):
    return [body for _path, body, _id in world.daemon.questions('/v1/doorbell/ack')]


def done_later(world):
    return [body for _path, body, _id in world.daemon.questions('/v1/doorbell/done')]


def held(user_id, project_id):
    grants = PROVIDERS.assignment_api.list_grants(user_id=user_id, project_id=project_id)
    return {role['name'] for role in grants}


def test_a_ring_drops_what_is_cached_and_is_acknowledged(world, api, west, admin, ring):
    token = west.token(west.user(), west.project())
    assert api.validate(token, admin).status_code == 200
    world.partner_entry()['status'] = 'suspended'
    world.write()
    assert api.validate(token, admin).status_code == 200, 'Keystone remembers it'
    assert api.validate(ring, admin).status_code == 404
    assert api.validate(token, admin).status_code == 404
    (acknowledgement,) = acknowledgements(world)
    assert acknowledgement['ring'] == ring.partition('~')[2]
    assert acknowledgement['error'] is None
    assert acknowledgement['node']


def test_a_ring_that_is_not_expected_costs_no_call_and_no_flush(world, api, west, admin, ring):
    token = west.token(west.user(), west.project())
    api.validate(token, admin)
    for wrong in ('ring~', 'ring~x', ring + 'x', ring[:-1], 'ring~' + 'é', 'ring~' + 'x' * 7000):
        assert api.rescope(wrong).status_code in (401, 404)
    world.snapshot['ring'] = None
    world.write()
    assert api.validate(ring, admin).status_code == 404
    assert not acknowledgements(world)
    assert api.validate(token, admin).status_code == 200
    assert len(world.daemon.questions('/v1/tokens/validate')) == 1


def test_a_ring_makes_projects_before_their_users_come(world, api, west, admin, ring):
    agreed, other, full = west.project(), west.project(), west.project()
    asked = [
        {
            'cloud_id': cloud,
            'project_id': project['id'],
            'name': 'science',
            'domain_name': 'Default',
        }
        for cloud, project in (
            (west.cloud_id, agreed),
            ('a' * 52, other),
        )
    ]
    work = {'changed': False, 'batch': 7, 'sessions': [], 'flush': False, 'projects': asked}
    world.daemon.work = work
    assert api.validate(ring, admin).status_code == 404
    (acknowledgement,) = acknowledgements(world)
    made = ids.project_id(west.cloud_id, agreed['id'])
    strange = ids.project_id('a' * 52, other['id'])
    assert acknowledgement['projects'] == {made: None, strange: 'no agreement covers it'}
    assert acknowledgement['error'] is None
    project = PROVIDERS.resource_api.get_project(made)
    assert (project['name'], project['alliance_project_id']) == ('science@Default', agreed['id'])
    # Asked for once more, and then used: it is the same.
    assert api.validate(ring, admin).status_code == 404
    assert acknowledgements(world)[-1]['projects'][made] is None
    token = api.validate(west.token(west.user(), agreed), admin).json['token']
    assert token['project']['id'] == made
    world.partner_entry()['limits'] = {'projects': 0, 'users': None}
    world.write()
    asked[0]['project_id'] = full['id']
    assert api.validate(ring, admin).status_code == 404
    refused = acknowledgements(world)[-1]['projects'][ids.project_id(west.cloud_id, full['id'])]
    assert 'has its 0 already' in refused


def test_a_ring_is_never_a_token(world, api, admin, ring):
    assert api.get('/v3/auth/projects', ring).status_code == 401
    assert api.rescope(ring).status_code in (401, 404)
    assert api.request('DELETE', '/v3/auth/tokens', admin, subject=ring).status_code == 404


def test_a_ring_takes_away_what_no_agreement_allows_any_more(world, api, west, admin, ring):
    kept, narrowed, ended = west.project(), west.project(), west.project()
    user = west.user()
    bodies = [
        api.validate(west.token(user, project), admin).json['token']
        for project in (kept, narrowed, ended)
    ]
    user_id = bodies[0]['user']['id']
    other = api.validate(world.north.token(user, kept), admin).json['token']
    role = PROVIDERS.role_api.get_unique_role_by_name('admin')['id']
    by_hand = {'user_id': admin_id(), 'project_id': bodies[2]['project']['id']}
    PROVIDERS.assignment_api.create_grant(role, **by_hand)
    world.partner_entry()['agreements'] = [
        agreement(kept, ['member', 'reader']),
        agreement(narrowed, ['reader']),
        agreement(ended, ['member'], till=1.0),
    ]
    world.write()
    assert api.validate(ring, admin).status_code == 404
    assert [held(user_id, body['project']['id']) for body in bodies] == [
        {'member', 'reader'},
        {'reader'},
        set(),
    ]
    assert held(other['user']['id'], other['project']['id']) == {'member', 'reader'}
    assert held(**by_hand) == {'admin'}, 'what an operator gave a local user is theirs to take'


def admin_id():
    return PROVIDERS.identity_api.get_user_by_name('admin', 'default')['id']


def agreement(project, roles, till=None):
    return {
        'project_id': project['id'],
        'host_project_id': None,
        'roles': roles,
        'till': till,
        'transitive': False,
    }


def test_what_a_sweep_is_just_taking_away_is_not_what_keystone_remembers(
    world, api, west, admin, ring
):
    project, user = west.project(), west.user()
    token = west.token(user, project)
    body = api.validate(token, admin).json['token']
    assert {role['name'] for role in body['roles']} == {'member', 'reader'}
    world.partner_entry()['agreements'] = [agreement(project, ['reader'])]
    world.write()
    staleness.flush()
    # Another process has taken it from the database, and has not yet told the caches.
    member = PROVIDERS.role_api.get_unique_role_by_name('member')['id']
    PROVIDERS.assignment_api.driver.delete_grant(
        member, user_id=body['user']['id'], project_id=body['project']['id']
    )
    body = api.validate(token, admin).json['token']
    assert {role['name'] for role in body['roles']} == {'reader'}


def test_a_ring_takes_everything_from_guests_of_a_removed_partner(world, api, west, admin, ring):
    body = api.validate(west.token(west.user(), west.project()), admin).json['token']
    del world.snapshot['partners'][west.tag]
    world.write()
    assert api.validate(ring, admin).status_code == 404
    assert not held(body['user']['id'], body['project']['id'])


def test_concurrent_rings_are_harmless(world, api, west, admin, ring):
    body = api.validate(west.token(west.user(), west.project()), admin).json['token']
    world.partner_entry()['agreements'] = []
    world.write()
    statuses = [s for s, _ in parallel(6, lambda _n: api.validate(ring, admin).status_code)]
    assert statuses == [404] * 6
    assert not held(body['user']['id'], body['project']['id'])
    assert all(ack['error'] is None for ack in acknowledgements(world))


def test_a_sweep_that_fails_is_reported_after_the_caches_were_dropped(
    world, api, west, admin, ring, monkeypatch
):
    token = west.token(west.user(), west.project())
    api.validate(token, admin)
    world.partner_entry()['status'] = 'suspended'
    world.write()
    monkeypatch.setattr(PROVIDERS.federation_api, 'list_idps', lambda: 1 / 0, raising=False)
    assert api.validate(ring, admin).status_code == 404
    assert api.validate(token, admin).status_code == 404
    (acknowledgement,) = acknowledgements(world)
    assert acknowledgement['error'].startswith('ZeroDivisionError')


def asks_for_later(world, sweep, projects=(), **now):
    work = {'changed': False, 'batch': 7, 'sessions': [], 'flush': False, 'projects': []}
    later = {'sweep': sweep, 'projects': list(projects)}
    world.daemon.work = {**work, **now, 'later': later}


def test_what_is_new_is_acknowledged_before_grants_are_taken_away(
    world, api, west, admin, ring, monkeypatch
):
    token = west.token(west.user(), west.project())
    body = api.validate(token, admin).json['token']
    world.partner_entry()['agreements'] = []
    world.write()
    asks_for_later(world, sweep=5, changed=True)
    begun, goes_on = threading.Event(), threading.Event()
    list_idps = PROVIDERS.federation_api.list_idps

    def slowly():
        begun.set()
        assert goes_on.wait(30)
        return list_idps()

    monkeypatch.setattr(PROVIDERS.federation_api, 'list_idps', slowly, raising=False)
    first = threading.Thread(target=lambda: api.validate(ring, admin))
    first.start()
    try:
        assert begun.wait(30)
        (acknowledgement,) = acknowledgements(world)
        assert (acknowledgement['batch'], acknowledgement['error']) == (7, None)
        assert api.validate(token, admin).status_code == 404, 'nothing remembered lets it in'
        # Another ring, meanwhile: the session of somebody ends.
        asks_for_later(world, sweep=None, batch=8, flush=True)
        assert api.validate(ring, admin).status_code == 404
        assert [one['batch'] for one in acknowledgements(world)] == [7, 8]
        assert not done_later(world)
        assert held(body['user']['id'], body['project']['id'])
    finally:
        goes_on.set()
        first.join()
    assert not held(body['user']['id'], body['project']['id'])
    (told,) = done_later(world)
    assert (told['sweep'], told['error'], told['projects']) == (5, None, {})
    assert told['ring'] == ring.partition('~')[2]
    assert told['node']


def test_later_a_sweep_that_fails_is_reported_and_keeps_no_project_from_being_made(
    world, api, west, admin, ring, monkeypatch
):
    project = west.project()
    asked = {
        'cloud_id': west.cloud_id,
        'project_id': project['id'],
        'name': 'science',
        'domain_name': 'Default',
    }
    monkeypatch.setattr(PROVIDERS.federation_api, 'list_idps', lambda: 1 / 0, raising=False)
    asks_for_later(world, sweep=5, projects=[asked])
    assert api.validate(ring, admin).status_code == 404
    (acknowledgement,) = acknowledgements(world)
    assert acknowledgement['error'] is None
    first, second = done_later(world)
    made = ids.project_id(west.cloud_id, project['id'])
    assert (first['sweep'], first['error'], first['projects']) == (None, None, {made: None})
    assert (second['sweep'], second['projects']) == (5, {})
    assert second['error'].startswith('ZeroDivisionError')
    assert PROVIDERS.resource_api.get_project(made)['alliance_project_id'] == project['id']


def test_a_snapshot_that_is_lost_while_grants_are_taken_away_takes_none(
    world, api, west, admin, ring, monkeypatch
):
    body = api.validate(west.token(west.user(), west.project()), admin).json['token']
    world.partner_entry()['agreements'] = []
    world.write()
    asks_for_later(world, sweep=5, changed=True)
    list_projects = PROVIDERS.resource_api.list_projects_in_domain

    def and_then_it_is_lost(domain_id):
        (world.folder / 'keystone.json').write_text('{')
        return list_projects(domain_id)

    monkeypatch.setattr(
        PROVIDERS.resource_api, 'list_projects_in_domain', and_then_it_is_lost, raising=False
    )
    assert api.validate(ring, admin).status_code == 404
    (told,) = done_later(world)
    assert told['error'].startswith('Unusable')
    assert held(body['user']['id'], body['project']['id']) == {'member', 'reader'}


def test_a_ring_that_another_one_has_replaced_keeps_that_one_not_waiting(
    world, api, west, admin, ring, monkeypatch
):
    token = west.token(west.user(), west.project())
    assert api.validate(token, admin).status_code == 200
    world.partner_entry()['agreements'] = []
    world.write()

    def is_gone(handler):
        # Of what the daemon is asked, it has been rung otherwise since.
        world.snapshot['ring'] = 'f' * 64
        world.write()
        handler.reply(404, {})

    world.daemon.fault = is_gone
    swept = []
    monkeypatch.setattr(PROVIDERS.federation_api, 'list_idps', lambda: swept.append(1) or [])
    assert api.validate(ring, admin).status_code == 404
    world.daemon.fault = None
    assert not swept
    assert not acknowledgements(world)
    assert api.validate(token, admin).status_code == 404, 'caches are dropped nevertheless'


def test_without_anything_to_be_done_later_nothing_is_said_of_it(world, api, admin, ring):
    asks_for_later(world, sweep=None, flush=True)
    assert api.validate(ring, admin).status_code == 404
    assert len(acknowledgements(world)) == 1
    assert not done_later(world)


def test_who_was_let_in_while_grants_are_taken_away_keeps_what_they_were_given(
    world, api, west, admin, ring, monkeypatch
):
    project, user = west.project(), west.user()
    token = west.token(user, project)
    body = api.validate(token, admin).json['token']
    agreements = world.partner_entry()['agreements']
    world.partner_entry()['agreements'] = []
    world.write()
    asks_for_later(world, sweep=5, changed=True)
    list_projects = PROVIDERS.resource_api.list_projects_in_domain

    def and_then_there_is_a_new_agreement(domain_id):
        world.partner_entry()['agreements'] = agreements
        world.write()
        return list_projects(domain_id)

    monkeypatch.setattr(
        PROVIDERS.resource_api,
        'list_projects_in_domain',
        and_then_there_is_a_new_agreement,
        raising=False,
    )
    assert api.validate(ring, admin).status_code == 404
    assert len(done_later(world)) == 1
    assert held(body['user']['id'], body['project']['id']) == {'member', 'reader'}


def test_a_ring_is_heard_while_the_daemon_cannot_take_the_acknowledgement(
    world, api, west, admin, ring
):
    token = west.token(west.user(), west.project())
    api.validate(token, admin)
    world.partner_entry()['status'] = 'suspended'
    world.write()
    world.daemon.stop()
    try:
        assert api.validate(ring, admin).status_code == 404
    finally:
        world.daemon.start()
    assert api.validate(token, admin).status_code == 404


def test_a_ring_drops_computed_catalogs(world, api, ring):
    before = world.admin()
    member_catalog = PROVIDERS.catalog_api.get_v3_catalog(admin_id(), None)
    assert api.validate(ring, before).status_code == 404
    assert PROVIDERS.catalog_api.get_v3_catalog(admin_id(), None) == member_catalog
    staleness.flush()
