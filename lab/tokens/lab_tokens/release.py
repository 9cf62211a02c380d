"""Differences between Keystone releases."""

from keystone.models import token_model

#: Where a token's certificate thumbprint stands among its values, and whether it does.
THUMBPRINT, HAS_THUMBPRINT = 12, hasattr(token_model.TokenModel(), "oauth2_thumbprint")


def values(of_today):
    """What this Keystone wants to know of a token: up to Zed one value fewer than today."""
    if not HAS_THUMBPRINT:
        del of_today[THUMBPRINT]
    return tuple(of_today)
