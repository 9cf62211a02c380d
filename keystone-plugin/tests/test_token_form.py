import base64
import json
import time

from partner_cloud import base64url
from partner_cloud import fernet_like
import pytest

from keystone_alliance import form
from keystone_alliance.refusal import Refused

SIGNATURE = base64url(b's' * 64)
CANONICAL_JWS = '.'.join(
    [
        base64url(b'{"alg":"ES256"}'),
        base64url(json.dumps({'iat': time.time()}).encode()),
        SIGNATURE,
    ]
)


def other_spelling(inner):
    """A string that decodes to the same bytes and is not the canonical one."""
    alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_'
    other = inner[:-1] + alphabet[alphabet.index(inner[-1]) ^ 1]
    padding = '=' * (-len(inner) % 4)
    assert base64.urlsafe_b64decode(other + padding) == base64.urlsafe_b64decode(inner + padding)
    return other


def refusal(function, *arguments):
    with pytest.raises(Refused) as caught:
        function(*arguments)
    return caught.value.reason


def test_canonical_fernet_and_jws_tokens_are_split_at_the_tilde():
    inner = fernet_like()
    assert form.split(f'abcdefgh~{inner}') == ('abcdefgh', inner)
    assert form.split(f'abcdefgh~{CANONICAL_JWS}') == ('abcdefgh', CANONICAL_JWS)


# 161 bytes leave two bits of the last character without meaning.
BAD = {
    'empty inner': 'abcdefgh~',
    'only a tilde': '~',
    'no tag': f'~{fernet_like()}',
    'two tags': f'abcdefgh~abcdefgh~{fernet_like()}',
    'short tag': f'abcdefg~{fernet_like()}',
    'upper case tag': f'ABCDEFGH~{fernet_like()}',
    'tag outside base32': f'abcdefg1~{fernet_like()}',
    'padding': f'abcdefgh~{fernet_like()}=',
    'a megabyte': f'abcdefgh~{"A" * 1_000_000}',
    'control character': f'abcdefgh~{fernet_like()}\x00',
    'trailing newline': f'abcdefgh~{fernet_like()}\n',
    'leading blank': f' abcdefgh~{fernet_like()}',
    'blank inside': f'abcdefgh~{fernet_like()[:20]} {fernet_like()[:20]}',
    'non-ascii': f'abcdefgh~{fernet_like()}é',
    'lone surrogate': 'abcdefgh~\udcff',
    'standard base64': f'abcdefgh~{fernet_like()[:-4]}+/+/',
    'impossible length': f'abcdefgh~{fernet_like()}A' + 'A' * ((1 - len(fernet_like()) - 1) % 4),
    'other spelling': f'abcdefgh~{other_spelling(base64url(b"x" * 160))}',
    'JWS of two segments': 'abcdefgh~' + CANONICAL_JWS.rpartition('.')[0],
    'JWS of four segments': f'abcdefgh~{CANONICAL_JWS}.AAAA',
    'JWS in another spelling': 'abcdefgh~'
    + CANONICAL_JWS.replace(SIGNATURE, other_spelling(SIGNATURE)),
}


@pytest.mark.parametrize('token', BAD.values(), ids=BAD)
def test_a_string_that_is_no_canonical_token_is_refused(token):
    assert refusal(form.split, token) == 'malformed'


def test_times_that_cannot_be_are_refused_before_anybody_is_asked():
    now = time.time()
    form.check_plausible(fernet_like(now + 50), now, 60)
    form.check_plausible(fernet_like(now - 13 * 24 * 3600), now, 60)
    assert refusal(form.check_plausible, fernet_like(now + 90), now, 60) == 'not_yet_valid'
    assert refusal(form.check_plausible, fernet_like(now - 15 * 24 * 3600), now, 60) == 'expired'


@pytest.mark.parametrize(
    'raw', [b'\x81' + b'x' * 152, b'\x80' + b'x' * 20, b'\x80' + b'x' * 153], ids=str
)
def test_bytes_that_are_no_fernet_frame_are_refused(raw):
    assert refusal(form.check_plausible, base64url(raw), time.time(), 60) == 'malformed'


@pytest.mark.parametrize(
    ('header', 'payload'),
    [
        (b'{"alg":"none"}', b'{"iat":1}'),
        (b'{"alg":"ES256"}', b'{"iat":"now"}'),
        (b'{"alg":"ES256"}', b'{"iat":true}'),
        (b'[]', b'{}'),
        (b'\xff', b'\xff'),
        (b'[' * 3000, b'{}'),
    ],
)
def test_segments_that_are_no_jws_of_keystone_are_refused(header, payload):
    inner = '.'.join(base64url(part) for part in (header, payload, b's' * 64))
    assert refusal(form.check_plausible, inner, time.time(), 60) == 'malformed'


@pytest.mark.parametrize('token', BAD.values(), ids=BAD)
def test_keystone_answers_404_and_the_daemon_hears_nothing(world, api, west, admin, token):
    token = token.replace('abcdefgh', west.tag)
    assert world.api.rescope(token).status_code in (400, 401, 404, 413)
    # keystonemiddleware takes blanks around a token for none of it.
    if token == token.strip() and token.isprintable() and token.isascii() and len(token) < 9000:
        assert api.validate(token, admin).status_code == 404
        assert api.get('/v3/auth/projects', token).status_code == 401
    assert not world.daemon.calls


def test_a_tag_that_nobody_has_is_refused_without_asking(world, api, admin):
    assert api.validate(f'abcdefgh~{fernet_like()}', admin).status_code == 404
    assert not world.daemon.calls
    assert 'Refused (unknown_partner): token abcdefgh~#' in world.log()


def test_a_token_whose_tag_was_stripped_is_refused_without_asking(world, api, west, admin):
    token = west.token(west.user(), west.project())
    assert api.validate(token.partition('~')[2], admin).status_code == 404
    assert not world.daemon.calls


def test_the_own_tag_before_rubbish_is_refused_without_asking(world, api, admin):
    for rubbish in (fernet_like(), 'AAAA', 'A'):
        assert api.validate(f'{world.tag}~{rubbish}', admin).status_code == 404
    assert not world.daemon.calls


def test_a_second_spelling_of_an_own_token_is_refused(world, api, admin):
    token = world.admin()
    assert api.validate(token, admin).status_code == 200
    assert api.validate(token + '=', admin).status_code == 404
    assert api.validate(f'{world.tag}~{token}', admin).status_code == 404
    inner = token.partition('~')[2]
    if len(inner) % 4:
        other = f'{world.tag}~{other_spelling(inner)}'
        assert api.validate(other, admin).status_code == 404


def test_a_token_from_the_future_or_the_distant_past_is_not_asked_about(world, api, west, admin):
    for at in (time.time() + 120, time.time() - 15 * 24 * 3600):
        token = west.token(west.user(), west.project(), inner=fernet_like(at))
        assert api.validate(token, admin).status_code == 404
    assert not world.daemon.calls


def test_a_foreign_jws_token_is_asked_about(world, api, west, admin):
    token = west.token(west.user(), west.project(), inner=CANONICAL_JWS)
    assert api.validate(token, admin).status_code == 200
