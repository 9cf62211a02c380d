"""A key for one login: home binds the passport to it, and the partner sees it proved.

JWK thumbprint (RFC 7638) and a JWS with the key in its header (RFC 7515), ES256.
"""

import base64
import hashlib
import json

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric import utils

_COORDINATE = 32  # bytes


class Key:
    """A new key on P-256, never stored."""

    def __init__(self):
        self._private = ec.generate_private_key(ec.SECP256R1())
        numbers = self._private.public_key().public_numbers()
        self._jwk = {
            'crv': 'P-256',
            'kty': 'EC',
            'x': _base64url(numbers.x.to_bytes(_COORDINATE, 'big')),
            'y': _base64url(numbers.y.to_bytes(_COORDINATE, 'big')),
        }

    def thumbprint(self):
        """The JWK thumbprint with SHA-256."""
        return _base64url(hashlib.sha256(_json(self._jwk)).digest())

    def prove(self, passport):
        """Return a JWS that shows, to who has ``passport``, that this key is here."""
        header = {'typ': 'alliance-proof+jwt', 'alg': 'ES256', 'jwk': self._jwk}
        claims = {'ath': _base64url(hashlib.sha256(passport.encode('ascii')).digest())}
        message = f'{_base64url(_json(header))}.{_base64url(_json(claims))}'
        der = self._private.sign(message.encode('ascii'), ec.ECDSA(hashes.SHA256()))
        r, s = utils.decode_dss_signature(der)
        signature = r.to_bytes(_COORDINATE, 'big') + s.to_bytes(_COORDINATE, 'big')
        return f'{message}.{_base64url(signature)}'


def _json(value):
    return json.dumps(value, separators=(',', ':'), sort_keys=True).encode('ascii')


def _base64url(raw):
    return base64.urlsafe_b64encode(raw).rstrip(b'=').decode('ascii')
