import threading
import time
from unittest import mock

from keystone_host import PROVIDERS
from keystone_host import make_identity_provider
from partner_cloud import PartnerCloud
from partner_cloud import base64url
from partner_cloud import isotime
from partner_cloud import new_key
import pytest

from keystone_alliance import guest
from keystone_alliance import staleness


def validate_new(world, admin, **claims):
    west = world.west
    token = west.token(west.user(), west.project())
    west.issued[token].update(claims)
    return world.api.validate(token, admin)


@pytest.mark.parametrize(
    ('change', 'reason'),
    [
        ({'status': 'suspended'}, 'partner_suspended'),
        ({'status': 'draft'}, 'partner_suspended'),
        ({'status': 'expired'}, 'partner_expired'),
        ({'trust_till': time.time() - 1}, 'partner_expired'),
        ({'role': 'host'}, 'unknown_partner'),
        ({'agreements': []}, 'no_agreement'),
    ],
    ids=str,
)
def test_a_partner_that_is_not_trusted_is_refused_without_asking(world, admin, change, reason):
    world.partner_entry().update(change)
    world.write()
    assert validate_new(world, admin).status_code == 404
    assert not world.daemon.calls
    assert f'Refused ({reason}): token {world.west.tag}~#' in world.log()


def test_trust_that_has_not_ended_yet_is_trust(world, admin):
    world.partner_entry()['trust_till'] = time.time() + 60
    world.write()
    assert validate_new(world, admin).status_code == 200


def test_a_partner_suspended_while_its_answer_is_under_way_is_refused(world, admin):
    def suspend_and_sign(partner, token):
        world.partner_entry()['status'] = 'suspended'
        world.write()
        return partner.passport(token, world.cloud_id)

    world.daemon.sign_passport = suspend_and_sign
    assert validate_new(world, admin).status_code == 404


def test_a_partner_whose_snapshot_entry_has_gone_is_unknown(world, api, admin, west):
    token = west.token(west.user(), west.project())
    assert api.validate(token, admin).status_code == 200
    del world.snapshot['partners'][west.tag]
    world.write()
    staleness.flush()
    assert api.validate(token, admin).status_code == 404


BAD_PASSPORTS = {
    'signed by another partner': lambda world, token: world.north.sign(
        claims_of(world, token), 'token-introspection+jwt'
    ),
    'issued by another partner': lambda world, token: world.west.passport(
        token, world.cloud_id, iss=world.north.cloud_id
    ),
    'signed by a stranger': lambda world, token: world.west.sign(
        claims_of(world, token), 'token-introspection+jwt', key=new_key()[0]
    ),
    'unknown kid': lambda world, token: world.west.sign(
        claims_of(world, token), 'token-introspection+jwt', header={'kid': 'other'}
    ),
    'for another cloud': lambda world, token: world.west.passport(token, world.north.cloud_id),
    'for several clouds': lambda world, token: world.west.passport(
        token, [world.cloud_id, world.north.cloud_id]
    ),
    'another typ': lambda world, token: world.west.sign(
        claims_of(world, token), 'alliance-grants+jwt'
    ),
    'critical header': lambda world, token: world.west.sign(
        claims_of(world, token), 'token-introspection+jwt', header={'crit': ['x'], 'x': 1}
    ),
    'no typ': lambda world, token: world.west.sign(claims_of(world, token), None),
    'too old': lambda world, token: world.west.passport(
        token, world.cloud_id, iat=int(time.time()) - 125
    ),
    'from the future': lambda world, token: world.west.passport(
        token, world.cloud_id, iat=int(time.time()) + 65
    ),
    'without a time': lambda world, token: world.west.passport(token, world.cloud_id, iat=None),
    'about another token': lambda world, token: world.west.passport(
        world.west.token(world.west.user(), world.west.project()), world.cloud_id
    ),
    'unsigned': lambda world, token: unsigned(world, token),
    'no JWS': lambda world, token: 'hello',
    'a number': lambda world, token: 7,
    'nothing': lambda world, token: None,
}


def claims_of(world, token):
    return {
        'iss': world.west.cloud_id,
        'aud': world.cloud_id,
        'iat': int(time.time()),
        'token_introspection': world.west.issued[token],
    }


def unsigned(world, token):
    _header, payload, _signature = world.west.passport(token, world.cloud_id).split('.')
    header = f'{{"alg":"none","typ":"token-introspection+jwt","kid":"{world.west.jwk["kid"]}"}}'
    return f'{base64url(header.encode())}.{payload}.'


@pytest.mark.parametrize('forge', BAD_PASSPORTS.values(), ids=BAD_PASSPORTS)
def test_a_passport_that_is_not_the_partners_word_about_this_token_is_refused(world, admin, forge):
    world.daemon.sign_passport = lambda _partner, token: forge(world, token)
    assert validate_new(world, admin).status_code == 404
    assert not users_of(world.west)


@pytest.fixture(autouse=True)
def no_users_yet(world):
    for user in users_of(world.west):
        PROVIDERS.identity_api.delete_user(user)


def users_of(partner):
    return [
        user['user_id']
        for user in PROVIDERS.shadow_users_api.list_federated_users_info()
        if user['idp_id'] == partner.name
    ]


BAD_CLAIMS = {
    'not active': {'active': False},
    'activeness as text': {'active': 'true'},
    'no user id': {'sub': None},
    'user id with blank': {'sub': 'a b'},
    'user id of 65': {'sub': 'a' * 65},
    'user id with newline': {'sub': 'ab\n'},
    'no user name': {'username': ''},
    'roles as text': {'roles': 'member'},
    'roles of numbers': {'roles': [1]},
    'very many roles': {'roles': [str(number) for number in range(300)]},
    'no audit id': {'audit_ids': []},
    'audit id that cannot be encoded': {'audit_ids': ['x']},
    'three audit ids': {'audit_ids': ['A' * 22] * 3},
    'times that are none': {'expires_at': 'tomorrow'},
    'time of a number': {'issued_at': 12},
    'issued in the future': {'issued_at': isotime(time.time() + 600)},
    'project without domain': {'project': {'id': 'p', 'name': 'p'}},
    'methods of a delegation': {'methods': ['application_credential']},
    'methods that are none': {'methods': [None]},
    'origin in no cloud that can be named': {'origin': None},
    'origin that is no id': {'origin': 7},
    'origin in a third cloud': {'origin': PartnerCloud('third').cloud_id},
}


@pytest.mark.parametrize('claims', BAD_CLAIMS.values(), ids=BAD_CLAIMS)
def test_a_passport_with_claims_that_cannot_be_is_refused(world, admin, claims):
    assert validate_new(world, admin, **claims).status_code == 404
    assert not users_of(world.west)


def test_a_token_from_a_third_cloud_needs_a_transitive_agreement(world, admin):
    origin = PartnerCloud('third').cloud_id
    world.partner_entry()['agreements'][0]['transitive'] = True
    world.write()
    assert validate_new(world, admin, origin=origin).status_code == 200
    assert validate_new(world, admin, origin=None).status_code == 200


def test_a_token_issued_within_the_skew_ahead_of_us_is_accepted(world, admin):
    world.daemon.sign_passport = lambda partner, token: partner.passport(
        token, world.cloud_id, iat=int(time.time()) + 50
    )
    assert validate_new(world, admin, issued_at=isotime(time.time() + 50)).status_code == 200


def test_methods_unknown_here_become_ones_that_are_known(world, admin):
    response = validate_new(world, admin, methods=['webauthn', 'password', 'password'])
    assert response.json['token']['methods'] == ['password']
    response = validate_new(world, admin, methods=['webauthn'])
    assert response.json['token']['methods'] == ['token']


def test_an_expired_token_is_served_to_services_that_allow_it_and_to_nobody_else(
    world, api, west, admin
):
    token = west.token(west.user(), west.project(), lifetime=-1)
    assert api.validate(token, admin).status_code == 404
    assert api.validate(token, admin, '?allow_expired=1').status_code == 200
    ancient = west.token(west.user(), west.project(), lifetime=-49 * 3600)
    assert api.validate(ancient, admin, '?allow_expired=1').status_code == 404


def test_a_disabled_identity_provider_ends_foreign_and_derived_tokens(world, api, west, admin):
    token = west.token(west.user(), west.project())
    derived = api.rescope(token)
    assert derived.status_code == 201
    derived = derived.headers['X-Subject-Token']
    assert api.validate(token, admin).status_code == 200
    PROVIDERS.federation_api.update_idp('west', {'enabled': False})
    try:
        assert world.daemon.questions('/v1/guests/sweep')[-1][1] == {'domain_id': west.domain_id}
        assert api.validate(token, admin).status_code == 404
        assert api.validate(derived, admin).status_code == 404
        assert api.rescope(derived).status_code in (401, 404)
        assert api.rescope(token).status_code in (401, 404)
    finally:
        PROVIDERS.federation_api.update_idp('west', {'enabled': True})
    assert api.validate(token, admin).status_code == 200
    assert api.validate(derived, admin).status_code == 200


def test_a_deleted_identity_provider_ends_foreign_and_derived_tokens(world, api, west, admin):
    token = west.token(west.user(), west.project())
    derived = api.rescope(token).headers['X-Subject-Token']
    assert api.validate(token, admin).status_code == 200
    PROVIDERS.federation_api.delete_idp('west')
    try:
        assert api.validate(token, admin).status_code == 404
        assert api.validate(derived, admin).status_code == 404
    finally:
        make_identity_provider(west)


def test_a_deleted_protocol_ends_foreign_tokens(world, api, west, admin):
    token = west.token(west.user(), west.project())
    assert api.validate(token, admin).status_code == 200
    PROVIDERS.federation_api.delete_protocol('west', 'alliance')
    try:
        assert api.validate(token, admin).status_code == 404
    finally:
        PROVIDERS.federation_api.create_protocol(
            'west', 'alliance', {'mapping_id': f'alliance-{west.tag}'}
        )


def test_a_disabled_domain_ends_foreign_and_derived_tokens(world, api, west, admin):
    token = west.token(west.user(), west.project())
    derived = api.rescope(token).headers['X-Subject-Token']
    assert api.validate(token, admin).status_code == 200
    PROVIDERS.resource_api.update_domain(west.domain_id, {'enabled': False})
    try:
        assert world.daemon.questions('/v1/guests/sweep')[-1][1] == {'domain_id': west.domain_id}
        assert api.validate(token, admin).status_code == 404
        assert api.validate(derived, admin).status_code == 404
        assert validate_new(world, admin).status_code == 404
    finally:
        PROVIDERS.resource_api.update_domain(west.domain_id, {'enabled': True})


def test_an_identity_provider_of_that_name_that_is_not_ours_is_not_used(world, admin):
    world.partner_entry()['idp_id'] = 'north'
    world.write()
    assert validate_new(world, admin).status_code == 404
    assert not world.daemon.calls
    assert 'identity provider north is not the one of the partner' in world.log()


def test_a_partner_ends_nobody_elses_session(world, api, west, admin):
    victim = world.admin()
    [audit_id] = api.validate(victim, admin).json['token']['audit_ids']
    token = west.token(west.user(), west.project(), audit_ids=[audit_id])
    assert api.request('DELETE', '/v3/auth/tokens', token, subject=token).status_code == 204
    assert api.validate(token, admin).status_code == 404
    assert api.get('/v3/auth/projects', victim).status_code == 200


def test_who_asks_after_a_change_does_not_share_an_answer_from_before(world, west, admin):
    project = west.project()
    agreement = world.partner_entry()['agreements'][0]
    world.partner_entry()['agreements'] = [
        {**agreement, 'project_id': project['id']},
        {**agreement, 'project_id': 'another'},
    ]
    world.write()
    decided, go_on = threading.Event(), threading.Event()
    shadow_user = guest.shadow_user

    def slow_shadow_user(*args):
        decided.set()
        assert go_on.wait(10)
        return shadow_user(*args)

    token = west.token(west.user(), project)
    with mock.patch.object(guest, 'shadow_user', slow_shadow_user):
        early = threading.Thread(target=world.api.validate, args=(token, admin))
        early.start()
        assert decided.wait(10)
        del world.partner_entry()['agreements'][0]
        world.write()
        staleness.flush()
        late = []
        asking = threading.Thread(
            target=lambda: late.append(world.api.validate(token, admin).status_code)
        )
        asking.start()
        asking.join(2)
        go_on.set()
        asking.join(10)
        early.join(10)
    assert late == [404]
