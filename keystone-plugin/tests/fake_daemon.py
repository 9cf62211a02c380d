"""A double of the alliance daemon on a unix socket, for faults that the real one does not have."""

import contextlib
import http.server
import json
import os
import socketserver
import threading
import time

from partner_cloud import new_key
from partner_cloud import sign
from partner_cloud import word

_TOLD = ('/v1/doorbell/ack', '/v1/doorbell/done', '/v1/guests/sweep')


class _Server(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    daemon_threads = True
    request_queue_size = 128


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = 'HTTP/1.1'

    def log_message(self, *_args):
        pass

    def address_string(self):
        return 'unix'

    def do_POST(self):
        daemon = self.server.daemon
        body = json.loads(self.rfile.read(int(self.headers['content-length'])))
        request_id = self.headers['x-openstack-request-id']
        with daemon.lock:
            daemon.calls.append((self.path, body, request_id))
            daemon.headers = self.headers
            daemon.at_once += 1
            daemon.most_at_once = max(daemon.most_at_once, daemon.at_once)
        try:
            daemon.behave(self, body)
        finally:
            with daemon.lock:
                daemon.at_once -= 1

    def reply(self, status, document):
        content = document if isinstance(document, bytes) else json.dumps(document).encode()
        self.send_response(status)
        self.send_header('content-type', 'application/json')
        if status != 204:
            self.send_header('content-length', str(len(content)))
        self.end_headers()
        if status != 204:
            self.wfile.write(content)


class FakeDaemon:
    """Answers from ``partners``; ``fault`` replaces the whole answer."""

    def __init__(self, path, cloud_id, partners):
        self.path = str(path)
        self.cloud_id = cloud_id
        self.partners = {partner.tag: partner for partner in partners}
        self.private, self.jwk, _ = new_key()
        self.lock = threading.Lock()
        self.reset()
        self.start()

    def reset(self):
        self.calls = []
        self.headers = None  # of the last call
        self.at_once = 0
        self.most_at_once = 0
        self.fault = None
        self.delay = 0
        self.gate = None
        self.attests = False  # also for partners that have a daemon
        self.also = {}  # further fields of a positive answer
        self.used = set()  # login passports
        self.issued = {'status': 'invalid', 'reason': 'unknown_partner'}
        self.work = {'changed': True, 'batch': 1, 'sessions': [], 'flush': False}
        self.sign_passport = lambda partner, token: partner.passport(token, self.cloud_id)
        self.sign_statement = lambda partner, body: partner.statement(
            body['user_id'], body['project_id'], self.cloud_id
        )
        self.sign_token_attestation = self.attest_token
        self.sign_grants_attestation = self.attest_grants

    def sign(self, claims, typ, key=None, header=None):
        return sign(claims, typ, key or self.private, self.jwk, header)

    def attest_token(self, home, token, **changes):
        """What this daemon found of a token by itself, in its own name."""
        claims = {
            **word(self.cloud_id, self.cloud_id),
            'partner': home.cloud_id,
            'token_introspection': home.issued[token],
            **changes,
        }
        return self.sign(claims, 'alliance-token-attestation+jwt')

    def attest_grants(self, home, body, **changes):
        claims = {
            **word(self.cloud_id, self.cloud_id),
            'partner': home.cloud_id,
            'grants': home.grants(body['user_id'], body['project_id']),
            **changes,
        }
        return self.sign(claims, 'alliance-grants-attestation+jwt')

    def start(self):
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self.path)
        self._server = _Server(self.path, _Handler)
        self._server.daemon = self
        threading.Thread(
            target=self._server.serve_forever, kwargs={'poll_interval': 0.02}, daemon=True
        ).start()

    def stop(self):
        self._server.shutdown()
        self._server.server_close()
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self.path)

    def questions(self, path=None):
        return [call for call in self.calls if path is None or call[0] == path]

    def behave(self, handler, body):
        if self.fault is not None and handler.path not in _TOLD:
            self.fault(handler)
            return
        if self.delay:
            time.sleep(self.delay)
        if self.gate is not None:
            self.gate.wait(60)
        if handler.path == '/v1/tokens/validate':
            self._validate(handler, body['token'])
        elif handler.path == '/v1/guests/confirm':
            self._confirm(handler, body)
        elif handler.path == '/v1/logins':
            self._log_in(handler, body['passport'])
        elif handler.path == '/v1/passports':
            handler.reply(200, self.issued)
        elif handler.path == '/v1/doorbell/answer':
            handler.reply(200 if self.work else 404, self.work or {})
        elif handler.path in _TOLD:
            handler.reply(204, b'')
        else:
            handler.reply(404, {})

    def _validate(self, handler, token):
        for partner in self.partners.values():
            if token in partner.issued:
                break
        else:
            handler.reply(200, {'status': 'invalid', 'reason': 'not_found'})
            return
        if self._is_attested(partner):
            signed = {'attestation': self.sign_token_attestation(partner, token)}
        else:
            signed = {'passport': self.sign_passport(partner, token)}
        self._valid(handler, partner, signed)

    def _log_in(self, handler, passport):
        if passport in self.used:
            handler.reply(200, {'status': 'invalid', 'reason': 'replayed'})
            return
        self.used.add(passport)
        handler.reply(200, {'status': 'valid', 'passport': passport, **self.also})

    def _confirm(self, handler, body):
        (partner,) = (p for p in self.partners.values() if p.cloud_id == body['cloud_id'])
        if not partner.roles.get((body['user_id'], body['project_id'])):
            handler.reply(200, {'status': 'invalid', 'reason': 'not_found'})
            return
        if self._is_attested(partner):
            signed = {'attestation': self.sign_grants_attestation(partner, body)}
        else:
            signed = {'statement': self.sign_statement(partner, body)}
        self._valid(handler, partner, signed)

    def _is_attested(self, partner):
        return self.attests or partner.kind == 'keystone'

    def _valid(self, handler, partner, signed):
        shown = {'cloud_id': partner.cloud_id, 'name': partner.name}
        handler.reply(200, {'status': 'valid', 'partner': shown, **signed, **self.also})


def hang(_handler):
    time.sleep(5)


def dribble(handler):
    with contextlib.suppress(OSError):
        for byte in b'HTTP/1.1 200 OK\r\ncontent-length: 100000\r\n\r\n' + b' ' * 100000:
            handler.wfile.write(bytes([byte]))
            handler.wfile.flush()
            time.sleep(0.1)


def garbage(handler):
    handler.wfile.write(b'\x00\x16\x03 not http at all\r\n\r\n')
    handler.close_connection = True


def huge(handler):
    with contextlib.suppress(OSError):
        handler.reply(200, b'{"status": "valid", "x": "' + b'x' * 50_000_000 + b'"}')


def not_json(handler):
    handler.reply(200, b'<html>')


def indeterminate(handler):
    handler.reply(503, {'status': 'indeterminate', 'reason': 'unreachable'})


def server_error(handler):
    handler.reply(500, {'title': 'broken'})
