"""A partner cloud as its tokens, passports and snapshot entry show it: real keys, real JWS."""

import base64
import hashlib
import os
import struct
import time
import uuid

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


def isotime(at):
    return time.strftime('%Y-%m-%dT%H:%M:%S.000000Z', time.gmtime(at))


def audit_id():
    return base64url(uuid.uuid4().bytes)


class PartnerCloud:
    """A home cloud: issues tokens and signs passports about them."""

    def __init__(self, name):
        self.name = name
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
        """Issue a token and return its tagged string."""
        now = time.time()
        token = f'{self.tag}~{claims.pop("inner", None) or fernet_like()}'
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
        return jwt.encode(
            claims,
            key or self.private,
            algorithm='ES256',
            headers={'typ': typ, 'kid': self.jwk['kid'], **(header or {})},
        )

    def passport(self, token, audience, **changes):
        claims = {
            'iss': self.cloud_id,
            'aud': audience,
            'iat': int(time.time()),
            'jti': str(uuid.uuid4()),
            'token_introspection': self.issued[token],
        }
        claims.update(changes)
        return self.sign(claims, 'token-introspection+jwt')

    def statement(self, user_id, project_id, audience, **changes):
        claims = {
            'iss': self.cloud_id,
            'aud': audience,
            'iat': int(time.time()),
            'jti': str(uuid.uuid4()),
            'grants': {
                'user': {
                    'id': user_id,
                    'name': 'ann',
                    'domain': {'id': 'default', 'name': 'Default'},
                },
                'project': {
                    'id': project_id,
                    'name': 'science',
                    'domain': {'id': 'default', 'name': 'Default'},
                },
                'roles': self.roles.get((user_id, project_id), []),
            },
        }
        claims.update(changes)
        return self.sign(claims, 'alliance-grants+jwt')
