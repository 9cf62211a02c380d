"""What would outlive a login at home is refused when a guest makes it, and only then."""

import datetime
import json
import types
import uuid

from keystone import exception
from keystone.federation import idp
from keystone_host import PROVIDERS
from oslo_utils import timeutils
import pytest
from test_derived_tokens import derive
from test_derived_tokens import project_scope


class Maker:
    """A user with a token for a project, who makes what outlives it."""

    def __init__(self, api, token, user_id, project_id, role='member'):
        self.api, self.token, self.id, self.project_id = api, token, user_id, project_id
        self.role = role

    def _post(self, path, body):
        answer = self.api.request('POST', f'/v3{path}', self.token, body=body)
        self.said = answer.get_data(as_text=True)
        return answer.status_code

    def application_credential(self):
        roles = [{'name': self.role}]
        body = {'application_credential': {'name': uuid.uuid4().hex, 'roles': roles}}
        return self._post(f'/users/{self.id}/application_credentials', body)

    def ec2(self):
        path = f'/users/{self.id}/credentials/OS-EC2'
        return self._post(path, {'tenant_id': self.project_id})

    def ec2_by_hand(self):
        blob = json.dumps({'access': uuid.uuid4().hex, 'secret': 's'})
        return self._credential('ec2', blob)

    def totp(self):
        return self._credential('totp', 'GEZDGNBVGY3TQOJQGEZDGNBVGY')

    def _credential(self, kind, blob):
        credential = {'type': kind, 'blob': blob, 'user_id': self.id}
        body = {'credential': {**credential, 'project_id': self.project_id}}
        return self._post('/credentials', body)

    def trust(self):
        trust = {
            'trustor_user_id': self.id,
            'trustee_user_id': local_user(),
            'project_id': self.project_id,
            'impersonation': True,
            'roles': [{'name': self.role}],
        }
        return self._post('/OS-TRUST/trusts', {'trust': trust})

    def oauth(self):
        consumer = PROVIDERS.oauth_api.create_consumer({'id': uuid.uuid4().hex})
        request = PROVIDERS.oauth_api.create_request_token(consumer['id'], self.project_id, 3600)
        role = PROVIDERS.role_api.get_unique_role_by_name('member')['id']
        try:
            # By policy, administrators alone reach this.
            PROVIDERS.oauth_api.authorize_request_token(request['id'], self.id, [role])
        except exception.ForbiddenNotSecurity as error:
            self.said = str(error)
            return error.code
        return 200

    def assertion(self):
        return self._assertion('saml2')

    def ecp_assertion(self):
        return self._assertion('saml2/ecp')

    def _assertion(self, kind):
        identity = {'methods': ['token'], 'token': {'id': self.token}}
        scope = {'service_provider': {'id': service_provider()}}
        body = {'auth': {'identity': identity, 'scope': scope}}
        return self._post(f'/auth/OS-FEDERATION/{kind}', body)


WAYS = {
    Maker.application_credential: 201,
    Maker.ec2: 201,
    Maker.ec2_by_hand: 201,
    Maker.totp: 201,
    Maker.trust: 201,
    Maker.oauth: 200,
    Maker.assertion: 200,
    Maker.ecp_assertion: 200,
}


def service_provider():
    url = 'https://sp.example/Shibboleth.sso/SAML2/POST'
    provider = {'auth_url': url, 'sp_url': url, 'enabled': True, 'description': None}
    sp_id = uuid.uuid4().hex
    PROVIDERS.federation_api.create_sp(sp_id, {**provider, 'relay_state_prefix': 'ss:mem:'})
    return sp_id


def local_user():
    user = {'name': uuid.uuid4().hex, 'domain_id': 'default', 'enabled': True}
    return PROVIDERS.identity_api.create_user({**user, 'password': 'secret1'})['id']


@pytest.fixture(params=['foreign', 'derived'])
def guest(request, world, api, west, admin):
    project = west.project()
    token = west.token(west.user(), project)
    body = api.validate(token, admin).json['token']
    if request.param == 'derived':
        token, body = derive(api, token, project_scope(body['project']['id']))
    return Maker(api, token, body['user']['id'], body['project']['id'])


@pytest.fixture
def local(api):
    project = {'id': uuid.uuid4().hex, 'name': uuid.uuid4().hex, 'domain_id': 'default'}
    PROVIDERS.resource_api.create_project(project['id'], {**project, 'enabled': True})
    # Of its own: SQLite gives numbers of deleted credentials away again, and keeps their roles.
    role = uuid.uuid4().hex
    PROVIDERS.role_api.create_role(role, {'id': role, 'name': role, 'domain_id': None})
    user_id = local_user()
    member = PROVIDERS.role_api.get_unique_role_by_name('member')['id']
    for each in (role, member):
        PROVIDERS.assignment_api.create_grant(each, user_id=user_id, project_id=project['id'])
    password = {'user': {'id': user_id, 'password': 'secret1'}}
    login = api.login({'methods': ['password'], 'password': password}, project_scope(project['id']))
    return Maker(api, login.headers['X-Subject-Token'], user_id, project['id'], role)


@pytest.mark.parametrize('way', WAYS, ids=lambda way: way.__name__)
def test_a_guest_makes_no_second_door(world, guest, way):
    assert way(guest) == 403
    assert 'The guest of another cloud has no ' in guest.said
    assert f'Guest {guest.id} may not make' in world.log()


@pytest.mark.parametrize('way', WAYS, ids=lambda way: way.__name__)
def test_a_local_user_does_as_ever(world, local, way, monkeypatch):
    # What makes assertions needs programs that sign.
    assertion = types.SimpleNamespace(to_string=lambda: '<assertion/>')
    for maker, make in (('SAMLGenerator', 'samlize_token'), ('ECPGenerator', 'generate_ecp')):
        monkeypatch.setattr(getattr(idp, maker), make, lambda *_args: assertion)
    assert way(local) == WAYS[way]


def test_a_local_user_gives_no_trust_to_a_guest(world, local, guest):
    trust = {
        'trustor_user_id': local.id,
        'trustee_user_id': guest.id,
        'project_id': local.project_id,
        'impersonation': False,
        'roles': [{'name': local.role}],
    }
    assert local._post('/OS-TRUST/trusts', {'trust': trust}) == 403


def test_a_trust_that_a_guest_has_had_is_not_passed_on(world, local, guest, monkeypatch):
    def trust(trustee_id):
        return {
            'trustor_user_id': local.id,
            'trustee_user_id': trustee_id,
            'project_id': local.project_id,
            'impersonation': True,
            'expires_at': expires_at,
            'allow_redelegation': True,
            'roles': roles,
        }

    expires_at = timeutils.utcnow() + datetime.timedelta(hours=1)
    roles = [PROVIDERS.role_api.get_unique_role_by_name(local.role)]
    trusts, first = PROVIDERS.trust_api, uuid.uuid4().hex
    with monkeypatch.context() as before:
        before.setattr('keystone_alliance.second_doors._refuse_guests', lambda *_: None)
        trusts.create_trust(first, trust(guest.id), roles)
    given = trusts.get_trust(first)
    with pytest.raises(exception.ForbiddenNotSecurity):
        trusts.create_trust(uuid.uuid4().hex, trust(local_user()), roles, redelegated_trust=given)


def test_nobody_makes_one_for_a_guest(world, api, guest):
    admin = Maker(api, world.admin('system'), guest.id, guest.project_id)
    assert admin.totp() == 403


def test_a_credential_is_not_handed_to_a_guest(world, guest):
    credential = {'id': uuid.uuid4().hex, 'user_id': local_user(), 'type': 'cert', 'blob': 'x'}
    PROVIDERS.credential_api.create_credential(credential['id'], credential)
    with pytest.raises(exception.ForbiddenNotSecurity):
        PROVIDERS.credential_api.driver.update_credential(credential['id'], {'user_id': guest.id})


def test_a_token_that_was_authorised_before_is_not_issued(world, guest, monkeypatch):
    consumer = PROVIDERS.oauth_api.create_consumer({'id': uuid.uuid4().hex})
    request = PROVIDERS.oauth_api.create_request_token(consumer['id'], guest.project_id, 3600)
    with monkeypatch.context() as before:
        before.setattr('keystone_alliance.second_doors._refuse_guests', lambda *_: None)
        PROVIDERS.oauth_api.authorize_request_token(request['id'], guest.id, ['r'])
    with pytest.raises(exception.ForbiddenNotSecurity):
        PROVIDERS.oauth_api.create_access_token(request['id'], 3600)


def test_a_user_who_is_gone_is_keystones_affair(world):
    """As with the stock driver."""
    credential = {'id': uuid.uuid4().hex, 'user_id': uuid.uuid4().hex, 'type': 'x', 'blob': 'x'}
    assert PROVIDERS.credential_api.create_credential(credential['id'], credential)
