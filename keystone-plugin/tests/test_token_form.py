import base64
import contextlib
import json
import os
import re
import time
from unittest import mock
import uuid
import zlib

from keystone import exception
from keystoneclient.common import cms
from partner_cloud import LIKE
from partner_cloud import base64url
from partner_cloud import fernet_like
from partner_cloud import jws_like
from partner_cloud import pki_like
import pytest

from keystone_alliance import form
from keystone_alliance import ids
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
    body = inner.rstrip('=')
    flipped = body[:-1] + alphabet[alphabet.index(body[-1]) ^ 1]
    quantum = len(body) // 4 * 4
    padding = '=' * (-len(body) % 4)
    assert base64.urlsafe_b64decode(flipped[quantum:] + padding) == base64.urlsafe_b64decode(
        body[quantum:] + padding
    )
    return flipped + inner[len(body) :]


def refusal(function, *arguments):
    with pytest.raises(Refused) as caught:
        function(*arguments)
    return caught.value.reason


def read(token):
    """What the plugin makes of a partner's tagged token."""
    tag, inner = form.split(token)
    return tag, form.recognise(inner)


@pytest.mark.parametrize('token_format', LIKE)
def test_a_canonical_token_is_recognised_with_and_without_its_tag(token_format):
    for _ in range(50):
        inner = LIKE[token_format]()
        assert form.looks_like(inner) == token_format
        tag, recognised = read(f'abcdefgh~{inner}')
        assert (tag, recognised.format) == ('abcdefgh', token_format)
        form.check_plausible(recognised, time.time(), 60)


@pytest.mark.parametrize('size', range(600, 606))
def test_each_length_of_padding_is_recognised(size):
    assert form.recognise(pki_like(size)).format == 'pki'
    compressed = zlib.compress(os.urandom(size))
    inner = 'PKIZ_' + base64.urlsafe_b64encode(compressed).decode()
    assert form.recognise(inner).format == 'pkiz'


def test_what_keystoneclient_makes_of_signed_data_is_recognised():
    der = base64.b64encode(b'\x30\x82\x02\x55' + os.urandom(596)).decode()
    lines = [der[at : at + 64] for at in range(0, len(der), 64)]
    pem = '\n'.join(['-----BEGIN CMS-----', *lines, '-----END CMS-----', ''])
    assert cms.is_asn1_token(cms.cms_to_token(pem))
    assert form.recognise(cms.cms_to_token(pem)).format == 'pki'
    with mock.patch.object(cms, 'cms_sign_data', return_value=pem.encode()):
        pkiz = cms.pkiz_sign('text', 'certificate', 'key')
    assert cms.is_pkiz(pkiz)
    assert form.recognise(pkiz).format == 'pkiz'


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
    'JWS with an empty segment': f'abcdefgh~{CANONICAL_JWS.replace(SIGNATURE, "")}',
    'JWS in another spelling': 'abcdefgh~'
    + CANONICAL_JWS.replace(SIGNATURE, other_spelling(SIGNATURE)),
    'upper case UUID': f'abcdefgh~{"0123456789ABCDEF" * 2}',
    'UUID with dashes': f'abcdefgh~{uuid.uuid4()}',
    'short UUID': f'abcdefgh~{"0" * 31}',
    'long UUID': f'abcdefgh~{"0" * 33}',
    'UUID in wide digits': 'abcdefgh~' + '\uff11' * 32,
}


def spellings(inner, padding, mine, others):
    """Strings from which a careless decoder makes the same bytes as from a padded ``inner``."""
    body = inner.rstrip('=')
    yield 'padding stripped', body
    yield 'padding stripped by one', inner[:-1]
    yield 'padding added', inner + '='
    yield 'a whole quantum of padding added', inner + '===='
    yield 'padding escaped', inner.replace('=', '%3D')
    yield 'padding inside', f'{body[:8]}={body[8:]}{"=" * (padding - 1)}'
    yield 'data behind the padding', f'{inner}AAAA'
    yield 'meaningless bits set', other_spelling(inner)
    yield 'trailing newline', inner + '\n'
    yield 'lines', '\n'.join(inner[at : at + 16] for at in range(0, len(inner), 16))
    yield 'leading blank', ' ' + inner
    yield 'blank inside', f'{inner[:9]} {inner[9:]}'
    yield 'NUL', f'{inner[:9]}\x00{inner[9:]}'
    yield 'non-ascii', f'{inner[:9]}\u0130{inner[9:]}'
    yield 'lone surrogate', f'{inner[:9]}\udcff{inner[9:]}'
    for here, there in zip(mine, others):
        assert here in inner
        yield f'{there} for {here}', inner.replace(here, there, 1)


# Bytes in whose base64 the characters for 62 and 63 are sure to come, and two of padding.
TELLING = b'\x30\x82\x00\x15\x00\x00' + b'\xfb\xef\xbe\xff\xff\xff' * 3 + b'\xff'
PKI = base64.b64encode(TELLING, b'+-').decode()
PKIZ = 'PKIZ_' + base64.urlsafe_b64encode(TELLING).decode()
BAD.update({f'PKI, {what}': f'abcdefgh~{text}' for what, text in spellings(PKI, 2, '+-', '_/')})
BAD.update(
    {
        f'PKIZ, {what}': f'abcdefgh~PKIZ_{text}'
        for what, text in spellings(PKIZ[len('PKIZ_') :], 2, '-_', '+/')
    }
)
BAD.update(
    {
        'PKI, nothing more': 'abcdefgh~MII',
        'PKI, lower case': f'abcdefgh~{PKI.lower()}',
        'PKI in PEM': f'abcdefgh~-----BEGIN CMS-----{PKI}-----END CMS-----',
        'PKI of three bytes of length': 'abcdefgh~' + base64.b64encode(b'\x30\x83' * 9).decode(),
        'PKIZ, nothing more': 'abcdefgh~PKIZ_',
        'PKIZ, padding alone': 'abcdefgh~PKIZ_====',
        'PKIZ, lower case': f'abcdefgh~{PKIZ.lower()}',
        'PKIZ twice': f'abcdefgh~PKIZ_{PKIZ}=',
    }
)


def test_the_spellings_that_the_bad_ones_vary_are_good():
    assert form.recognise(PKI).format == 'pki'
    assert form.recognise(PKIZ).format == 'pkiz'


@pytest.mark.parametrize('token', BAD.values(), ids=BAD)
def test_a_string_that_is_no_canonical_token_is_refused(token):
    assert refusal(read, token) == 'malformed'


@pytest.mark.parametrize('token_format', LIKE)
def test_cut_off_or_with_one_byte_changed_a_token_is_another_one_or_none(token_format):
    """No two strings are one token: what is recognised is spelled as its own bytes are."""
    inner = LIKE[token_format]()
    alphabet = bytes(range(0x20, 0x7F)).decode() + '\n\x00é'
    for at in [*range(min(len(inner), 40)), len(inner) - 1]:
        for other in alphabet.replace(inner[at], ''):
            changed = inner[:at] + other + inner[at + 1 :]
            with contextlib.suppress(Refused):
                assert decoded(changed, form.recognise(changed).format) != decoded(
                    inner, token_format
                )
    for end in range(len(inner)):
        with contextlib.suppress(Refused):
            recognised = form.recognise(inner[:end])
            assert decoded(inner[:end], recognised.format) != decoded(inner, token_format)


def decoded(inner, token_format):
    """What a careless decoder makes of it."""
    if token_format == 'uuid':
        return bytes.fromhex(inner)
    if token_format == 'pki':
        return base64.b64decode(inner.replace('-', '/'))
    if token_format == 'pkiz':
        return base64.urlsafe_b64decode(inner[len('PKIZ_') :])
    return [base64.urlsafe_b64decode(part + '=' * (-len(part) % 4)) for part in inner.split('.')]


def test_a_token_of_8190_characters_is_read_and_a_longer_one_is_told_why_not():
    room = form.MAX_LENGTH - len('abcdefgh~')
    pki = pki_like(room // 4 * 3)
    assert form.MAX_LENGTH == 8190
    assert read('abcdefgh~' + pki)[1].format == 'pki'
    for token in (f'abcdefgh~{pki}AAAA', 'MII' + 'A' * 8188):
        with pytest.raises(Refused, match='malformed') as caught:
            form.check_length(token)
        assert '8190' in caught.value.detail
        assert 'Apache and gunicorn' in caught.value.detail
        assert 'PKIZ' in caught.value.detail
        assert token not in caught.value.detail
    with pytest.raises(Refused) as caught:
        form.split('abcdefgh~' + 'g' * 8190)
    assert '8190' in caught.value.detail
    assert 'PKIZ' not in caught.value.detail


@pytest.mark.parametrize('like', [fernet_like, jws_like])
def test_times_that_cannot_be_are_refused_before_anybody_is_asked(like):
    now = time.time()
    day = 24 * 3600

    def check(at):
        form.check_plausible(form.recognise(like(at)), now, 60)

    check(now + 50)
    check(now - 13 * day)
    assert refusal(check, now + 90) == 'not_yet_valid'
    assert refusal(check, now - 15 * day) == 'expired'


def test_a_time_that_is_no_number_is_in_the_future():
    for at in (float('nan'), float('inf')):
        recognised = form.recognise(jws_like(at))
        assert refusal(form.check_plausible, recognised, time.time(), 60) == 'not_yet_valid'


@pytest.mark.parametrize(
    'raw', [b'\x81' + b'x' * 152, b'\x80' + b'x' * 20, b'\x80' + b'x' * 153], ids=str
)
def test_bytes_that_are_no_fernet_frame_are_refused(raw):
    assert refusal(form.recognise, base64url(raw)) == 'malformed'


@pytest.mark.parametrize(
    ('header', 'payload'),
    [
        (b'{"alg":"none"}', b'{"iat":1}'),
        (b'{"alg":"HS256"}', b'{"iat":1}'),
        (b'{"alg":"ES256"}', b'{"iat":"now"}'),
        (b'{"alg":"ES256"}', b'{"iat":true}'),
        (b'{"alg":"ES256"}', b'{"iat":' + b'9' * 5000 + b'}'),
        (b'{"alg":"ES256"}', b'[' * 3000),
        (b'{"a":' * 1000, b'{}'),
        (b'{"alg":"ES256"}', b'\xff'),
        (b'[]', b'{}'),
        (b'\xff', b'\xff'),
        (b'[' * 3000, b'{}'),
    ],
    ids=lambda part: part[:24],
)
def test_segments_that_are_no_jws_of_keystone_are_refused(header, payload):
    inner = '.'.join(base64url(part) for part in (header, payload, b's' * 64))
    assert refusal(form.recognise, inner) == 'malformed'


@pytest.mark.parametrize(
    ('token', 'shown'),
    [
        ('k3v7q2xa~gAAAA', r'k3v7q2xa~#[0-9a-f]{8}'),
        ('no tag~gAAAA', r'\?~#[0-9a-f]{8}'),
        ('0123456789abcdef' * 2, r'uuid#[0-9a-f]{8}'),
        (fernet_like(), r'fernet#[0-9a-f]{8}'),
        (PKI, r'pki#[0-9a-f]{8}'),
        (PKIZ, r'pkiz#[0-9a-f]{8}'),
        (CANONICAL_JWS, r'jws#[0-9a-f]{8}'),
        ('hello', r'\?#[0-9a-f]{8}'),
        ('\udcff', r'\?#[0-9a-f]{8}'),
    ],
)
def test_of_a_token_the_log_has_tag_or_format_and_four_bytes_of_its_hash(token, shown):
    assert re.fullmatch(shown, ids.redacted(token))
    assert ids.redacted(token).endswith('#' + ids.token_sha256(token)[:8])


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


@pytest.mark.parametrize('token_format', LIKE)
def test_a_foreign_token_of_any_format_is_asked_about_as_it_was_shown(
    world, api, west, admin, token_format
):
    token = west.token(west.user(), west.project(), inner=LIKE[token_format]())
    assert api.validate(token, admin).status_code == 200
    assert api.get('/v3/auth/projects', token).status_code == 200
    assert {body['token'] for _path, body, _id in world.daemon.calls} == {token}


@pytest.mark.parametrize('token_format', LIKE)
def test_an_own_token_of_any_format_reaches_the_inner_provider_without_its_tag(
    world, api, admin, monkeypatch, token_format
):
    token = world.admin()
    values = world.provider._inner.validate_token(token.partition('~')[2])
    shown = []
    inner = LIKE[token_format]()
    monkeypatch.setattr(
        world.provider._inner, 'validate_token', lambda it: shown.append(it) or values
    )
    assert api.validate(f'{world.tag}~{inner}', token).status_code == 200
    assert shown[-1] == inner
    for text in (inner + '=', inner + '\n', other_spelling(inner) if '=' in inner else inner + '.'):
        del shown[:]
        with pytest.raises(exception.TokenNotFound):
            world.provider.validate_token(f'{world.tag}~{text}')
        assert not shown
    assert not world.daemon.calls
