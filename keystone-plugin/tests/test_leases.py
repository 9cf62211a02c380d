"""What a guest made where an agreement allows it works as long as home stands by the guest."""

import time
import uuid

import fake_daemon
from keystone import exception
from keystone.models import token_model
from keystone_host import PROVIDERS
import pytest
from test_derived_tokens import derive
from test_derived_tokens import project_scope
from test_second_doors import Maker
from test_second_doors import local_user

from keystone_alliance import staleness

DOORS = {
    'application-credentials': [Maker.application_credential],
    'ec2': [Maker.ec2, Maker.ec2_by_hand],
    'totp': [Maker.totp],
    'trusts': [Maker.trust],
    'oauth': [Maker.oauth],
}
WAYS = {way: name for name, ways in DOORS.items() for way in ways}


def allow(world, *doors):
    (agreement,) = world.partner_entry()['agreements']
    agreement['allow'] = list(doors)
    world.snapshot['cloud']['guest_grace'] = 900
    world.write()


@pytest.fixture
def guest(world, api, west, admin):
    world.partner_entry()['agreements'] = [dict(*world.partner_entry()['agreements'])]
    user, project = west.user(), west.project()
    token = west.token(user, project)
    body = api.validate(token, admin).json['token']
    maker = Maker(api, token, body['user']['id'], body['project']['id'])
    maker.at_home = (user['id'], project['id'])
    return maker


@pytest.fixture
def credential(world, api, guest):
    """An application credential of the guest, as a function that logs in with it."""
    allow(world, 'application-credentials')
    path = f'/v3/users/{guest.id}/application_credentials'
    body = {'application_credential': {'name': uuid.uuid4().hex}}
    made = api.request('POST', path, guest.token, body=body).json['application_credential']
    shown = {'id': made['id'], 'secret': made['secret']}
    identity = {'methods': ['application_credential'], 'application_credential': shown}
    return lambda: api.login(identity)


@pytest.mark.parametrize('way', WAYS, ids=lambda way: way.__name__)
def test_a_guest_makes_what_the_agreement_allows_and_nothing_else(world, guest, way):
    allow(world, WAYS[way])
    assert way(guest) in (200, 201)
    allow(world, *(DOORS.keys() - {WAYS[way]}))
    assert way(guest) == 403


def test_it_opens_the_partners_own_projects_only(world, guest):
    allow(world, *DOORS)
    guest.project_id = uuid.uuid4().hex
    assert guest.totp() == 403
    project = {'id': uuid.uuid4().hex, 'name': uuid.uuid4().hex, 'domain_id': 'default'}
    PROVIDERS.resource_api.create_project(project['id'], {**project, 'enabled': True})
    with pytest.raises(exception.ForbiddenNotSecurity):
        PROVIDERS.trust_api.create_trust(
            uuid.uuid4().hex,
            {
                'trustor_user_id': local_user(),
                'trustee_user_id': guest.id,
                'project_id': project['id'],
                'impersonation': True,
                'roles': [],
            },
            [],
        )


def test_it_works_as_long_as_home_gives_the_guest_roles(world, api, west, admin, guest, credential):
    login = credential()
    assert login.status_code == 201, login.data
    token = login.headers['X-Subject-Token']
    assert api.validate(token, admin).status_code == 200
    (question,) = [
        body for path, body, _id in world.daemon.calls[-1:] if path == '/v1/guests/confirm'
    ]
    assert question['token']['session'] is None, 'it belongs to no login at home'
    assert question['grace'] == 900 - question['held_for']
    roles = west.roles.pop(guest.at_home)
    staleness.flush()
    assert api.validate(token, admin).status_code == 404
    assert credential().status_code == 401
    west.roles[guest.at_home] = roles
    assert api.validate(token, admin).status_code == 200
    assert credential().status_code == 201


def test_a_silent_home_ends_nothing_for_good(world, api, admin, credential):
    token = credential().headers['X-Subject-Token']
    world.daemon.fault = fake_daemon.indeterminate
    staleness.flush()
    assert api.validate(token, admin).status_code == 503
    assert credential().status_code == 503
    world.daemon.fault = None
    assert api.validate(token, admin).status_code == 200


def test_an_old_word_bears_what_a_guest_made_and_no_other_token(
    world, api, west, admin, guest, credential
):
    made = credential().headers['X-Subject-Token']
    derived, _ = derive(api, guest.token, project_scope(guest.project_id))

    def statuses(age):
        world.daemon.sign_statement = lambda partner, body: partner.statement(
            body['user_id'], body['project_id'], world.cloud_id, iat=int(time.time()) - age
        )
        staleness.flush()
        return [api.validate(token, admin).status_code for token in (made, derived)]

    assert statuses(age=10) == [200, 200]
    assert statuses(age=800) == [200, 404]
    assert statuses(age=1000) == [404, 404], 'not even the daemon can stretch it'


def test_an_agreement_that_is_altered_ends_it(world, api, admin, credential):
    token = credential().headers['X-Subject-Token']
    allow(world, 'trusts')
    staleness.flush()
    assert api.validate(token, admin).status_code == 404
    assert credential().status_code == 401
    assert 'no agreement allows application-credentials' in world.log()


def test_a_suspended_partner_ends_it(world, api, admin, credential):
    token = credential().headers['X-Subject-Token']
    world.partner_entry()['status'] = 'suspended'
    world.write()
    staleness.flush()
    assert api.validate(token, admin).status_code == 404
    assert credential().status_code == 401


def test_a_trust_of_a_guest_lets_its_trustee_in(world, api, west, guest):
    allow(world, 'trusts')
    assert guest.trust() == 201
    trusts = PROVIDERS.trust_api.list_trusts_for_trustor(guest.id)
    (trust,) = [found for found in trusts if found['project_id'] == guest.project_id]
    user = {'id': trust['trustee_user_id'], 'password': 'secret1'}
    identity = {'methods': ['password'], 'password': {'user': user}}
    scope = {'OS-TRUST:trust': {'id': trust['id']}}
    assert api.login(identity, scope).status_code == 201
    del west.roles[guest.at_home]
    assert api.login(identity, scope).status_code in (401, 403)


@pytest.mark.parametrize(
    ('method', 'door'), [('totp', 'totp'), ('ec2credential', 'ec2'), ('totp', 'ec2')]
)
def test_a_login_by_what_was_made_is_allowed_by_its_name(world, guest, method, door):
    allow(world, door)
    model = token_model.TokenModel()
    model.user_id, model.project_id = guest.id, guest.project_id
    model.methods, model.audit_id = [method], 'A' * 22
    model.expires_at = '2099-01-01T00:00:00.000000Z'
    if method.startswith(door):
        assert world.provider.generate_id_and_issued_at(model)
    else:
        with pytest.raises(exception.Unauthorized):
            world.provider.generate_id_and_issued_at(model)
    model.project_id = None
    with pytest.raises(exception.Unauthorized):
        world.provider.generate_id_and_issued_at(model)
