"""Spelling of tokens: which format a string is, and one spelling of each only.

Services cache tokens under a hash of the string, so a second spelling of one token would be a
second session that nobody ends. A partner's token is ``<tag>~<inner>``, or ``<inner>`` alone where
the partner is a plain Keystone.
"""

import base64
import binascii
import json
import re
import struct
import typing

from keystone_alliance.refusal import Refused

MAX_LENGTH = 8190  # of a request header at Apache and gunicorn; the same in the daemon
RING = 'ring'

UUID = 'uuid'
FERNET = 'fernet'
PKI = 'pki'
PKIZ = 'pkiz'
JWS = 'jws'
FORMATS = frozenset([UUID, FERNET, PKI, PKIZ, JWS])

_TAG = re.compile(r'[a-z2-7]{8}\Z')
_INNER = re.compile(r'[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+)?\Z')
_UUID = re.compile(r'[0-9a-f]{32}\Z')
# No string starts like two of these: 0x80, the version of Fernet; "{", the header of a JWS; a DER
# sequence with two bytes of length, which is CMS.
_STARTS = {'PKIZ_': PKIZ, 'MII': PKI, 'gA': FERNET, 'eyJ': JWS}
_FERNET_FRAME = 1 + 8 + 16 + 32  # version, time, initialisation vector, signature
_FERNET_BLOCK = 16
_OLDEST = 14 * 24 * 3600  # no Keystone lets a token live longer, window for services included


class Recognised(typing.NamedTuple):
    """A token in its one spelling."""

    format: str
    issued_at: typing.Optional[float]  # None where its issuer alone can tell


def is_tagged(token):
    """Whether ``token`` says whose it is."""
    return '~' in token


def looks_like(token):
    """Format that a token without its tag can only be, by how it starts; None: none of them.

    For routing and for logs. Whether it is one is for ``recognise`` to say.
    """
    for start, token_format in _STARTS.items():
        if token.startswith(start):
            return token_format
    return UUID if _UUID.match(token) else None


def check_length(token):
    """Refuse what no web server lets through.

    :raises Refused: ``malformed``
    """
    if len(token) <= MAX_LENGTH:
        return
    detail = f'longer than {MAX_LENGTH} characters: Apache and gunicorn refuse longer headers'
    if looks_like(token.rpartition('~')[2]) == PKI:
        detail += ', and a PKI token grows with the catalog; the same token as PKIZ is shorter'
    raise Refused('malformed', detail)


def split(token):
    """Return tag and inner token of a tagged token.

    :raises Refused: ``malformed``
    """
    check_length(token)
    tag, _tilde, inner = token.partition('~')
    if not _TAG.match(tag):
        raise Refused('malformed', 'no tag before the tilde')
    return tag, inner


def recognise(inner):
    """Return the format of a partner's token, and when it was issued where that can be read.

    PKI and PKIZ tokens are read no further than their spelling: the daemon opens them.

    :param inner: a token without its tag, no longer than ``MAX_LENGTH``
    :raises Refused: ``malformed``
    """
    token_format = looks_like(inner)
    issued_at = None
    if token_format == FERNET:
        issued_at = _fernet_issued_at(inner)
    elif token_format == JWS:
        issued_at = _jws_issued_at(inner)
    elif token_format == PKI:
        _check_padded(inner, b'+-')
    elif token_format == PKIZ:
        _check_padded(inner[len('PKIZ_') :], b'-_')
    elif token_format is None:
        raise Refused('malformed', 'none of the formats of Keystone')
    return Recognised(token_format, issued_at)


def check_spelling(inner):
    """Refuse a second spelling of a token of this cloud, whichever provider makes them.

    :raises Refused: ``malformed``
    """
    if looks_like(inner) in (PKI, PKIZ):
        recognise(inner)
        return
    if not _INNER.match(inner):
        raise Refused('malformed', 'no token after the tilde')
    for segment in inner.split('.'):
        decode(segment)


def decode(segment):
    """Decode base64url without padding, if it is the one spelling of what it encodes."""
    try:
        raw = base64.urlsafe_b64decode(segment + '=' * (-len(segment) % 4))
    except (binascii.Error, ValueError):
        raise Refused('malformed', 'not base64url') from None
    if base64.urlsafe_b64encode(raw).rstrip(b'=').decode('ascii') != segment:
        raise Refused('malformed', 'not the canonical base64url spelling')
    return raw


def check_plausible(recognised, now, skew):
    """Refuse what no cloud can have issued, before anybody is asked about it.

    :param now: seconds since the epoch
    :param skew: seconds by which the issuer's clock may be ahead
    :raises Refused: ``not_yet_valid`` or ``expired``
    """
    if recognised.issued_at is None:
        return
    if not recognised.issued_at <= now + skew:
        raise Refused('not_yet_valid', 'issued in the future')
    if recognised.issued_at < now - _OLDEST:
        raise Refused('expired', 'issued too long ago')


def _check_padded(text, alphabet):
    """Refuse all but the one spelling with padding; ``alphabet``: what stands for 62 and 63."""
    try:
        raw = base64.b64decode(text, alphabet)
    except (binascii.Error, ValueError):
        raise Refused('malformed', 'not base64 of a PKI token') from None
    if not raw or base64.b64encode(raw, alphabet).decode('ascii') != text:
        raise Refused('malformed', 'not the canonical base64 spelling')


def _fernet_issued_at(inner):
    raw = decode(inner)
    size = len(raw) - _FERNET_FRAME
    if size < _FERNET_BLOCK or size % _FERNET_BLOCK:
        raise Refused('malformed', 'not a Fernet token')
    return struct.unpack('>Q', raw[1:9])[0]


def _jws_issued_at(inner):
    segments = inner.split('.')
    if len(segments) != 3 or not all(segments):
        raise Refused('malformed', 'not the three parts of a JWS token')
    header, payload, _signature = map(decode, segments)
    try:
        algorithm = json.loads(header)['alg']
        issued_at = json.loads(payload)['iat']
    except (ValueError, KeyError, TypeError, RecursionError):
        raise Refused('malformed', 'not a JWS token') from None
    if algorithm != 'ES256' or type(issued_at) not in (int, float):
        raise Refused('malformed', 'not a JWS token of Keystone')
    return issued_at
