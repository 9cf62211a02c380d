"""UUID tokens: 32 hex digits that say nothing; what they stand for is kept at home."""

import hashlib
import json
import os
import pathlib
import uuid

from keystone import exception
from keystone.common import utils
from keystone.token.providers import base

from lab_tokens import release
from lab_tokens.options import option


class Uuid(base.Provider):
    """`[token] provider = uuid`. A folder, since several workers, and the next ones, read it."""

    def __init__(self):
        self._folder = pathlib.Path(option("folder"))
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)

    def generate_id_and_issued_at(self, token):
        token_id, issued_at = uuid.uuid4().hex, utils.isotime(subsecond=True)
        values = [
            token.user_id,
            token.methods,
            token.audit_ids,
            token.system,
            token.domain_id,
            token.project_id,
            token.trust_id,
            token.federated_groups if token.is_federated else None,
            token.identity_provider_id,
            token.protocol_id,
            token.access_token_id,
            token.application_credential_id,
            getattr(token, "oauth2_thumbprint", None),
            issued_at,
            token.expires_at,
        ]
        kept = self._kept(token_id)
        fresh = kept.with_suffix(".new")
        fresh.write_text(json.dumps(values))
        os.replace(fresh, kept)
        return token_id, issued_at

    def validate_token(self, token_id):
        try:
            return release.values(json.loads(self._kept(token_id).read_text()))
        except FileNotFoundError:
            raise exception.TokenNotFound(token_id=token_id) from None

    def _kept(self, token_id):
        """By its hash: who reads the folder has no token."""
        return self._folder / hashlib.sha256(token_id.encode()).hexdigest()
