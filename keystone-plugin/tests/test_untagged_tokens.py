import json
import re

from keystone import exception
from partner_cloud import LIKE
from partner_cloud import fernet_like
from partner_cloud import pki_like
from partner_cloud import pkiz_like
from partner_cloud import uuid_like
import pytest

from keystone_alliance import form
from keystone_alliance import ids
from keystone_alliance import snapshot
from keystone_alliance import staleness
from keystone_alliance.refusal import Refused

ALL = sorted(LIKE)


@pytest.fixture
def inner(world, monkeypatch):
    """The inner provider's eyes: the tokens that it is shown."""
    shown = []
    validate = world.provider._inner.validate_token

    def note(token):
        shown.append(token)
        return validate(token)

    monkeypatch.setattr(world.provider._inner, 'validate_token', note)
    return shown


def ask(world, token):
    """Have the plugin itself validate a token; True: it is valid."""
    try:
        world.provider.validate_token(token)
    except exception.TokenNotFound:
        return False
    return True


def asked_about(world):
    return [body['token'] for _path, body, _id in world.daemon.questions('/v1/tokens/validate')]


@pytest.mark.parametrize('token_format', ALL)
def test_an_untagged_token_goes_to_the_partner_that_claims_its_format(
    world, api, old, admin, inner, token_format
):
    world.configure(accept_untagged=False)
    world.claim(token_format)
    token = old.token(old.user(), old.project(), inner=LIKE[token_format]())
    response = api.validate(token, admin)
    assert response.status_code == 200, response.data
    assert response.json['token']['user']['domain']['id'] == old.domain_id
    assert {role['name'] for role in response.json['token']['roles']} == {'member', 'reader'}
    assert asked_about(world) == [token]
    # Except whether it is one of this cloud's whose tag is missing.
    assert (token in inner) == (token_format == 'fernet')


@pytest.mark.parametrize('token_format', ['uuid', 'pki', 'pkiz'])
def test_a_plain_keystones_token_may_first_be_used_as_x_auth_token(world, api, old, token_format):
    project = old.project()
    token = old.token(old.user(), project, inner=LIKE[token_format]())
    response = api.get('/v3/auth/projects', token)
    assert response.status_code == 200
    assert [found['id'] for found in response.json['projects']] == [old.host_project_id(project)]


def test_warm_use_of_an_untagged_token_asks_nobody(world, api, old, admin):
    token = old.token(old.user(), old.project(), inner=uuid_like())
    for _ in range(3):
        assert api.validate(token, admin).status_code == 200
    assert len(world.daemon.calls) == 1


@pytest.mark.parametrize('claimed', ALL)
def test_an_untagged_token_goes_to_nobody_but_who_claims_its_format(world, inner, claimed):
    world.configure(inner_provider='jws' if claimed == 'fernet' else 'fernet')
    world.claim(claimed)
    for token_format in ALL:
        token = LIKE[token_format]()
        assert not ask(world, token)
        assert (token in asked_about(world)) == (token_format == claimed)
        assert (token in inner) == (token_format != claimed)


def test_a_format_nobody_knows_is_left_to_the_inner_provider(world, old, inner):
    for text in ('hello', 'AAAA', uuid_like().upper(), uuid_like() + '0', ''):
        assert not ask(world, text)
        assert inner[-1] == text
    assert not world.daemon.calls


@pytest.mark.parametrize('content', ['no claim', 'no file', 'rubbish'])
@pytest.mark.parametrize('token_format', ALL)
def test_where_no_partner_claims_a_format_an_untagged_token_is_not_even_looked_at(
    world, inner, monkeypatch, content, token_format
):
    if content == 'no file':
        (world.folder / 'keystone.json').unlink()
    if content == 'rubbish':
        (world.folder / 'keystone.json').write_text('{"version": 1}')

    def fail(_text):
        raise AssertionError

    monkeypatch.setattr(form, 'looks_like', fail)
    token = LIKE[token_format]()
    assert not ask(world, token)
    assert inner == [token]
    assert not world.daemon.calls


def test_own_tokens_answer_alike_with_and_without_claims(world, api, admin):
    world.configure(tag_tokens=False)
    token = world.admin()
    plain = api.validate(token, admin).json
    staleness.flush()
    world.claim(*ALL)
    assert api.validate(token, admin).json == plain
    assert api.get('/v3/auth/projects', token).status_code == 200
    assert not world.daemon.calls


@pytest.mark.parametrize('provider', ALL)
def test_the_format_of_the_inner_provider_stays_this_clouds_while_untagged_is_accepted(
    world, old, inner, provider
):
    world.configure(inner_provider=provider)
    world.claim(*ALL)
    for token_format in ALL:
        token = LIKE[token_format]()
        ask(world, token)
        assert (token in inner) == (token_format == provider)
        assert (token in asked_about(world)) == (token_format != provider)
    world.configure(inner_provider=provider, accept_untagged=False)
    token = LIKE[provider]()
    ask(world, token)
    # It could be one of this cloud's whose tag is missing; it is not.
    assert token in inner
    assert token in asked_about(world)


def test_a_provider_of_another_name_is_taken_to_issue_every_format(world, old, inner):
    world.configure(inner_provider='homegrown')
    world.claim(*ALL)
    tokens = [LIKE[token_format]() for token_format in ALL]
    for token in tokens:
        ask(world, token)
    assert inner == tokens
    assert not world.daemon.calls


def test_a_claim_that_is_not_honoured_is_told_once_for_each_snapshot(world, old):
    def warnings():
        return re.findall(r'claimed for partners \((.*)\)\. They', world.log())[before:]

    before = 0
    before = len(warnings())
    world.claim('fernet', 'pki')
    for token in (fernet_like(), fernet_like(), pki_like()):
        ask(world, token)
    assert warnings() == ['fernet for old']
    assert '[alliance] accept_untagged = false' in world.log()
    world.write()
    for _ in range(2):
        ask(world, fernet_like())
    assert warnings() == ['fernet for old'] * 2
    world.configure(accept_untagged=False)
    world.write()
    ask(world, fernet_like())
    assert warnings() == ['fernet for old'] * 2


def test_without_accept_untagged_what_nobody_claims_is_refused(world, old, inner):
    world.configure(accept_untagged=False)
    assert not ask(world, fernet_like())
    assert not inner
    assert not world.daemon.calls


@pytest.mark.parametrize('token_format', ['uuid', 'pki', 'pkiz'])
def test_a_plain_keystones_token_with_a_tag_is_a_second_spelling_and_refused(
    world, api, old, admin, token_format
):
    token = old.token(old.user(), old.project(), inner=LIKE[token_format]())
    tagged = f'{old.tag}~{token}'
    old.issued[tagged] = {**old.issued[token], 'token_sha256': ids.token_sha256(tagged)}
    assert api.validate(token, admin).status_code == 200
    world.daemon.calls.clear()
    assert api.validate(tagged, admin).status_code == 404
    assert api.get('/v3/auth/projects', tagged).status_code == 401
    assert not world.daemon.calls
    assert f'Refused (malformed): token {old.tag}~#' in world.log()


@pytest.mark.parametrize('provider', ['fernet', 'homegrown'])
def test_a_token_of_this_cloud_without_its_tag_is_shown_to_no_partner(
    world, api, old, admin, provider
):
    world.configure(accept_untagged=False, inner_provider=provider)
    world.claim('fernet')
    own = admin.partition('~')[2]
    assert api.validate(own, admin).status_code == 404
    assert asked_about(world) == []
    theirs = old.token(old.user(), old.project(), inner=fernet_like())
    assert api.validate(theirs, admin).status_code == 200
    assert asked_about(world) == [theirs]


def test_a_token_of_west_without_its_tag_is_not_accepted_as_wests(world, api, west, old, admin):
    token = west.token(west.user(), west.project(), inner=uuid_like())
    stripped = token.partition('~')[2]
    assert api.validate(stripped, admin).status_code == 404
    assert api.validate(f'{old.tag}~{stripped}', admin).status_code == 404


def test_a_claim_that_ended_since_a_token_was_routed_does_not_let_it_in(world, old):
    token = old.token(old.user(), old.project(), inner=uuid_like())
    world.claim('pki')
    with pytest.raises(Refused) as caught:
        world.provider._admission.admit(token, old.tag, token)
    assert caught.value.reason == 'malformed'
    assert not world.daemon.calls


def spellings(token):
    return {
        'padding added': token + '=',
        'another four': token + '====',
        'newline': token + '\n',
        'blank inside': token[:9] + ' ' + token[9:],
        'non-ascii': token[:9] + 'é' + token[9:],
        'surrogate': token[:9] + '\udcff' + token[9:],
        'cut off': token[:-1],
    }


@pytest.mark.parametrize('like', [pki_like, pkiz_like])
@pytest.mark.parametrize('what', spellings('0123456789'))
def test_a_second_spelling_of_an_untagged_token_is_refused_without_asking(world, old, like, what):
    token = spellings(like())[what]
    assert not ask(world, token)
    assert not world.daemon.calls
    last = world.log().rpartition('Refused (malformed): token ')[2]
    assert last.startswith(ids.redacted(token) + ' of partner old')


def test_a_long_pki_token_is_refused_and_the_log_says_what_helps(world, old):
    token = pki_like(6150)
    assert len(token) > form.MAX_LENGTH
    assert not ask(world, token)
    assert not world.daemon.calls
    line = world.log().rpartition('Refused (malformed): token ')[2]
    assert line.startswith(f'{ids.redacted(token)} of partner old: longer than 8190 characters')
    assert 'PKIZ' in line


@pytest.mark.parametrize('token', ['MII' * 1_000_000, 'PKIZ_' + '=' * 1_000_000, 'gA' * 1_000_000])
def test_megabytes_reach_nobody(world, old, inner, token):
    world.configure(accept_untagged=False)
    world.claim(*ALL)
    assert not ask(world, token)
    assert not inner
    assert not world.daemon.calls


def test_an_untagged_token_is_logged_by_format_and_hash_alone(world, api, old, admin):
    tokens = [LIKE[token_format]() for token_format in ('uuid', 'pki', 'pkiz')]
    for token in tokens:
        api.validate(token, admin)
        api.get('/v3/auth/projects', token)
    log = world.log()
    for token, token_format in zip(tokens, ('uuid', 'pki', 'pkiz')):
        digest = ids.token_sha256(token)[:8]
        assert f'Refused (not_found): token {token_format}#{digest} of partner old' in log
        assert token not in log


@pytest.mark.parametrize(
    ('change', 'reason'),
    [
        ({'status': 'suspended'}, 'partner_suspended'),
        ({'trust_till': 5}, 'partner_expired'),
        ({'agreements': []}, 'no_agreement'),
    ],
    ids=str,
)
def test_a_plain_keystone_that_is_not_trusted_is_refused_without_asking(world, old, change, reason):
    world.claim('uuid', **change)
    token = old.token(old.user(), old.project(), inner=uuid_like())
    assert not ask(world, token)
    assert not world.daemon.calls
    assert f'Refused ({reason}): token {ids.redacted(token)} of partner old' in world.log()


def document(world, **changes):
    world.claim('uuid', **changes)
    return json.loads((world.folder / 'keystone.json').read_text())


def test_what_an_earlier_daemon_does_not_write_has_a_default(world, west):
    del world.snapshot['cloud']['keys']
    parsed = snapshot.Snapshot.parse(document(world))
    assert parsed.keys == ()
    assert parsed.untagged == {'uuid': world.old.tag}
    partner = parsed.partners[west.tag]
    assert (partner.kind, partner.attested, partner.untagged) == ('alliance', False, frozenset())


UNUSABLE = {
    'unknown kind': ({'kind': 'nova'}, 'unknown kind'),
    'kind that is no text': ({'kind': ['keystone']}, 'unknown kind'),
    'plain Keystone as host': ({'role': 'host'}, 'not a guest'),
    'plain Keystone as both': ({'role': 'both'}, 'not a guest'),
    'unknown format': ({'untagged': ['uuid', 'saml']}, 'saml'),
    'format that is no text': ({'untagged': [1]}, 'untagged format'),
    'formats that are no list': ({'untagged': 'uuid'}, 'untagged formats'),
    'formats that are null': ({'untagged': None}, 'untagged formats'),
    'attested as text': ({'attested': 'yes'}, 'attested'),
    'claim for a partner that tags': ({'kind': 'alliance'}, 'which tags its own'),
    'a time beyond all numbers': ({'trust_till': 10**400}, 'too large'),
}


@pytest.mark.parametrize(('change', 'told'), UNUSABLE.values(), ids=UNUSABLE)
def test_a_snapshot_with_a_partner_that_cannot_be_is_not_used(world, change, told):
    with pytest.raises(snapshot.Unusable, match=told):
        snapshot.Snapshot.parse(document(world, **change))
    assert not world.provider._source.current().partners
    token = world.admin()
    assert ask(world, token)


@pytest.mark.parametrize('keys', [7, 'key', [7]], ids=str)
def test_a_snapshot_with_keys_of_this_cloud_that_are_none_is_not_used(world, keys):
    world.snapshot['cloud']['keys'] = keys
    with pytest.raises(snapshot.Unusable, match='keys of this cloud'):
        snapshot.Snapshot.parse(document(world))


def test_a_snapshot_in_which_two_partners_claim_one_format_is_not_used(world, api, old, inner):
    token = old.token(old.user(), old.project(), inner=uuid_like())
    assert ask(world, token)
    other = world.snapshot['partners'][world.north.tag]
    other.update(kind='keystone', role='guest', untagged=['pkiz', 'uuid'])
    world.write()
    assert not ask(world, token)
    assert inner == [token]
    with pytest.raises(snapshot.Unusable, match='pkiz tokens are claimed for both') as caught:
        snapshot.Snapshot.parse(json.loads((world.folder / 'keystone.json').read_text()))
    assert 'north' in str(caught.value)
    assert 'old' in str(caught.value)
    other['untagged'] = ['jws']
    world.write()
    assert ask(world, token)
