"""Why a token is not accepted, and what Keystone answers then."""

import http.client

import flask
from keystone import exception
from keystone.i18n import _

_RETRY_AFTER = '1'  # seconds; when the plugin asks again after a failure


class Refused(Exception):
    """A definite no.

    :param reason: stable code in snake_case, as in the daemon's answers
    :param detail: text for the log of this cloud; never holds a token
    """

    def __init__(self, reason, detail=None):
        super().__init__(reason)
        self.reason = reason
        self.detail = detail


class Indeterminate(Exception):
    """Nobody could say now whether the token is valid; asking again later may help."""

    def __init__(self, reason, detail=None):
        super().__init__(reason)
        self.reason = reason
        self.detail = detail


class TokenIndeterminate(exception.NotFound):
    """503 to the client, which services do not remember as an invalid token.

    Keystone logs errors that are neither ``Unauthorized`` nor ``NotFound`` with a stack trace; as
    a ``NotFound`` a partner's outage, or a flood of junk, costs one line each.
    """

    code = int(http.client.SERVICE_UNAVAILABLE)
    title = http.client.responses[http.client.SERVICE_UNAVAILABLE]
    message_format = _('The cloud that issued the token cannot be asked now. Try again later.')


class PassportRefused(exception.AuthPluginException):
    """401 that says why: whoever shows a login passport learns nothing that the passport hides."""

    message_format = _('The login passport was refused: %(reason)s.')

    def __init__(self, reason):
        super().__init__(reason=reason)
        self.authentication = {'methods': ['alliance'], 'alliance': {'reason': reason}}

    def _build_message(self, message, **kwargs):
        return self.message_format % kwargs


def indeterminate():
    """Keystone's answer to an open question, with ``Retry-After`` where Keystone lets us add it.

    Its authentication middleware makes the answer about an ``X-Auth-Token`` itself.
    """
    if flask.has_request_context():
        flask.after_this_request(_add_retry_after)
    return TokenIndeterminate()


def _add_retry_after(response):
    if response.status_code == TokenIndeterminate.code:
        response.headers['Retry-After'] = _RETRY_AFTER
    return response


def not_found(_reason=None):
    """Keystone's answer to a definite no; the text says nothing about the token."""
    return exception.TokenNotFound(_('The token is not valid here.'))


def not_authorized(_reason=None):
    """Keystone's answer when a token may not be issued."""
    return exception.Unauthorized(_('The requested scope is not available to this user.'))
