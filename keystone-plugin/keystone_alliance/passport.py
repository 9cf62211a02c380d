"""Signed words about guests: passports (about a token) and grant statements (about roles).

The partner signs them itself. Where it cannot (a plain Keystone) or was not asked (its token was
verified on the spot), our own daemon attests the same, under other names; that counts where the
snapshot says so of this partner.

RFC 9701 shape, ES256 only. Nothing of an answer is used before its signature, issuer, audience and
age have been checked, and every value is of one known type afterwards.
"""

import base64
import dataclasses
import functools
import re
import typing
import unicodedata

from cryptography.hazmat.primitives.asymmetric import ec
import jwt
from oslo_utils import timeutils

from keystone_alliance import ids
from keystone_alliance import snapshot as snapshots
from keystone_alliance.refusal import Refused

PASSPORT = 'token-introspection+jwt'
GRANTS = 'alliance-grants+jwt'
LOGIN = 'alliance-login+jwt'
PASSPORT_ATTESTATION = 'alliance-token-attestation+jwt'
GRANTS_ATTESTATION = 'alliance-grants-attestation+jwt'

_ID = re.compile(r'[\x21-\x7e]{1,64}\Z')
_AUDIT_ID = re.compile(r'[A-Za-z0-9_-]{22}\Z')
LOGIN_LIFETIME = 60  # seconds
_MAX_ROLES = 256
_MAX_NAME = 255


@dataclasses.dataclass(frozen=True)
class Named:
    """A user or project as its home calls it."""

    id: str
    name: str
    domain_id: str
    domain_name: str


class Answer(typing.NamedTuple):
    """What the daemon showed; nothing of it has been checked."""

    statement: object  # passport or grant statement, signed by the partner
    attestation: object  # the same, signed by our own daemon


@dataclasses.dataclass(frozen=True)
class Passport:
    """What the home cloud says about one token."""

    user: Named
    project: typing.Optional[Named]
    roles: frozenset[str]
    methods: tuple[str, ...]
    audit_ids: tuple[str, ...]
    issued_at: str
    expires_at: str
    origin: typing.Optional[str]  # None: federated at home, from no cloud that could be named


@dataclasses.dataclass(frozen=True)
class GrantStatement:
    """What the home cloud says about one user in one project."""

    user: Named
    project: typing.Optional[Named]
    roles: frozenset[str]


class _Signer(typing.NamedTuple):
    """Who must have signed a word, and as what."""

    name: str
    cloud_id: str
    keys: tuple[dict, ...]
    typ: str


class Verifier:
    """Checks what was signed about a partner's token or user for this cloud.

    :param max_age: seconds since ``iat`` after which an answer is too old
    :param skew: seconds by which the signer's clock may differ
    """

    def __init__(self, max_age, skew):
        self._max_age = max_age
        self._skew = skew

    def passport(self, answer, partner, snapshot, token, now):
        """Return the ``Passport`` in ``answer`` if it is about this token of ``partner``."""
        claims = self._claims(answer, PASSPORT, PASSPORT_ATTESTATION, partner, snapshot, now)
        told = _mapping(claims.get('token_introspection'), 'token_introspection')
        if told.get('token_sha256') != ids.token_sha256(token):
            raise Refused('malformed', 'the passport is about another token')
        return self._token(told, now)

    def login(self, answer, partner, snapshot, now):
        """Return the ``Passport`` in ``answer`` if it is a login passport of ``partner``."""
        signer = _Signer('the partner', partner.cloud_id, partner.keys, LOGIN)
        claims = self._signed_by(signer, answer.statement, snapshot.cloud_id, now, grace=0)
        expires_at = claims.get('exp')
        if type(expires_at) not in (int, float) or expires_at > claims['iat'] + LOGIN_LIFETIME:
            raise Refused('malformed', 'the login passport lives too long')
        if expires_at < now:
            raise Refused('expired', 'compare the clocks of both clouds')
        return self._token(_mapping(claims.get('login'), 'login'), now)

    def _token(self, told, now):
        if told.get('active') is not True:
            raise Refused('not_found', 'the passport says that the token is not active')
        domain = _mapping(told.get('user_domain'), 'user_domain')
        user = Named(
            id=_id(told.get('sub'), 'user id'),
            name=_name(told.get('username'), 'user name'),
            domain_id=_id(domain.get('id'), 'id of the user domain'),
            domain_name=_name(domain.get('name'), 'name of the user domain'),
        )
        project = None
        if told.get('project') is not None:
            project = _named(told['project'], 'project')
        issued_at, expires_at = told.get('issued_at'), told.get('expires_at')
        if _time(issued_at) > now + self._skew:
            raise Refused('not_yet_valid', 'the token is issued in the future')
        _time(expires_at)
        return Passport(
            user=user,
            project=project,
            roles=_roles(told.get('roles')),
            methods=tuple(_strings(told.get('methods'), 'methods', _ID)),
            audit_ids=_audit_ids(told.get('audit_ids')),
            issued_at=issued_at,
            expires_at=expires_at,
            origin=None if told.get('origin') is None else _id(told['origin'], 'origin'),
        )

    def grants(self, answer, partner, snapshot, user_id, project_id, now, grace=0):
        """Return the ``GrantStatement`` in ``answer`` if it is about this user and project.

        :param grace: seconds that it may be older, since home is silent
        """
        claims = self._claims(answer, GRANTS, GRANTS_ATTESTATION, partner, snapshot, now, grace)
        grants = _mapping(claims.get('grants'), 'grants')
        user = _named(grants.get('user'), 'user')
        project = None
        if grants.get('project') is not None:
            project = _named(grants['project'], 'project')
        if user.id != user_id or (project.id if project else None) != project_id:
            raise Refused('malformed', 'the grant statement is about somebody or something else')
        return GrantStatement(user=user, project=project, roles=_roles(grants.get('roles')))

    def _claims(self, answer, statement_typ, attestation_typ, partner, snapshot, now, grace=0):
        if answer.statement is None and answer.attestation is not None:
            if not partner.attested:
                raise Refused('malformed', 'attested, which is not believed for this partner')
            us = _Signer('this daemon', snapshot.cloud_id, snapshot.keys, attestation_typ)
            claims = self._signed_by(us, answer.attestation, snapshot.cloud_id, now, grace)
            if claims.get('partner') != partner.cloud_id:
                raise Refused('malformed', 'the attestation is about another partner')
            return claims
        if partner.kind == snapshots.KEYSTONE:
            raise Refused('malformed', 'a plain Keystone signs no statements')
        home = _Signer('the partner', partner.cloud_id, partner.keys, statement_typ)
        return self._signed_by(home, answer.statement, snapshot.cloud_id, now, grace)

    def _signed_by(self, signer, jws, audience, now, grace):
        if not isinstance(jws, str):
            raise Refused('malformed', 'no signed statement in the answer')
        try:
            header = jwt.get_unverified_header(jws)
            if header.get('typ') != signer.typ or header.get('alg') != 'ES256' or 'crit' in header:
                raise Refused('malformed', f'not a statement of type {signer.typ}')
            claims = jwt.decode(
                jws,
                _key(signer, header.get('kid')),
                algorithms=['ES256'],
                audience=audience,
                issuer=signer.cloud_id,
                options={'verify_iat': False, 'verify_exp': False, 'verify_nbf': False},
            )
        except jwt.InvalidAudienceError:
            raise Refused('wrong_audience', 'the statement is for another cloud') from None
        except jwt.PyJWTError as error:
            raise Refused('malformed', f'statement: {error}') from None
        if claims.get('aud') != audience or claims.get('iss') != signer.cloud_id:
            raise Refused('wrong_audience', 'the statement is for several clouds')
        issued_at = claims.get('iat')
        if type(issued_at) not in (int, float):
            raise Refused('malformed', 'the statement has no time')
        if not issued_at <= now + self._skew:
            raise Refused('malformed', 'the statement is from the future: compare the clocks')
        if issued_at < now - self._max_age - grace - self._skew:
            raise Refused('malformed', 'the statement is too old')
        return claims


def claimed_ends(jws):
    """Return who claims to have signed ``jws``, and for whom; nothing of it is verified."""
    try:
        claims = jwt.decode(jws, options={'verify_signature': False})
    except jwt.PyJWTError:
        raise Refused('malformed', 'not a JWS') from None
    return _id(claims.get('iss'), 'issuer'), _id(claims.get('aud'), 'audience')


def _key(signer, kid):
    for jwk in signer.keys:
        if isinstance(kid, str) and jwk.get('kid') == kid:
            if jwk.get('kty') == 'EC' and jwk.get('crv') == 'P-256':
                return _public_key(jwk.get('x'), jwk.get('y'))
            break
    raise Refused('malformed', f'signed with a key that is not known as one of {signer.name}')


@functools.lru_cache(maxsize=256)
def _public_key(x, y):
    try:
        numbers = [
            int.from_bytes(base64.urlsafe_b64decode(value + '=' * (-len(value) % 4)), 'big')
            for value in (x, y)
        ]
        return ec.EllipticCurvePublicNumbers(*numbers, ec.SECP256R1()).public_key()
    except (ValueError, TypeError):
        raise Refused('malformed', 'a key in the snapshot is broken') from None


def _mapping(value, what):
    if not isinstance(value, dict):
        raise Refused('malformed', f'{what} is missing')
    return value


def _id(value, what):
    if not isinstance(value, str) or not _ID.match(value):
        raise Refused('malformed', f'{what} is not an id')
    return value


def _name(value, what):
    if not isinstance(value, str) or not value:
        raise Refused('malformed', f'{what} is not a name')
    return clean(value)[:_MAX_NAME]


def clean(name):
    """Replace what could drive a terminal or break a header: controls, separators, surrogates."""
    return (
        ''.join(
            '?'
            if unicodedata.category(character) in ('Cc', 'Cf', 'Cs', 'Co', 'Cn', 'Zl', 'Zp')
            else character
            for character in name
        ).strip()
        or '?'
    )


def _named(value, what):
    value = _mapping(value, what)
    domain = _mapping(value.get('domain'), f'domain of the {what}')
    return Named(
        id=_id(value.get('id'), f'id of the {what}'),
        name=_name(value.get('name'), f'name of the {what}'),
        domain_id=_id(domain.get('id'), f'id of the {what} domain'),
        domain_name=_name(domain.get('name'), f'name of the {what} domain'),
    )


def _strings(value, what, pattern=None):
    if not isinstance(value, list):
        raise Refused('malformed', f'{what} is not a list')
    for item in value:
        if not isinstance(item, str) or (pattern and not pattern.match(item)):
            raise Refused('malformed', f'{what} has an entry that cannot be')
    return value


def _roles(value):
    roles = frozenset(_strings(value, 'roles'))
    if len(roles) > _MAX_ROLES:
        raise Refused('malformed', 'too many roles')
    return roles


def _audit_ids(value):
    audit_ids = _strings(value, 'audit_ids', _AUDIT_ID)
    if len(audit_ids) not in (1, 2):
        raise Refused('malformed', 'one or two audit ids were expected')
    return tuple(audit_ids)


def _time(value):
    try:
        moment = timeutils.normalize_time(timeutils.parse_isotime(value))
    except (ValueError, TypeError, AttributeError):
        raise Refused('malformed', 'a time of the token cannot be read') from None
    return (moment - _EPOCH).total_seconds()


_EPOCH = timeutils.normalize_time(timeutils.parse_isotime('1970-01-01T00:00:00Z'))
