"""One HTTP/1.1 exchange over a unix socket, with one deadline for all of it.

A connection serves one exchange and belongs to one thread, so nothing is shared between threads or
across a fork.
"""

import http.client
import io
import os
import socket
import stat
import struct
import time

MAX_RESPONSE = 256 * 1024
_CHUNK = 64 * 1024


class Failed(Exception):
    """No usable answer: connection refused, deadline passed, or not HTTP."""


def post(path, owners, target, body, headers, deadline):
    """POST ``body`` and return status and body of the answer.

    :param path: the unix socket
    :param owners: user ids that may own the socket and serve it
    :param deadline: seconds for everything, from connecting to the last byte of the answer
    :raises Failed: if there is no complete answer of an acceptable size in time
    """
    until = time.monotonic() + deadline
    _check_owner(path, owners)
    request = _request(target, body, headers)
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.settimeout(_left(until))
            connection.connect(path)
            _check_peer(connection, owners)
            connection.sendall(request)
            return _parse(_receive(connection, until))
    except OSError as error:
        raise Failed(f'{path}: {error.strerror or error}') from error


def _check_owner(path, owners):
    try:
        status = os.stat(path)
    except OSError as error:
        raise Failed(f'{path}: {error.strerror}') from error
    if not stat.S_ISSOCK(status.st_mode):
        raise Failed(f'{path} is not a socket')
    if status.st_uid not in owners:
        raise Failed(
            f'{path} belongs to user id {status.st_uid}: name it in [alliance] socket_owners if '
            'that is the alliance daemon'
        )


def _check_peer(connection, owners):
    credentials = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
    _pid, uid, _gid = struct.unpack('3i', credentials)
    if uid not in owners:
        raise Failed(f'the socket is served by user id {uid}, which [alliance] does not allow')


def _request(target, body, headers):
    lines = [
        f'POST {target} HTTP/1.1',
        'Host: alliance',
        'Connection: close',
        'Content-Type: application/json',
        f'Content-Length: {len(body)}',
    ]
    lines += [f'{name}: {value}' for name, value in headers.items()]
    return '\r\n'.join(lines).encode('ascii') + b'\r\n\r\n' + body


def _left(until):
    left = until - time.monotonic()
    if left <= 0:
        raise Failed('no complete answer within the deadline')
    return left


def _receive(connection, until):
    received = bytearray()
    wanted = None
    while wanted is None or len(received) < wanted:
        connection.settimeout(_left(until))
        try:
            chunk = connection.recv(_CHUNK)
        except socket.timeout:
            raise Failed('no complete answer within the deadline') from None
        if not chunk:
            break
        received += chunk
        if len(received) > MAX_RESPONSE:
            raise Failed(f'the answer is longer than {MAX_RESPONSE} bytes')
        if wanted is None:
            wanted = _full_length(received)
    return bytes(received)


def _full_length(received):
    """Length of the whole answer, once its head tells; None: until the server closes."""
    end = received.find(b'\r\n\r\n')
    if end < 0:
        return None
    for line in bytes(received[:end]).split(b'\r\n')[1:]:
        name, _colon, value = line.partition(b':')
        if name.strip().lower() == b'content-length' and value.strip().isdigit():
            return end + 4 + int(value)
    return None


class _Received:
    """What ``http.client`` needs of a socket, over bytes that are already here."""

    def __init__(self, content):
        self._content = content

    def makefile(self, _mode):
        return io.BytesIO(self._content)


def _parse(content):
    response = http.client.HTTPResponse(_Received(content), method='POST')
    try:
        response.begin()
        return response.status, response.read()
    except (http.client.HTTPException, ValueError, OSError) as error:
        raise Failed(f'the answer is not HTTP: {type(error).__name__}') from error
