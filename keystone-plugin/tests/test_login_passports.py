import time

import fake_daemon
from keystone_host import PASSWORD
import pytest

from keystone_alliance import ids
from keystone_alliance.login import METHOD


def log_in(api, passport, scope=None, **fields):
    identity = {'methods': [METHOD], METHOD: {'passport': passport, **fields}}
    return api.login(identity, scope)


def ask_for(api, **fields):
    return api.login({'methods': [METHOD], METHOD: fields})


def scope_of(west, project):
    return {'project': {'id': west.host_project_id(project)}}


def said(response):
    return response.status_code, response.json['error']['identity']['alliance']['reason']


@pytest.fixture
def ann(world, west):
    """A user of west, with a project that she may use at east."""

    class Ann:
        user, project = west.user(), west.project()

        @classmethod
        def passport(cls, **changes):
            return west.login_passport(cls.user, cls.project, world.cloud_id, **changes)

    return Ann


def test_a_passport_logs_its_user_in_once(world, api, west, ann, admin):
    passport = ann.passport()
    unscoped = log_in(api, passport)
    assert unscoped.status_code == 201, unscoped.data
    assert 'project' not in unscoped.json['token']
    # Its project is there from now on.
    response = api.rescope(unscoped.headers['X-Subject-Token'], scope_of(west, ann.project))
    assert response.status_code == 201, response.data
    token, body = response.headers['X-Subject-Token'], response.json['token']
    assert token.startswith(world.tag + '~')
    assert {role['name'] for role in body['roles']} == {'member', 'reader'}
    assert body['user']['domain']['id'] == west.domain_id
    facts = [facts for facts in west.issued.values() if facts['sub'] == ann.user['id']][-1]
    assert body['expires_at'] == facts['expires_at']
    assert body['audit_ids'][1] == ids.audit_id(west.cloud_id, facts['audit_ids'][0])
    assert api.validate(token, admin).status_code == 200
    assert said(log_in(api, passport)) == (401, 'replayed')
    again = log_in(api, ann.passport(), scope_of(west, ann.project))
    assert again.status_code == 201
    # The daemon is told of what hangs on the session.
    _path, question, _id = world.daemon.questions('/v1/guests/confirm')[0]
    assert question['token']['session'] == body['audit_ids'][1]


def test_what_a_passport_bought_can_be_rescoped_and_is_not_prolonged(world, api, west, ann):
    log_in(api, ann.passport())
    first = log_in(api, ann.passport(), scope_of(west, ann.project))
    response = api.rescope(first.headers['X-Subject-Token'], scope_of(west, ann.project))
    assert response.status_code == 201, response.data
    body = response.json['token']
    assert body['expires_at'] == first.json['token']['expires_at']
    assert body['audit_ids'][1] == first.json['token']['audit_ids'][1]


def test_no_other_words_of_home_are_passports(world, api, west, ann):
    token = west.token(ann.user, ann.project)
    now = int(time.time())
    refused = {
        'malformed': [
            west.passport(token, world.cloud_id),
            ann.passport(typ='token-introspection+jwt'),
            ann.passport(exp=now + 3600),
            ann.passport(iat=now + 3600),
            ann.passport()[:-4] + 'AAAA',
            token,
            'junk',
        ],
        'wrong_audience': [west.login_passport(ann.user, ann.project, world.north.cloud_id)],
        'expired': [ann.passport(iat=now - 61, exp=now - 1)],
        'unknown_partner': [fake_home(ann, world)],
        'delegated_method': [ann.passport(facts={'methods': ['application_credential']})],
        'no_agreement': [ann.passport(facts={'roles': ['auditor']})],
    }
    for reason, passports in refused.items():
        for passport in passports:
            # Whatever its daemon says, this Keystone looks itself.
            assert said(log_in(api, passport)) == (401, reason)


def fake_home(ann, world):
    from partner_cloud import PartnerCloud

    return PartnerCloud('nobody').login_passport(ann.user, ann.project, world.cloud_id)


def test_a_passport_is_no_token(world, api, west, ann, admin):
    passport = ann.passport()
    assert api.validate(passport, admin).status_code == 404
    assert api.get('/v3/auth/projects', passport).status_code == 401
    assert api.rescope(passport).status_code in (401, 404)
    assert log_in(api, passport).status_code == 201


def test_the_operator_chooses_the_ways_in(world, api, west, ann, admin):
    world.partner_entry()['login'] = 'passport'
    world.write()
    token = west.token(ann.user, ann.project)
    world.daemon.calls.clear()
    assert api.validate(token, admin).status_code == 404
    assert world.daemon.calls == [], 'nobody else sees it'
    assert 'Refused (passport_only)' in world.log()
    assert log_in(api, ann.passport()).status_code == 201

    world.partner_entry()['login'] = 'bearer'
    world.write()
    passport = ann.passport()
    assert said(log_in(api, passport)) == (401, 'bearer_only')
    assert api.validate(token, admin).status_code == 200

    world.partner_entry()['status'] = 'suspended'
    world.write()
    assert said(log_in(api, ann.passport())) == (401, 'partner_suspended')


def test_a_daemon_that_does_not_answer_lets_nobody_in(world, api, west, ann):
    passport = ann.passport()
    world.daemon.fault = fake_daemon.indeterminate
    response = log_in(api, passport)
    assert response.status_code == 503
    assert response.headers['Retry-After'] == '1'
    world.daemon.fault = None
    assert log_in(api, passport).status_code == 201


def test_a_fault_of_ours_is_neither_a_yes_nor_a_no(world, api, west, ann, monkeypatch):
    monkeypatch.setattr(world.provider._admission, '_verifier', None)
    response = log_in(api, ann.passport())
    assert response.status_code == 503
    assert 'NoneType' not in response.text


def test_home_issues_a_passport_to_who_has_a_token(world, api):
    token = world.admin()
    world.daemon.issued = {
        'status': 'valid',
        'passport': 'jws',
        'expires_at': 7,
        'auth_url': 'https://north/v3',
        'project_id': 'p',
    }
    response = ask_for(api, cloud='north', token={'id': token}, jkt='k' * 43)
    assert response.status_code == 401, 'there is a next step'
    identity = response.json['error']['identity']
    assert identity == {
        'methods': ['alliance'],
        'alliance': {
            'passport': 'jws',
            'expires_at': 7,
            'auth_url': 'https://north/v3',
            'project_id': 'p',
        },
    }
    _path, question, _id = world.daemon.questions('/v1/passports')[0]
    assert question['cloud'] == 'north'
    assert question['jkt'] == 'k' * 43
    assert question['token_sha256'] == ids.token_sha256(token)
    assert question['token']['user']['name'] == 'admin'
    assert 'catalog' not in question['token']
    assert token not in str(world.daemon.calls)


def test_who_may_not_go_is_told_why(world, api):
    world.daemon.issued = {'status': 'invalid', 'reason': 'admin_role'}
    response = ask_for(api, cloud='north', token={'id': world.admin()})
    assert said(response) == (401, 'admin_role')
    assert response.json['error']['message'] == 'The login passport was refused: admin_role.'
    world.daemon.fault = fake_daemon.indeterminate
    assert ask_for(api, cloud='north', token={'id': world.admin()}).status_code == 503


def test_without_a_token_there_is_no_passport(world, api):
    for token in ('junk', f'{world.tag}~junk', world.admin()[:-3] + 'xyz'):
        response = ask_for(api, cloud='north', token={'id': token})
        assert response.status_code == 401
    revoked = world.admin()
    assert api.request('DELETE', '/v3/auth/tokens', revoked, subject=revoked).status_code == 204
    assert ask_for(api, cloud='north', token={'id': revoked}).status_code == 401
    assert world.daemon.questions('/v1/passports') == []


@pytest.mark.parametrize(
    'payload',
    [
        {},
        {'cloud': 'north'},
        {'cloud': 'north', 'token': 'x'},
        {'cloud': 7, 'token': {'id': 'x'}},
        {'cloud': 'n' * 256, 'token': {'id': 'x'}},
        {'passport': 7},
        {'passport': ''},
        {'passport': 'x' * 20000},
        {'passport': 'x', 'proof': 7},
        {'passport': 'j\xfcnk'},
    ],
)
def test_what_is_malformed_is_said_to_be(world, api, payload):
    response = api.login({'methods': [METHOD], METHOD: payload})
    assert response.status_code == 400, response.data
    assert world.daemon.calls == []


def test_a_second_method_does_not_widen_what_a_passport_opens(world, api, west, ann):
    identity = {
        'methods': [METHOD, 'password'],
        METHOD: {'passport': ann.passport()},
        'password': {'user': {'name': 'admin', 'domain': {'id': 'default'}, 'password': PASSWORD}},
    }
    assert api.login(identity).status_code == 401
