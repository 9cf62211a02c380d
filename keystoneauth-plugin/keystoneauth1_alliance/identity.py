"""The login itself: at home, for a passport, at the partner."""

import logging
import time

from keystoneauth1 import access
from keystoneauth1 import exceptions
from keystoneauth1 import identity
from keystoneauth1.identity import base

from keystoneauth1_alliance.proof import Key

LOG = logging.getLogger(__name__)

_METHOD = 'alliance'
_REPLAYED = 'replayed'
_PAUSE = 1  # seconds before the one further try where a cloud cannot tell now


class PassportRefused(exceptions.Unauthorized):
    """Home issues no passport, or the partner does not take it; ``reason`` is a stable code."""

    def __init__(self, cloud, reason, response=None):
        super().__init__(
            message=f'{cloud} refused the login by passport: {reason}', response=response
        )
        self.reason = reason


class Alliance(base.BaseIdentityPlugin):
    """Logs in at home and, by a passport of home, at a partner cloud.

    :param home: plugin that logs in at home, with a project or unscoped
    :param partner: what home calls the partner: its name, a region of its, or its cloud id
    :param partner_auth_url: address of the partner's Keystone, in place of what home says
    """

    def __init__(self, home, partner, *, partner_auth_url=None, reauthenticate=True):
        super().__init__(auth_url=partner_auth_url, reauthenticate=reauthenticate)
        self._home = home
        self._partner = partner
        self._partner_auth_url = partner_auth_url

    def get_auth_ref(self, session, **_kwargs):
        """Log in, and return what the partner's Keystone says of the new token.

        :raises PassportRefused: one of the clouds does not let the user go
        """
        token, project_id = self._log_in(session)
        if project_id is None:
            return token
        return self._at_partner(session, token.auth_token, project_id)

    def get_cache_id_elements(self):
        """What tells this login from another one, for those who keep tokens."""
        elements = dict(self._home.get_cache_id_elements())
        elements['partner'] = self._partner
        elements['partner_auth_url'] = self._partner_auth_url
        return elements

    def _log_in(self, session):
        """Return an unscoped token of the partner, and the id of the project there."""
        try:
            return self._log_in_once(session)
        except exceptions.ServiceUnavailable:
            # The partner's daemon was just restarted, or one of the clouds is busy.
            LOG.debug('No answer about the passport; trying once more')
            time.sleep(_PAUSE)
            return self._log_in_once(session)
        except PassportRefused as refused:
            # An answer was lost on its way, and a balancer has shown the passport again.
            if refused.reason != _REPLAYED:
                raise
            LOG.debug('The passport was shown before; trying once more, with another')
            return self._log_in_once(session)

    def _log_in_once(self, session):
        key = Key()
        said = self._passport(session, key)
        shown = {'passport': said['passport'], 'proof': key.prove(said['passport'])}
        return self._show(session, shown), said.get('project_id')

    def _passport(self, session, key):
        response = self._ask(session, key)
        said = _said(response)
        # The token may have ended, whatever its date.
        if response.status_code == 401 and not said and self._home.invalidate():
            response = self._ask(session, key)
            said = _said(response)
        if 'reason' in said:
            raise PassportRefused('home', said['reason'], response)
        if 'passport' not in said:
            raise exceptions.from_response(response, 'POST', _tokens(self._home.auth_url))
        self.auth_url = self._partner_auth_url or said.get('auth_url')
        if not self.auth_url:
            raise exceptions.MissingAuthPlugin(
                f'home does not know where the Keystone of {self._partner} is: '
                'give partner_auth_url'
            )
        return said

    def _ask(self, session, key):
        token = self._home.get_token(session)
        asked = {'cloud': self._partner, 'token': {'id': token}, 'jkt': key.thumbprint()}
        return _post(session, self._home.auth_url, asked)

    def _show(self, session, shown):
        response = _post(session, self.auth_url, shown)
        said = _said(response)
        if 'reason' in said:
            raise PassportRefused(self._partner, said['reason'], response)
        if response.status_code != 201:
            raise exceptions.from_response(response, 'POST', _tokens(self.auth_url))
        return access.create(resp=response)

    def _at_partner(self, session, token, project_id):
        scoped = identity.V3Token(self.auth_url, token=token, project_id=project_id)
        return scoped.get_auth_ref(session)


def _post(session, auth_url, payload):
    body = {'auth': {'identity': {'methods': [_METHOD], _METHOD: payload}}}
    # Neither token nor passport may stand in a log.
    return session.post(
        _tokens(auth_url), json=body, authenticated=False, raise_exc=False, log=False
    )


def _said(response):
    """Keystone's word on how the login goes on, if it is one."""
    if response.status_code == 503:
        raise exceptions.ServiceUnavailable(response=response)
    try:
        said = response.json()['error']['identity'][_METHOD]
    except (ValueError, KeyError, TypeError):
        return {}
    return said if isinstance(said, dict) else {}


def _tokens(auth_url):
    auth_url = auth_url.rstrip('/')
    return f'{auth_url}/auth/tokens' if auth_url.endswith('/v3') else f'{auth_url}/v3/auth/tokens'
