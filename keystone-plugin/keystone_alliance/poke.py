"""Tells the daemon, without ever waiting for it, that something may have ended or changed here.

A poke is a datagram. If it gets lost, the daemon finds out by itself a little later.
"""

import errno
import functools
import json
import os
import socket
import threading

import keystone.conf
from oslo_log import log

from keystone_alliance import options

CONF = keystone.conf.CONF
LOG = log.getLogger(__name__)

_NAME = 'poke.sock'
_STORED = b'{}'
_CATALOG = b'{"catalog": true}'
# The daemon is not there, or has more to read than its queue takes.
_EXPECTED = (errno.ENOENT, errno.ECONNREFUSED, errno.EAGAIN, errno.ENOBUFS)

_local = threading.local()


def stored():
    """Keystone has disabled or enabled something."""
    _send(_STORED)


def revoked(event):
    """Keystone has stored a revocation event.

    :param event: as ``GET /v3/OS-REVOKE/events`` shows it
    """
    _send(json.dumps({'revoked': event}).encode('utf-8'))


def catalog():
    """A service or an endpoint has changed."""
    _send(_CATALOG)


def look_again(**whom):
    """Something else has changed for tokens of a user, for a project, or of a domain.

    :param whom: ``user_id``, ``project_id``, ``domain_id``; each narrows it, none means all tokens
    """
    _send(json.dumps({'look_again': whom}).encode('utf-8'))


def _send(what):
    try:
        _socket().sendto(what, _path())
    except OSError as error:
        if error.errno not in _EXPECTED:
            LOG.warning('The alliance daemon was not poked: %s', error)


@functools.lru_cache(maxsize=1)
def _path():
    """Beside the daemon's other socket; looking options up takes longer than all the rest."""
    return os.path.join(os.path.dirname(options.load(CONF).socket), _NAME)


def _socket():
    """One per thread and process, which never waits."""
    if getattr(_local, 'pid', None) != os.getpid():
        _local.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        _local.pid = os.getpid()
    return _local.socket
