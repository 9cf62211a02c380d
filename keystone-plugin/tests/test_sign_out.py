"""Single sign-out: pokes as a home, ended sessions as a host."""

import contextlib
import datetime
import json
import os
import secrets
import socket
import threading
import time
import types

from keystone.common import sql
from keystone.revoke.backends import sql as revoke_sql
from keystone_host import CONF
from keystone_host import PROVIDERS
import pytest
from test_doorbell import acknowledgements
from test_doorbell import admin_id
from test_doorbell import held

from keystone_alliance import ids
from keystone_alliance import poke
from keystone_alliance import staleness


class Pokes:
    def __init__(self, path):
        self.path = str(path)
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(self.path)
        self.socket.setblocking(False)

    def all(self):
        found = []
        with contextlib.suppress(BlockingIOError):
            while True:
                found.append(json.loads(self.socket.recv(2048)))
        return found

    def close(self):
        self.socket.close()
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self.path)


@pytest.fixture
def pokes(world):
    found = Pokes(world.folder / 'poke.sock')
    yield found
    found.close()


@pytest.fixture
def ann(world):
    """A local user with a role in a project of its own domain."""

    class Ann:
        domain = {'id': secrets.token_hex(16), 'name': secrets.token_hex(4), 'enabled': True}
        project = {'id': secrets.token_hex(16), 'name': 'science', 'domain_id': domain['id']}
        password = secrets.token_hex(8)
        role = PROVIDERS.role_api.get_unique_role_by_name('member')['id']

    PROVIDERS.resource_api.create_domain(Ann.domain['id'], Ann.domain)
    PROVIDERS.resource_api.create_project(Ann.project['id'], {**Ann.project, 'enabled': True})
    user = {'name': 'ann', 'domain_id': Ann.domain['id'], 'password': Ann.password}
    Ann.id = PROVIDERS.identity_api.create_user({**user, 'enabled': True})['id']
    PROVIDERS.assignment_api.create_grant(Ann.role, user_id=Ann.id, project_id=Ann.project['id'])
    return Ann


def log_in(api, ann):
    password = {'user': {'id': ann.id, 'password': ann.password}}
    body = {
        'auth': {
            'identity': {'methods': ['password'], 'password': password},
            'scope': {'project': {'id': ann.project['id']}},
        }
    }
    response = api.request('POST', '/v3/auth/tokens', body=body)
    assert response.status_code == 201, response.data
    return response.headers['X-Subject-Token']


def log_out(api, ann):
    token = log_in(api, ann)
    assert api.request('DELETE', '/v3/auth/tokens', token, subject=token).status_code == 204


STORED = [{}]


@pytest.mark.parametrize(
    'cause',
    [
        log_out,
        lambda _api, ann: PROVIDERS.identity_api.update_user(ann.id, {'enabled': False}),
        lambda _api, ann: PROVIDERS.identity_api.update_user(ann.id, {'password': 'other'}),
        lambda _api, ann: PROVIDERS.identity_api.delete_user(ann.id),
        lambda _api, ann: PROVIDERS.resource_api.update_project(
            ann.project['id'], {'enabled': False}
        ),
        lambda _api, ann: PROVIDERS.resource_api.delete_project(ann.project['id']),
        lambda _api, ann: PROVIDERS.resource_api.update_domain(
            ann.domain['id'], {'enabled': False}
        ),
    ],
    ids=['logout', 'disabled', 'password', 'deleted', 'project off', 'project gone', 'domain off'],
)
def test_whatever_ends_a_token_pokes_the_daemon(world, api, ann, pokes, cause):
    pokes.all()
    cause(api, ann)
    assert [poke for poke in pokes.all() if poke == {} or 'revoked' in poke]


@pytest.mark.parametrize(
    'cause',
    [
        log_out,
        lambda _api, ann: PROVIDERS.identity_api.update_user(ann.id, {'enabled': False}),
        lambda _api, ann: PROVIDERS.resource_api.delete_project(ann.project['id']),
        lambda _api, ann: PROVIDERS.revoke_api.revoke_by_audit_chain_id('chain', ann.project['id']),
    ],
    ids=['logout', 'disabled', 'project gone', 'chain'],
)
def test_a_poke_says_what_keystone_has_stored(world, api, ann, pokes, cause):
    """To the letter: the daemon, which reads it later, knows it again."""
    before = [event.to_dict() for event in PROVIDERS.revoke_api.list_events()]
    pokes.all()
    cause(api, ann)
    stored = [event.to_dict() for event in PROVIDERS.revoke_api.list_events()]
    poked = [poke['revoked'] for poke in pokes.all() if 'revoked' in poke]
    assert poked
    assert sorted(map(str, poked)) == sorted(str(event) for event in stored if event not in before)


def test_a_role_that_is_taken_names_who_lost_it(world, ann, pokes):
    pokes.all()
    where = {'user_id': ann.id, 'project_id': ann.project['id']}
    PROVIDERS.assignment_api.delete_grant(ann.role, **where)
    assert {'look_again': where} in pokes.all()


def test_a_group_that_is_left_or_loses_a_role_pokes_too(world, ann, pokes):
    group = PROVIDERS.identity_api.create_group({'name': 'g', 'domain_id': ann.domain['id']})
    PROVIDERS.identity_api.add_user_to_group(ann.id, group['id'])
    where = {'group_id': group['id'], 'project_id': ann.project['id']}
    PROVIDERS.assignment_api.create_grant(ann.role, **where)
    pokes.all()
    PROVIDERS.assignment_api.delete_grant(ann.role, **where)
    assert {'look_again': {'project_id': ann.project['id']}} in pokes.all()
    PROVIDERS.identity_api.remove_user_from_group(ann.id, group['id'])
    assert [poke for poke in pokes.all() if 'revoked' in poke]
    inherited = {**where, 'inherited_to_projects': True}
    PROVIDERS.assignment_api.create_grant(ann.role, **inherited)
    PROVIDERS.assignment_api.delete_grant(ann.role, **inherited)
    assert {'look_again': {}} in pokes.all()


def test_a_logout_costs_nothing_where_nobody_listens(world, api, ann):
    poke.stored()
    log_out(api, ann)


def test_a_daemon_that_hangs_blocks_nobody(world, api, ann, pokes):
    for _ in range(3000):
        poke.look_again(user_id=ann.id)
    log_out(api, ann)
    assert 0 < len(pokes.all()) < 3000


def test_threads_and_forks_poke_with_sockets_of_their_own(world, pokes):
    poke.stored()
    thread = threading.Thread(target=poke.stored)
    thread.start()
    thread.join()
    child = os.fork()
    if not child:
        poke.stored()
        os._exit(0)
    os.waitpid(child, 0)
    assert pokes.all() == STORED * 3


class Visit:
    """A foreign token here, one made from it, and one made from that."""

    def __init__(self, api, partner, user, project, admin):
        self.api, self.admin, self.user = api, admin, user
        self.partner = partner
        self.origin = partner.token(user, project)
        body = api.validate(self.origin, admin).json['token']
        self.audit_id = body['audit_ids'][-1]
        scope = {'project': {'id': body['project']['id']}}
        self.derived = api.rescope(self.origin, scope).headers['X-Subject-Token']
        self.rescoped = api.rescope(self.derived, scope).headers['X-Subject-Token']
        assert self.statuses() == [200] * 3

    def statuses(self):
        tokens = (self.origin, self.derived, self.rescoped)
        return [self.api.validate(token, self.admin).status_code for token in tokens]

    def end(self, **changes):
        return {
            'id': self.audit_id,
            'until': int(time.time()) + 3600,
            'cloud_id': self.partner.cloud_id,
            'user_id': self.user['id'],
            **changes,
        }


@pytest.fixture
def visit(api, west, admin):
    return Visit(api, west, west.user(), west.project(), admin)


def work(*sessions, **changes):
    return {'changed': False, 'batch': 7, 'sessions': list(sessions), 'flush': False, **changes}


def events():
    with sql.session_for_read() as session:
        query = session.query(revoke_sql.RevocationEvent)
        return query.filter(revoke_sql.RevocationEvent.audit_chain_id.isnot(None)).count()


def test_a_session_that_has_ended_ends_with_all_that_was_made_from_it(
    world,
    api,
    west,
    admin,
    visit,
    ring,
):
    sibling = Visit(api, west, visit.user, west.project(), admin)
    local = world.admin()
    world.daemon.work = work(visit.end())
    assert api.validate(ring, admin).status_code == 404
    assert visit.statuses() == [404] * 3
    assert api.rescope(visit.derived).status_code in (401, 404)
    assert sibling.statuses() == [200] * 3
    assert api.validate(local, admin).status_code == 200
    assert Visit(api, west, visit.user, west.project(), admin)
    (acknowledgement,) = acknowledgements(world)
    assert (acknowledgement['batch'], acknowledgement['error']) == (7, None)


def test_what_is_made_in_the_same_moment_ends_too(world, api, admin, visit, ring):
    world.daemon.work = work(visit.end())
    api.validate(ring, admin)
    # As if it had been made in another worker just then: it was issued after the event.
    with sql.session_for_write() as session:
        rows = session.query(revoke_sql.RevocationEvent)
        row = rows.filter_by(audit_chain_id=visit.audit_id).one()
        assert row.issued_before.timestamp() > row.revoked_at.timestamp() + 3000
        assert row.user_id


def test_the_same_batch_twice_is_stored_once(world, api, admin, visit, ring):
    before = events()
    world.daemon.work = work(visit.end())
    for _ in range(2):
        api.validate(ring, admin)
    assert events() == before + 1


def test_many_sessions_are_one_transaction(world, api, west, admin, visit, ring):
    before = events()
    many = [visit.end(id=ids.audit_id(west.cloud_id, f'session {n}')) for n in range(1000)]
    world.daemon.work = work(*many)
    api.validate(ring, admin)
    assert events() == before + 1000
    assert visit.statuses() == [200] * 3


def test_nobody_is_ended_under_the_name_of_another_partner(
    world,
    api,
    admin,
    visit,
    ring,
):
    world.daemon.work = work(
        visit.end(cloud_id=world.north.cloud_id),
        visit.end(cloud_id='a' * 52),
        visit.end(user_id='nobody'),
    )
    before = events()
    api.validate(ring, admin)
    assert events() == before
    assert visit.statuses() == [200] * 3


def test_home_is_asked_again_where_the_daemon_says_so(world, api, west, admin, visit, ring):
    asked = len(world.daemon.questions('/v1/tokens/validate'))
    world.daemon.work = work()
    api.validate(ring, admin)
    assert visit.statuses() == [200] * 3
    assert len(world.daemon.questions('/v1/tokens/validate')) == asked, 'a replayed ring'
    world.daemon.work = work(flush=True)
    api.validate(ring, admin)
    assert visit.statuses() == [200] * 3
    assert len(world.daemon.questions('/v1/tokens/validate')) == asked + 1


@pytest.mark.parametrize('answer', [{'sessions': [{}]}, {'sessions': 7, 'batch': 1}, []])
def test_an_answer_that_is_not_understood_drops_what_is_cached(
    world,
    api,
    admin,
    visit,
    ring,
    answer,
):
    world.daemon.work = answer or {'x': 1}
    asked = len(world.daemon.questions('/v1/tokens/validate'))
    assert api.validate(ring, admin).status_code == 404
    assert visit.statuses() == [200] * 3
    assert len(world.daemon.questions('/v1/tokens/validate')) == asked + 1


def test_events_stay_until_what_they_end_has_expired(world, api, west, admin, visit, ring):
    """Keystone drops them by their age, which it takes for that of the token."""
    longest = CONF.token.expiration
    until = int(time.time()) + 2 * longest
    world.daemon.work = work(visit.end(until=until))
    api.validate(ring, admin)
    with sql.session_for_read() as session:
        rows = session.query(revoke_sql.RevocationEvent)
        (row,) = rows.filter_by(audit_chain_id=visit.audit_id)
        dropped_at = row.revoked_at.replace(tzinfo=datetime.timezone.utc).timestamp() + longest
    assert dropped_at == until


def test_an_event_that_reaches_less_far_does_not_stand_for_it(world, api, admin, visit, ring):
    before = events()
    soon = int(time.time()) + 5
    for until in (soon, soon + 1000, soon):
        world.daemon.work = work(visit.end(until=until))
        api.validate(ring, admin)
    assert events() == before + 2


def test_keystone_forgets_the_list_of_events_once_for_all(
    world, api, west, admin, visit, ring, monkeypatch
):
    flushes = []
    monkeypatch.setattr(
        'keystone_alliance.sign_out.revoke_core.REVOKE_REGION',
        types.SimpleNamespace(invalidate=lambda: flushes.append(1)),
    )
    many = [visit.end(id=ids.audit_id(west.cloud_id, f'another {n}')) for n in range(20)]
    world.daemon.work = work(*many)
    for _ in range(2):
        api.validate(ring, admin)
    assert flushes == [1]


def test_one_step_that_fails_hinders_no_other(world, api, west, admin, visit, ring, monkeypatch):
    """The batch is acknowledged as failed, so that it comes again."""
    user, project = west.user(), west.project()
    body = api.validate(west.token(user, project), admin).json['token']
    world.partner_entry()['agreements'] = []
    world.write()
    world.daemon.work = work(visit.end(), changed=True)
    with monkeypatch.context() as patched:
        patched.setattr('keystone_alliance.sign_out._store', lambda _found: 1 / 0)
        api.validate(ring, admin)
    assert not held(body['user']['id'], body['project']['id'])
    assert acknowledgements(world)[-1]['error'].startswith('ZeroDivisionError')
    with monkeypatch.context() as patched:
        patched.setattr('keystone_alliance.doorbell.sweep', lambda _snapshot: 1 / 0)
        before = events()
        api.validate(ring, admin)
    assert events() == before + 1
    assert acknowledgements(world)[-1]['error'].startswith('ZeroDivisionError')


def test_a_daemon_of_an_earlier_version_rings_for_changes(world, api, west, admin, ring):
    body = api.validate(west.token(west.user(), west.project()), admin).json['token']
    world.partner_entry()['agreements'] = []
    world.write()
    world.daemon.work = None
    api.validate(ring, admin)
    assert not held(body['user']['id'], body['project']['id'])
    (acknowledgement,) = acknowledgements(world)
    assert (acknowledgement['batch'], acknowledgement['error']) == (None, None)


def test_what_fails_is_said_and_comes_again(world, api, admin, visit, ring, monkeypatch):
    world.daemon.work = work(visit.end())

    def broken(*_args):
        raise RuntimeError('broken')

    with monkeypatch.context() as patched:
        patched.setattr('keystone_alliance.sign_out._store', broken)
        api.validate(ring, admin)
    assert acknowledgements(world)[-1]['error'].startswith('RuntimeError')
    staleness.flush()
    assert visit.statuses() == [200] * 3
    api.validate(ring, admin)
    assert acknowledgements(world)[-1]['error'] is None
    assert visit.statuses() == [404] * 3


def test_an_operators_events_are_left_alone(world, api, admin, visit, ring):
    PROVIDERS.revoke_api.revoke_by_audit_chain_id('x' * 22)
    world.daemon.work = work(visit.end())
    api.validate(ring, admin)
    with sql.session_for_read() as session:
        rows = session.query(revoke_sql.RevocationEvent)
        assert rows.filter_by(audit_chain_id='x' * 22).count() >= 1
    assert admin_id()
