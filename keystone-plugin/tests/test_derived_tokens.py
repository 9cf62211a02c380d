import uuid

import fake_daemon
from keystone import exception
from keystone.models import token_model
from keystone_host import LOGOUT_ENDS_ITS_CHAIN
from keystone_host import PROVIDERS
from partner_cloud import PartnerCloud
from partner_cloud import isotime
import pytest

from keystone_alliance import ids
from keystone_alliance import staleness


@pytest.fixture
def guest(world, west):
    """A west user with a foreign token here."""

    class Guest:
        user, project = west.user(), west.project()
        token = west.token(user, project)
        host_project = west.host_project_id(project)

    Guest.body = world.api.validate(Guest.token, world.admin()).json['token']
    Guest.id = Guest.body['user']['id']
    return Guest


def derive(api, token, scope=None):
    response = api.rescope(token, scope)
    assert response.status_code == 201, response.data
    return response.headers['X-Subject-Token'], response.json['token']


def project_scope(project_id):
    return {'project': {'id': project_id}}


def test_a_foreign_token_buys_a_native_one_that_never_outlives_it(world, api, guest, admin):
    derived, body = derive(api, guest.token, project_scope(guest.host_project))
    assert derived.startswith(world.tag + '~')
    assert body['expires_at'] == guest.body['expires_at']
    assert body['audit_ids'][1] == guest.body['audit_ids'][0]
    assert api.validate(derived, admin).status_code == 200
    assert api.get('/v3/auth/projects', derived).status_code == 200


def test_home_is_asked_about_the_roles_in_the_new_project(world, api, west, guest):
    other = west.project()
    world.api.validate(west.token(guest.user, other), world.admin())
    world.daemon.calls.clear()
    derived, body = derive(api, guest.token, project_scope(west.host_project_id(other)))
    path, question, _ = world.daemon.calls[-1]
    assert path == '/v1/guests/confirm'
    # The daemon remembers what hangs on the answer, to drop it from the services' caches.
    remembered = question.pop('token')
    assert remembered['sha256'] == ids.token_sha256(derived)
    assert isotime(remembered['expires_at']) == body['expires_at']
    assert question == {
        'cloud_id': west.cloud_id,
        'user_id': guest.user['id'],
        'project_id': other['id'],
        'max_age': 3,
        'held_for': 57,
        'grace': 0,
    }
    assert {role['name'] for role in body['roles']} == {'member', 'reader'}


def test_a_left_over_grant_buys_nothing(world, api, west, guest):
    del west.roles[(guest.user['id'], guest.project['id'])]
    response = api.rescope(guest.token, project_scope(guest.host_project))
    assert response.status_code == 401
    assert f'Refused (not_found): a token for shadow user {guest.id} of partner west' in (
        world.log()
    )


def test_a_derived_token_does_not_outlive_a_role_taken_away_at_home(world, api, west, guest, admin):
    derived, _ = derive(api, guest.token, project_scope(guest.host_project))
    assert api.validate(derived, admin).status_code == 200
    west.roles[(guest.user['id'], guest.project['id'])] = ['reader']
    staleness.flush()  # what max_staleness does later
    body = api.validate(derived, admin).json['token']
    assert {role['name'] for role in body['roles']} == {'reader'}
    del west.roles[(guest.user['id'], guest.project['id'])]
    staleness.flush()
    assert api.validate(derived, admin).status_code == 404
    assert api.get('/v3/auth/projects', derived).status_code == 401


def test_warm_use_of_a_derived_token_asks_nobody(world, api, guest, admin):
    derived, _ = derive(api, guest.token, project_scope(guest.host_project))
    world.daemon.calls.clear()
    for _ in range(3):
        assert api.validate(derived, admin).status_code == 200
    assert not world.daemon.calls


def test_without_an_answer_nothing_is_issued_and_nothing_validated(world, api, guest, admin):
    derived, _ = derive(api, guest.token, project_scope(guest.host_project))
    world.daemon.fault = fake_daemon.indeterminate
    scope = project_scope(guest.host_project)
    assert api.rescope(guest.token, scope).status_code == 503
    staleness.flush()
    assert api.validate(derived, admin).status_code == 503
    assert api.get('/v3/auth/projects', derived).status_code == 503


def test_a_narrowed_agreement_narrows_derived_tokens(world, api, west, guest, admin):
    derived, _ = derive(api, guest.token, project_scope(guest.host_project))
    world.partner_entry()['agreements'][0]['roles'] = ['reader']
    world.write()
    staleness.flush()
    body = api.validate(derived, admin).json['token']
    assert {role['name'] for role in body['roles']} == {'reader'}
    world.partner_entry()['agreements'] = []
    world.write()
    staleness.flush()
    assert api.validate(derived, admin).status_code == 404


@pytest.mark.parametrize(
    'change', [{'status': 'suspended'}, {'role': 'host'}, {'trust_till': 5}], ids=str
)
@pytest.mark.parametrize('scoped', [True, False], ids=['project', 'unscoped'])
def test_derived_tokens_end_with_the_trust_in_their_cloud(world, api, guest, admin, change, scoped):
    scope = project_scope(guest.host_project) if scoped else 'unscoped'
    derived, _ = derive(api, guest.token, scope)
    world.partner_entry().update(change)
    world.write()
    staleness.flush()
    assert api.validate(derived, admin).status_code == 404
    assert api.rescope(derived, scope).status_code in (401, 404)


def test_derived_tokens_end_when_the_partner_is_removed_or_the_snapshot_lost(
    world, api, west, guest, admin
):
    derived, _ = derive(api, guest.token, project_scope(guest.host_project))
    unscoped, _ = derive(api, guest.token, 'unscoped')
    del world.snapshot['partners'][west.tag]
    world.write()
    staleness.flush()
    assert api.validate(derived, admin).status_code == 404
    assert api.validate(unscoped, admin).status_code == 404
    assert api.validate(admin, admin).status_code == 200
    (world.folder / 'keystone.json').unlink()
    staleness.flush()
    assert api.validate(derived, admin).status_code == 404
    assert api.validate(admin, admin).status_code == 200


@pytest.mark.parametrize('statement', ['user', 'project', 'audience', 'passport', 'age'])
def test_a_grant_statement_about_something_else_is_refused(world, api, west, guest, statement):
    other = PartnerCloud('other')

    def sign(partner, body):
        user_id, project_id = body['user_id'], body['project_id']
        if statement == 'user':
            partner.roles[('x', project_id)] = ['member']
            return partner.statement('x', project_id, world.cloud_id)
        if statement == 'project':
            partner.roles[(user_id, 'x')] = ['member']
            return partner.statement(user_id, 'x', world.cloud_id)
        if statement == 'audience':
            return partner.statement(user_id, project_id, other.cloud_id)
        if statement == 'age':
            return partner.statement(user_id, project_id, world.cloud_id, iat=1)
        return partner.passport(guest.token, world.cloud_id)

    world.daemon.sign_statement = sign
    response = api.rescope(guest.token, project_scope(guest.host_project))
    assert response.status_code == 401


def test_a_guest_gets_no_system_domain_or_native_project_scope(world, api, west, guest):
    role = PROVIDERS.role_api.get_unique_role_by_name('member')['id']
    (native,) = (p['id'] for p in PROVIDERS.resource_api.list_projects() if p['name'] == 'admin')
    PROVIDERS.assignment_api.create_grant(role, user_id=guest.id, project_id=native)
    PROVIDERS.assignment_api.create_grant(role, user_id=guest.id, domain_id=west.domain_id)
    PROVIDERS.assignment_api.create_system_grant_for_user(guest.id, role)
    try:
        for scope in (
            project_scope(native),
            {'domain': {'id': west.domain_id}},
            {'system': {'all': True}},
        ):
            assert api.rescope(guest.token, scope).status_code == 401, scope
    finally:
        PROVIDERS.assignment_api.delete_grant(role, user_id=guest.id, project_id=native)
        PROVIDERS.assignment_api.delete_grant(role, user_id=guest.id, domain_id=west.domain_id)
        PROVIDERS.assignment_api.delete_system_grant_for_user(guest.id, role)


@pytest.fixture
def before(monkeypatch):
    """What was made before Keystone had the drivers that refuse it."""
    monkeypatch.setattr('keystone_alliance.second_doors._refuse_guests', lambda *_: None)


def test_an_application_credential_made_before_opens_no_second_door(world, api, guest, before):
    created = api.request(
        'POST',
        f'/v3/users/{guest.id}/application_credentials',
        guest.token,
        body={'application_credential': {'name': uuid.uuid4().hex}},
    )
    assert created.status_code == 201, created.data
    credential = created.json['application_credential']
    login = {
        'methods': ['application_credential'],
        'application_credential': {'id': credential['id'], 'secret': credential['secret']},
    }
    assert api.login(login).status_code == 401
    assert 'Refused (application_credential)' in world.log()


def test_a_trust_made_before_opens_no_second_door(world, api, guest, admin, before):
    helper = PROVIDERS.identity_api.create_user(
        {
            'name': uuid.uuid4().hex,
            'domain_id': 'default',
            'password': 'secret1',
            'enabled': True,
        }
    )
    created = api.request(
        'POST',
        '/v3/OS-TRUST/trusts',
        guest.token,
        body={
            'trust': {
                'trustor_user_id': guest.id,
                'trustee_user_id': helper['id'],
                'project_id': guest.host_project,
                'impersonation': False,
                'roles': [{'name': 'member'}],
            }
        },
    )
    assert created.status_code == 201, created.data
    identity = {
        'methods': ['password'],
        'password': {'user': {'id': helper['id'], 'password': 'secret1'}},
    }
    scope = {'OS-TRUST:trust': {'id': created.json['trust']['id']}}
    assert api.login(identity, scope).status_code == 401
    assert api.login(identity, 'unscoped').status_code == 201
    assert 'Refused (trust)' in world.log()


def test_a_passcode_or_ec2_credential_made_while_visiting_opens_no_second_door(world, api, guest):
    token = world.provider
    model = token_model.TokenModel()
    for methods in (['totp'], ['ec2credential'], ['mapped'], []):
        model.user_id = guest.id
        model.methods = methods
        model.project_id = guest.host_project
        model.expires_at = '2099-01-01T00:00:00.000000Z'
        model.audit_id = 'A' * 22
        with pytest.raises(exception.Unauthorized):
            token.generate_id_and_issued_at(model)


def test_a_guest_without_a_home_identity_is_refused(world, api, west, guest, admin):
    derived, _ = derive(api, guest.token, project_scope(guest.host_project))
    PROVIDERS.shadow_users_api.create_federated_object(
        {
            'user_id': guest.id,
            'idp_id': 'north',
            'protocol_id': 'alliance',
            'unique_id': uuid.uuid4().hex,
            'display_name': 'ann',
        }
    )
    staleness.flush()
    PROVIDERS.identity_api.get_user.invalidate(PROVIDERS.identity_api, guest.id)
    assert api.validate(derived, admin).status_code == 200, 'its own identity is still there'


@pytest.mark.skipif(
    not LOGOUT_ENDS_ITS_CHAIN, reason='this Keystone ends no token but the one logged out'
)
def test_logging_out_of_the_foreign_token_ends_the_derived_one(world, api, guest, admin):
    derived, _ = derive(api, guest.token, project_scope(guest.host_project))
    log_out(api, guest.token)
    assert api.validate(derived, admin).status_code == 404


def test_logging_out_of_the_foreign_token_ends_it(world, api, guest, admin):
    log_out(api, guest.token)
    assert api.validate(guest.token, admin).status_code == 404


def log_out(api, token):
    answer = api.request('DELETE', '/v3/auth/tokens', token, subject=token)
    assert answer.status_code == 204


def test_a_disabled_shadow_user_is_out_at_once(world, api, guest, admin):
    derived, _ = derive(api, guest.token, project_scope(guest.host_project))
    PROVIDERS.identity_api.update_user(guest.id, {'enabled': False})
    assert api.validate(derived, admin).status_code == 404
    assert api.validate(guest.token, admin).status_code == 404


def test_ids_are_those_that_home_computes(west):
    assert (
        ids.domain_id('a' * 52)
        == uuid.uuid5(
            uuid.uuid5(uuid.NAMESPACE_DNS, 'alliance.openstack'), 'domain:' + 'a' * 52
        ).hex
    )
    assert (
        west.host_project_id({'id': 'p'})
        == uuid.uuid5(
            uuid.uuid5(uuid.NAMESPACE_DNS, 'alliance.openstack'), f'project:{west.cloud_id}:p'
        ).hex
    )
