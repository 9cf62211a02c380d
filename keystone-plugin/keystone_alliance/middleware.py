"""Keystone's authentication middleware, with a token for each thread, and its request at hand.

Of every release up to 30, it keeps the token of the request in an attribute, and there is one
middleware for all threads of a worker: between validating a token and making the request's context
of it, another thread may put its own there. The request then goes on with somebody else's token.
The longer a token takes to render, the likelier; that of a new guest takes longest.

It runs outside Flask's request, so that whoever validates the token there does not find its id.
"""

import functools
import threading

from keystone.server.flask.request_processing.middleware import auth_context

from keystone_alliance import request


class _OfThread:
    """A data descriptor: stands before what instances have had under its name."""

    _KEPT = '_alliance_thread'

    def __get__(self, instance, owner=None):
        return self if instance is None else getattr(self._kept(instance), 'token', None)

    def __set__(self, instance, token):
        self._kept(instance).token = token

    def _kept(self, instance):
        return vars(instance).setdefault(self._KEPT, threading.local())


def _noting(process_request):
    @functools.wraps(process_request)
    def noted(self, asked):
        with request.outside_flask(asked.environ):
            return process_request(self, asked)

    noted.is_of_alliance = True
    return noted


def install():
    """Have all instances, also those that exist, keep each thread's token, and their request."""
    middleware = auth_context.AuthContextMiddleware
    middleware.token = _OfThread()
    if not hasattr(middleware.process_request, 'is_of_alliance'):
        middleware.process_request = _noting(middleware.process_request)
