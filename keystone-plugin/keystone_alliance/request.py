"""The request that Keystone is answering: its id, and the trace that it belongs to."""

import contextlib
import re
import threading
import uuid

import flask

# What fits into a header: the daemon reads it by the grammar.
_HEADERS = {
    'traceparent': re.compile(r'[!-~]{1,128}'),
    'tracestate': re.compile(r'[ -~]{1,512}'),
}

_outside = threading.local()


@contextlib.contextmanager
def outside_flask(environ):
    """Have the thread answer this request meanwhile, which Flask has not seen yet."""
    before = getattr(_outside, 'environ', None)
    _outside.environ = environ
    try:
        yield
    finally:
        _outside.environ = before


def current_id():
    """Its id, or a fresh one where there is no request.

    The oslo.context of the thread may be that of an earlier request.
    """
    return _environ().get('openstack.request_id') or f'req-{uuid.uuid4()}'


def trace_context():
    """What the client said of a trace, as headers: W3C Trace Context, handed on as it came."""
    found = {name: _environ().get(f'HTTP_{name.upper()}', '') for name in _HEADERS}
    fit = {name: value for name, value in found.items() if _HEADERS[name].fullmatch(value)}
    return fit if 'traceparent' in fit else {}


def _environ():
    if flask.has_request_context():
        return flask.request.environ
    return getattr(_outside, 'environ', None) or {}
