import time

import fake_daemon
import jwt
from keystone_host import PROVIDERS
from partner_cloud import PartnerCloud
from partner_cloud import base64url
from partner_cloud import new_key
from partner_cloud import pki_like
from partner_cloud import uuid_like
from partner_cloud import word
import pytest

from keystone_alliance import ids
from keystone_alliance import staleness
from keystone_alliance.passport import Answer
from keystone_alliance.refusal import Refused

TOKEN = 'alliance-token-attestation+jwt'
GRANTS = 'alliance-grants-attestation+jwt'


def token_of(partner, **changes):
    inner = uuid_like() if partner.kind == 'keystone' else pki_like()
    return partner.token(partner.user(), partner.project(), inner=inner, **changes)


@pytest.fixture
def attested_west(world, west):
    """West as a partner whose signed tokens our daemon verifies on the spot."""
    world.partner_entry()['attested'] = True
    world.write()
    world.daemon.attests = True
    return west


def is_known(partner, token):
    """Whether a shadow user was made for it."""
    return any(
        user['unique_id'] == partner.issued[token]['sub']
        for user in PROVIDERS.shadow_users_api.list_federated_users_info()
    )


def test_our_daemons_word_lets_a_plain_keystones_user_in(world, api, old, admin):
    token = token_of(old)
    body = api.validate(token, admin).json['token']
    assert body['user']['domain'] == {'id': old.domain_id, 'name': 'old'}
    [audit_id] = old.issued[token]['audit_ids']
    assert body['audit_ids'] == [ids.audit_id(old.cloud_id, audit_id)]
    assert body['expires_at'] == old.issued[token]['expires_at']


def test_our_daemons_word_counts_for_a_partner_that_signs_itself_where_the_snapshot_says_so(
    world, api, attested_west, admin
):
    token = token_of(attested_west)
    assert api.validate(token, admin).status_code == 200
    world.daemon.attests = False
    assert api.validate(token_of(attested_west), admin).status_code == 200


def test_our_daemons_word_counts_for_nobody_else(world, api, old, west, admin):
    world.claim('uuid', attested=False)
    token = token_of(old)
    assert api.validate(token, admin).status_code == 404
    assert not is_known(old, token)
    world.daemon.attests = True
    token = token_of(west)
    assert api.validate(token, admin).status_code == 404
    assert not is_known(west, token)
    world.partner_entry()['attested'] = True
    world.write()
    assert api.validate(token, admin).status_code == 200


BAD = {
    'signed by the partner': lambda daemon, partner, token: partner.sign(
        claims(daemon, partner, token), TOKEN
    ),
    'signed and issued by the partner': lambda daemon, partner, token: partner.sign(
        claims(daemon, partner, token, iss=partner.cloud_id), TOKEN
    ),
    'signed by a stranger under our key id': lambda daemon, partner, token: daemon.sign(
        claims(daemon, partner, token), TOKEN, key=new_key()[0]
    ),
    'unknown kid': lambda daemon, partner, token: daemon.sign(
        claims(daemon, partner, token), TOKEN, header={'kid': 'other'}
    ),
    'issued by the partner': lambda daemon, partner, token: daemon.attest_token(
        partner, token, iss=partner.cloud_id
    ),
    'issued by nobody': lambda daemon, partner, token: daemon.attest_token(partner, token, iss=''),
    'for the partner': lambda daemon, partner, token: daemon.attest_token(
        partner, token, aud=partner.cloud_id
    ),
    'for us and the partner': lambda daemon, partner, token: daemon.attest_token(
        partner, token, aud=[daemon.cloud_id, partner.cloud_id]
    ),
    'about another partner': lambda daemon, partner, token: daemon.attest_token(
        partner, token, partner=PartnerCloud('third').cloud_id
    ),
    'about several partners': lambda daemon, partner, token: daemon.attest_token(
        partner, token, partner=[partner.cloud_id]
    ),
    'about no partner': lambda daemon, partner, token: daemon.attest_token(
        partner, token, partner=None
    ),
    'about this cloud': lambda daemon, partner, token: daemon.attest_token(
        partner, token, partner=daemon.cloud_id
    ),
    'about another token': lambda daemon, partner, token: daemon.attest_token(
        partner, token_of(partner)
    ),
    'about the token in another spelling': lambda daemon, partner, token: daemon.attest_token(
        partner,
        token,
        token_introspection={
            **partner.issued[token],
            'token_sha256': ids.token_sha256(other_tagging(partner, token)),
        },
    ),
    'too old': lambda daemon, partner, token: daemon.attest_token(
        partner, token, iat=int(time.time()) - 125
    ),
    'from the future': lambda daemon, partner, token: daemon.attest_token(
        partner, token, iat=int(time.time()) + 65
    ),
    'at no time': lambda daemon, partner, token: daemon.attest_token(partner, token, iat=None),
    'at no number': lambda daemon, partner, token: daemon.attest_token(
        partner, token, iat=float('nan')
    ),
    'at a truth': lambda daemon, partner, token: daemon.attest_token(partner, token, iat=True),
    'a passport by name': lambda daemon, partner, token: daemon.sign(
        claims(daemon, partner, token), 'token-introspection+jwt'
    ),
    'attested grants by name': lambda daemon, partner, token: daemon.sign(
        claims(daemon, partner, token), GRANTS
    ),
    'a name in capitals': lambda daemon, partner, token: daemon.sign(
        claims(daemon, partner, token), TOKEN.upper()
    ),
    'a name with its prefix': lambda daemon, partner, token: daemon.sign(
        claims(daemon, partner, token), f'application/{TOKEN}'
    ),
    'without a name': lambda daemon, partner, token: daemon.sign(
        claims(daemon, partner, token), None
    ),
    'critical header': lambda daemon, partner, token: daemon.sign(
        claims(daemon, partner, token), TOKEN, header={'crit': ['x'], 'x': 1}
    ),
    'unsigned': lambda daemon, partner, token: unsigned(daemon, partner, token),
    "the partner's passport": lambda daemon, partner, token: partner.passport(
        token, daemon.cloud_id
    ),
    'no JWS': lambda _daemon, _partner, _token: 'hello',
    'a number': lambda _daemon, _partner, _token: 7,
    'nothing': lambda _daemon, _partner, _token: None,
}


def claims(daemon, partner, token, **changes):
    return {
        **word(daemon.cloud_id, daemon.cloud_id),
        'partner': partner.cloud_id,
        'token_introspection': partner.issued[token],
        **changes,
    }


def other_tagging(partner, token):
    return token.partition('~')[2] or f'{partner.tag}~{token}'


def unsigned(daemon, partner, token):
    _header, payload, _signature = daemon.attest_token(partner, token).split('.')
    header = f'{{"alg":"none","typ":"{TOKEN}","kid":"{daemon.jwk["kid"]}"}}'
    return f'{base64url(header.encode())}.{payload}.'


@pytest.mark.parametrize('whose', ['old', 'west'])
@pytest.mark.parametrize('forge', BAD.values(), ids=BAD)
def test_an_attestation_that_is_not_our_daemons_word_about_this_token_is_refused(
    world, api, old, attested_west, admin, forge, whose
):
    partner = {'old': old, 'west': attested_west}[whose]
    # Even where the partner has keys, they are not for this.
    world.partner_entry(partner)['keys'] = [partner.jwk]
    world.write()
    token = token_of(partner)
    world.daemon.sign_token_attestation = lambda _partner, shown: forge(
        world.daemon, partner, shown
    )
    assert api.validate(token, admin).status_code == 404
    assert not is_known(partner, token)
    world.daemon.sign_token_attestation = world.daemon.attest_token
    assert api.validate(token, admin).status_code == 200


def test_any_one_changed_character_spoils_an_attestation(world, old):
    token = token_of(old)
    good = world.daemon.attest_token(old, token)
    current = world.provider._source.current()
    partner = current.partners[old.tag]
    verify = world.provider._admission._verifier.passport

    def is_accepted(jws):
        try:
            verify(Answer(None, jws), partner, current, token, time.time())
        except Refused:
            return False
        return True

    assert is_accepted(good)
    # The last character of a part has bits without meaning, which PyJWT leaves open.
    ends = {at - 1 for at, character in enumerate(good + '.') if character == '.'}
    for at in set(range(len(good))) - ends:
        other = 'B' if good[at] != 'B' else 'C'
        assert not is_accepted(good[:at] + other + good[at + 1 :]), at
    for end in range(len(good)):
        assert not is_accepted(good[:end]), end


def test_an_attestation_is_no_passport(world, api, attested_west, admin):
    world.daemon.attests = False
    world.daemon.sign_passport = world.daemon.attest_token
    assert api.validate(token_of(attested_west), admin).status_code == 404
    # Nor with our daemon's key among the partner's.
    world.partner_entry()['keys'].append(world.daemon.jwk)
    world.write()
    assert api.validate(token_of(attested_west), admin).status_code == 404
    del world.partner_entry()['keys'][-1]


def test_a_passport_that_we_signed_for_another_cloud_attests_nothing(world, api, old, admin):
    token = token_of(old)
    world.daemon.sign_token_attestation = lambda partner, shown: world.daemon.sign(
        {
            **word(world.cloud_id, world.north.cloud_id),
            'token_introspection': partner.issued[shown],
        },
        'token-introspection+jwt',
    )
    assert api.validate(token, admin).status_code == 404


@pytest.mark.parametrize('also', [False, True], ids=['instead', 'beside the attestation'])
def test_a_plain_keystone_sends_no_passport(world, api, old, admin, also):
    world.claim('uuid', keys=[old.jwk])
    token = token_of(old)
    world.daemon.also = {'passport': old.passport(token, world.cloud_id)}
    if not also:
        world.daemon.also['attestation'] = None
    assert api.validate(token, admin).status_code == 404
    assert 'a plain Keystone signs no statements' in world.log()
    assert not is_known(old, token)


def test_our_daemons_key_is_the_one_in_the_snapshot_and_may_change(world, api, old, admin):
    former = world.daemon.private, world.daemon.jwk
    world.daemon.private, world.daemon.jwk, _ = new_key()
    try:
        token = token_of(old)
        assert api.validate(token, admin).status_code == 404
        world.snapshot['cloud']['keys'] = [former[1], world.daemon.jwk]
        world.write()
        assert api.validate(token, admin).status_code == 200
        del world.snapshot['cloud']['keys'][1]
        world.write()
        assert api.validate(token_of(old), admin).status_code == 404
        del world.snapshot['cloud']['keys']
        world.write()
        assert api.validate(token_of(old), admin).status_code == 404
    finally:
        world.daemon.private, world.daemon.jwk = former


@pytest.mark.parametrize(
    'claims',
    [
        {'active': False},
        {'sub': 'a b'},
        {'roles': 'member'},
        {'audit_ids': []},
        {'methods': ['trust']},
        {'origin': PartnerCloud('third').cloud_id},
        {'roles': ['admin']},
        {'roles': ['auditor']},
    ],
    ids=str,
)
def test_what_is_attested_is_judged_as_what_a_partner_says(world, api, old, admin, claims):
    token = token_of(old, **claims)
    assert api.validate(token, admin).status_code == 404


@pytest.fixture
def guest(world, old):
    """A user of a plain Keystone with a token here."""

    class Guest:
        user, project = old.user(), old.project()
        token = old.token(user, project, inner=uuid_like())
        host_project = old.host_project_id(project)
        scope = {'project': {'id': host_project}}

    Guest.body = world.api.validate(Guest.token, world.admin()).json['token']
    return Guest


def test_a_plain_keystones_token_buys_a_native_one_on_our_daemons_word(
    world, api, old, guest, admin
):
    response = api.rescope(guest.token, guest.scope)
    assert response.status_code == 201, response.data
    body = response.json['token']
    assert body['expires_at'] == guest.body['expires_at']
    assert body['audit_ids'][1] == guest.body['audit_ids'][0]
    derived = response.headers['X-Subject-Token']
    path, question, _ = world.daemon.calls[-1]
    assert path == '/v1/guests/confirm'
    assert question['cloud_id'] == old.cloud_id
    assert question['user_id'] == guest.user['id']
    assert question['project_id'] == guest.project['id']
    old.roles[(guest.user['id'], guest.project['id'])] = ['reader']
    staleness.flush()  # what max_staleness does later
    body = api.validate(derived, admin).json['token']
    assert {role['name'] for role in body['roles']} == {'reader'}
    world.daemon.fault = fake_daemon.indeterminate
    staleness.flush()
    assert api.validate(derived, admin).status_code == 503
    world.daemon.fault = None
    del old.roles[(guest.user['id'], guest.project['id'])]
    staleness.flush()
    assert api.validate(derived, admin).status_code == 404


BAD_GRANTS = {
    'about another partner': lambda daemon, old, body: daemon.attest_grants(
        old, body, partner=daemon.cloud_id
    ),
    'about another user': lambda daemon, old, body: daemon.attest_grants(
        old, body, grants={**granted(old, body), 'user': old.user()}
    ),
    'about another project': lambda daemon, old, body: daemon.attest_grants(
        old, body, grants={**granted(old, body), 'project': old.project()}
    ),
    'about no project': lambda daemon, old, body: daemon.attest_grants(
        old, body, grants={**granted(old, body), 'project': None}
    ),
    'without grants': lambda daemon, old, body: daemon.attest_grants(old, body, grants=None),
    'for another cloud': lambda daemon, old, body: daemon.attest_grants(
        old, body, aud=old.cloud_id
    ),
    'too old': lambda daemon, old, body: daemon.attest_grants(old, body, iat=1),
    'an attested token by name': lambda daemon, old, body: daemon.sign(
        jwt.decode(daemon.attest_grants(old, body), options={'verify_signature': False}), TOKEN
    ),
    'a grant statement by name': lambda daemon, old, body: daemon.sign(
        jwt.decode(daemon.attest_grants(old, body), options={'verify_signature': False}),
        'alliance-grants+jwt',
    ),
    'signed by the partner': lambda daemon, old, body: old.sign(
        jwt.decode(daemon.attest_grants(old, body), options={'verify_signature': False}), GRANTS
    ),
    'nothing': lambda _daemon, _old, _body: None,
}


def granted(partner, body):
    return partner.grants(body['user_id'], body['project_id'])


@pytest.mark.parametrize('forge', BAD_GRANTS.values(), ids=BAD_GRANTS)
def test_attested_grants_about_something_else_buy_nothing(world, api, old, guest, forge):
    world.daemon.sign_grants_attestation = lambda _partner, body: forge(world.daemon, old, body)
    assert api.rescope(guest.token, guest.scope).status_code == 401
    world.daemon.sign_grants_attestation = world.daemon.attest_grants
    assert api.rescope(guest.token, guest.scope).status_code == 201


def test_a_plain_keystone_sends_no_grant_statement(world, api, old, guest):
    world.claim('uuid', keys=[old.jwk])
    world.daemon.also = {
        'attestation': None,
        'statement': old.statement(guest.user['id'], guest.project['id'], world.cloud_id),
    }
    assert api.rescope(guest.token, guest.scope).status_code == 401
    assert 'a plain Keystone signs no statements' in world.log()


def test_attested_grants_count_where_the_snapshot_says_so_and_nowhere_else(world, api, west, admin):
    user, project = west.user(), west.project()
    token = west.token(user, project)
    scope = {'project': {'id': west.host_project_id(project)}}
    assert api.validate(token, admin).status_code == 200
    world.daemon.attests = True
    assert api.rescope(token, scope).status_code == 401
    world.partner_entry()['attested'] = True
    world.write()
    assert api.rescope(token, scope).status_code == 201
