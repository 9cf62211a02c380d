"""Differences between Keystone releases, 17 (Ussuri) to 30 (2026.2)."""

import inspect

from keystone.common import provider_api
from keystone.models import token_model

PROVIDERS = provider_api.ProviderAPIs

# 14 values up to Zed; a certificate thumbprint before the two times since 2023.1.
HAS_THUMBPRINT = hasattr(token_model.TokenModel(), 'oauth2_thumbprint')


def token_values(user_id, methods, audit_ids, project_id, issued_at, expires_at):
    """What ``Provider.validate_token`` returns for an ordinary token of a user.

    The federation values stay empty: with them Keystone would treat the token as a federated one,
    whose derived tokens lose their audit chain.
    """
    values = (user_id, methods, audit_ids, None, None, project_id) + (None,) * 6
    if HAS_THUMBPRINT:
        values += (None,)
    return values + (issued_at, expires_at)


def shadow_federated_user(idp_id, protocol_id, user_id, name, domain_id):
    """Create or rename the shadow user of a home user."""
    shadow = PROVIDERS.identity_api.shadow_federated_user
    # Up to Zed the user came in pieces, since then in one dictionary.
    if 'unique_id' in inspect.signature(shadow).parameters:
        return shadow(idp_id, protocol_id, user_id, name)
    user = {'id': user_id, 'name': name, 'domain': {'id': domain_id}}
    return shadow(idp_id, protocol_id, user)
