"""A partner cloud as its tokens, passports and snapshot entry show it: real keys, real JWS."""

import base64
import hashlib
import json
import os
import struct
import time
import uuid
import zlib

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
import jwt

from keystone_alliance import ids


def base64url(raw):
    return base64.urlsafe_b64encode(raw).rstrip(b'=').decode()


def base32(raw):
    return base64.b32encode(raw).decode().rstrip('=').lower()


def new_key():
    """Return private key, JWK with kid, and the SHA-256 of its public half in base32."""
    private = ec.generate_private_key(ec.SECP256R1())
    public = private.public_key()
    numbers = public.public_numbers()
    spki = public.public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    fingerprint = base32(hashlib.sha256(spki).digest())
    jwk = {
        'kty': 'EC',
        'crv': 'P-256',
        'x': base64url(numbers.x.to_bytes(32, 'big')),
        'y': base64url(numbers.y.to_bytes(32, 'big')),
        'kid': fingerprint[:16],
    }
    return private, jwk, fingerprint


def fernet_like(issued_at=None):
    """A string that looks like a Fernet token of Keystone; only its home could tell."""
    at = int(time.time() if issued_at is None else issued_at)
    return base64url(b'\x80' + struct.pack('>Q', at) + os.urandom(16 + 96 + 32))


def uuid_like():
    return uuid.uuid4().hex


def pki_like(size=600):
    """A string that looks like a PKI token: DER of that size in the base64 of keystoneclient."""
    return base64.b64encode(_cms(size), b'+-').decode()


def pkiz_like(size=600):
    return 'PKIZ_' + base64.urlsafe_b64encode(zlib.compress(_cms(size))).decode()


def _cms(size):
    return b'\x30\x82' + struct.pack('>H', size - 4) + os.urandom(size - 4)


def jws_like(issued_at=None):
    at = time.time() if issued_at is None else issued_at
    payload = json.dumps({'iat': at, 'jti': uuid.uuid4().hex}).encode()
    return '.'.join(base64url(part) for part in (b'{"alg":"ES256"}', payload, os.urandom(64)))


LIKE = {
    'uuid': uuid_like,
    'fernet': fernet_like,
    'pki': pki_like,
    'pkiz': pkiz_like,
    'jws': jws_like,
}


def sign(claims, typ, private, jwk, header=None):
    headers = {'typ': typ, 'kid': jwk['kid'], **(header or {})}
    return jwt.encode(claims, private, algorithm='ES256', headers=headers)


def isotime(at):
    return time.strftime('%Y-%m-%dT%H:%M:%S.000000Z', time.gmtime(at))


def audit_id():
    return base64url(uuid.uuid4().bytes)


class PartnerCloud:
    """A home cloud: issues tokens and signs passports about them.

    :param kind: ``keystone`` for one without a daemon, whose tokens have no tag
    """

    def __init__(self, name, kind='alliance'):
        self.name = name
        self.kind = kind
        _private, _jwk, self.cloud_id = new_key()
        self.private, self.jwk, _ = new_key()
        self.tag = ids.tag_of(self.cloud_id)
        self.domain_id = ids.domain_id(self.cloud_id)
        self.issued = {}  # token → introspection claims
        self.roles = {}  # (user id, project id) → current roles

    def entry(self, **changes):
        """Entry of this cloud among the partners of a snapshot."""
        entry = {
            'cloud_id': self.cloud_id,
            'name': self.name,
            'status': 'active',
            'role': 'both',
            'trust_till': None,
            'domain_id': self.domain_id,
            'idp_id': self.name,
            'protocol_id': 'alliance',
            'keys': [self.jwk],
            'limits': {'users': None, 'projects': None},
            'agreements': [
                {
                    'project_id': '*',
                    'host_project_id': None,
                    'roles': ['member', 'reader'],
                    'till': None,
                    'transitive': False,
                }
            ],
        }
        if self.kind == 'keystone':
            entry.update(kind='keystone', role='guest', keys=[], attested=True, untagged=[])
        entry.update(changes)
        return entry

    def user(self, name='ann', **changes):
        user = {
            'id': uuid.uuid4().hex,
            'name': name,
            'domain': {'id': 'default', 'name': 'Default'},
        }
        user.update(changes)
        return user

    def project(self, name=None, **changes):
        return self.user(name or f'science-{uuid.uuid4().hex[:6]}', **changes)

    def host_project_id(self, project):
        return ids.project_id(self.cloud_id, project['id'])

    def token(self, user, project=None, roles=('member', 'reader'), lifetime=3600, **claims):
        """Issue a token and return its string, tagged unless this cloud is a plain Keystone."""
        now = time.time()
        token = claims.pop('inner', None) or fernet_like()
        if self.kind != 'keystone':
            token = f'{self.tag}~{token}'
        introspection = {
            'active': True,
            'token_sha256': ids.token_sha256(token),
            'origin': self.cloud_id,
            'sub': user['id'],
            'username': user['name'],
            'user_domain': user['domain'],
            'project': project,
            'roles': list(roles) if project else [],
            'methods': ['password'],
            'audit_ids': [audit_id()],
            'issued_at': isotime(now),
            'expires_at': isotime(now + lifetime),
        }
        introspection.update(claims)
        self.issued[token] = introspection
        if project:
            self.roles.setdefault((user['id'], project['id']), list(roles))
        return token

    def sign(self, claims, typ, key=None, header=None):
        return sign(claims, typ, key or self.private, self.jwk, header)

    def passport(self, token, audience, **changes):
        claims = {
            **word(self.cloud_id, audience),
            'token_introspection': self.issued[token],
            **changes,
        }
        return self.sign(claims, 'token-introspection+jwt')

    def login_passport(self, user, project, audience, typ='alliance-login+jwt', **changes):
        """With which a user logs in at ``audience``; the token that it is about stays here."""
        token = self.token(user, project, **changes.pop('facts', {}))
        claims = {**word(self.cloud_id, audience), 'login': self.issued[token], **changes}
        claims.setdefault('exp', claims['iat'] + 60)
        return self.sign(claims, typ)

    def statement(self, user_id, project_id, audience, **changes):
        claims = {
            **word(self.cloud_id, audience),
            'grants': self.grants(user_id, project_id),
            **changes,
        }
        return self.sign(claims, 'alliance-grants+jwt')

    def grants(self, user_id, project_id):
        domain = {'id': 'default', 'name': 'Default'}
        return {
            'user': {'id': user_id, 'name': 'ann', 'domain': domain},
            'project': {'id': project_id, 'name': 'science', 'domain': domain},
            'roles': self.roles.get((user_id, project_id), []),
        }


def word(issuer, audience):
    """Claims that every signed statement has."""
    return {'iss': issuer, 'aud': audience, 'iat': int(time.time()), 'jti': str(uuid.uuid4())}
