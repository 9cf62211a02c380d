"""``[auth] methods = …,alliance``: login passports, which carry a login abroad without a token.

At home a user shows a token and gets a passport for one host. At the host the passport logs its
user in, once. Both are ``POST /v3/auth/tokens`` with the method ``alliance``; home's answer is
Keystone's own to a login that goes on: 401, with what comes next in ``error.identity.alliance``.
"""

from keystone import exception
from keystone.auth.plugins import base
from keystone.common import provider_api
from keystone.common import render_token
import keystone.conf
from oslo_config import cfg
from oslo_log import log

from keystone_alliance import ids

CONF = keystone.conf.CONF
LOG = log.getLogger(__name__)
PROVIDERS = provider_api.ProviderAPIs

METHOD = 'alliance'
_LONGEST = {'passport': 16384, 'proof': 2048, 'jkt': 43, 'cloud': 255}


class Alliance(base.AuthMethodHandler):
    """The auth method; it shares the token provider's way to the daemon."""

    def __init__(self):
        super().__init__()
        _call_it_primary()

    def authenticate(self, auth_payload):
        """Issue a login passport for ``cloud``, or log in with a ``passport``.

        :raises PassportRefused: 401, with the reason code in the message and in
            ``error.identity.alliance``
        :raises keystone.exception.ValidationError: neither
        """
        provider = getattr(PROVIDERS.token_provider_api, 'driver', None)
        if not hasattr(provider, 'log_in'):
            LOG.error('The auth method alliance needs [token] provider = alliance')
            raise exception.Unauthorized()
        if 'passport' in auth_payload:
            passport, proof = _text(auth_payload, 'passport'), _maybe(auth_payload, 'proof')
            return base.AuthHandlerResponse(
                status=True, response_body=None, response_data=provider.log_in(passport, proof)
            )
        # Not the end of a login: its answer says how to go on.
        return base.AuthHandlerResponse(
            status=False, response_body=_issue(provider, auth_payload), response_data=None
        )


def _issue(provider, payload):
    cloud = _text(payload, 'cloud')
    token = payload.get('token')
    token_id = token.get('id') if isinstance(token, dict) else None
    if not isinstance(token_id, str):
        raise exception.ValidationError(attribute='id', target='alliance.token')
    try:
        model = PROVIDERS.token_provider_api.validate_token(token_id)
    except exception.TokenNotFound:
        raise exception.Unauthorized() from None
    body = render_token.render_token_response_from_model(model, include_catalog=False)
    return provider.issue_passport(
        cloud, ids.token_sha256(token_id), body['token'], _maybe(payload, 'jkt')
    )


def _text(payload, name):
    value = payload.get(name)
    if not isinstance(value, str) or not 0 < len(value) <= _LONGEST[name] or not value.isascii():
        raise exception.ValidationError(attribute=name, target=METHOD)
    return value


def _maybe(payload, name):
    return None if payload.get(name) is None else _text(payload, name)


def _call_it_primary():
    """Let tokens of this method be rescoped where Keystone (30) asks; the operator's list stays."""
    try:
        CONF.set_default('additional_primary_auth_methods', [METHOD], group='auth')
    except cfg.NoSuchOptError:
        LOG.debug('This Keystone lets tokens of any method be rescoped')
