"""Spelling of tagged tokens: ``<tag>~<inner>``, and one spelling only.

Services cache tokens under a hash of the string, so a second spelling of one token would be a
second session that nobody ends.
"""

import base64
import binascii
import json
import re
import struct

from keystone_alliance.refusal import Refused

MAX_LENGTH = 8192  # of a request header at the usual WSGI servers
RING = 'ring'

_TAG = re.compile(r'[a-z2-7]{8}\Z')
_INNER = re.compile(r'[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+)?\Z')
_FERNET_VERSION = 0x80
_FERNET_FRAME = 1 + 8 + 16 + 32  # version, time, initialisation vector, signature
_FERNET_BLOCK = 16
_OLDEST = 14 * 24 * 3600  # no Keystone lets a token live longer, window for services included


def is_tagged(token):
    """Whether ``token`` is ours to judge; all other strings are left to the inner provider."""
    return '~' in token


def split(token):
    """Return tag and inner token of a canonical tagged token.

    :raises Refused: ``malformed``
    """
    if len(token) > MAX_LENGTH:
        raise Refused('malformed', f'longer than {MAX_LENGTH} characters')
    tag, _tilde, inner = token.partition('~')
    if not _TAG.match(tag):
        raise Refused('malformed', 'no tag before the tilde')
    if not _INNER.match(inner):
        raise Refused('malformed', 'neither a Fernet nor a JWS token after the tilde')
    for segment in inner.split('.'):
        decode(segment)
    return tag, inner


def decode(segment):
    """Decode base64url without padding, if it is the one spelling of what it encodes."""
    try:
        raw = base64.urlsafe_b64decode(segment + '=' * (-len(segment) % 4))
    except (binascii.Error, ValueError):
        raise Refused('malformed', 'not base64url') from None
    if base64.urlsafe_b64encode(raw).rstrip(b'=').decode('ascii') != segment:
        raise Refused('malformed', 'not the canonical base64url spelling')
    return raw


def check_plausible(inner, now, skew):
    """Refuse what no cloud can have issued, before anybody is asked about it.

    :param now: seconds since the epoch
    :param skew: seconds by which the issuer's clock may be ahead
    :raises Refused: ``malformed``, ``not_yet_valid`` or ``expired``
    """
    issued_at = _jws_issued_at(inner) if '.' in inner else _fernet_issued_at(inner)
    if issued_at > now + skew:
        raise Refused('not_yet_valid', 'issued in the future')
    if issued_at < now - _OLDEST:
        raise Refused('expired', 'issued too long ago')


def _fernet_issued_at(inner):
    raw = decode(inner)
    size = len(raw) - _FERNET_FRAME
    if size < _FERNET_BLOCK or size % _FERNET_BLOCK or raw[0] != _FERNET_VERSION:
        raise Refused('malformed', 'not a Fernet token')
    return struct.unpack('>Q', raw[1:9])[0]


def _jws_issued_at(inner):
    header, payload, _signature = inner.split('.')
    try:
        algorithm = json.loads(decode(header))['alg']
        issued_at = json.loads(decode(payload))['iat']
    except (ValueError, KeyError, TypeError, RecursionError):
        raise Refused('malformed', 'not a JWS token') from None
    if algorithm != 'ES256' or type(issued_at) not in (int, float):
        raise Refused('malformed', 'not a JWS token of Keystone')
    return issued_at
