"""A webhook's receiver: it verifies what it gets as the Standard Webhooks specification says."""

from __future__ import annotations

import base64
import hashlib
import hmac
import http.server
import json
import secrets
import threading
import time
from dataclasses import dataclass


@dataclass(frozen=True)
class Message:
    id: str
    event: dict
    #: What the receiver answered.
    status: int


class Receiver:
    """Answers with `status`; keeps what was signed by its secret and has just been sent."""

    def __init__(self):
        self._key = secrets.token_bytes(32)
        self.secret = f"whsec_{base64.b64encode(self._key).decode()}"
        self.status, self.location = 204, None
        self.messages: list[Message] = []
        self.forged: list[bytes] = []
        self._port = 0
        self._server = None
        self.listen()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}/hook"

    def listen(self) -> None:
        """Where it listened before."""
        receiver = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                receiver._take(self.headers, body)
                self.send_response(receiver.status)
                if receiver.location:
                    self.send_header("Location", receiver.location)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_):
                pass

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", self._port), Handler)
        self._port = self._server.server_port
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def go_away(self) -> None:
        if self._server:
            self._server.shutdown()
            self._server.server_close()
            self._server = None

    def _take(self, headers, body: bytes) -> None:
        id, sent = headers["webhook-id"], headers["webhook-timestamp"]
        signed = f"{id}.{sent}.".encode() + body
        tag = hmac.new(self._key, signed, hashlib.sha256).digest()
        expected = f"v1,{base64.b64encode(tag).decode()}"
        is_fresh = abs(time.time() - int(sent)) < 60
        is_signed = hmac.compare_digest(headers["webhook-signature"], expected)
        is_event = headers["Content-Type"].startswith("application/cloudevents+json")
        if is_fresh and is_signed and is_event:
            self.messages.append(Message(id, json.loads(body), self.status))
        else:
            self.forged.append(body)

    def taken(self) -> list[str]:
        """The ids of what was told and it has said yes to, in the order of the first time."""
        said_yes = [one for one in self.messages if 200 <= one.status < 300]
        return list(dict.fromkeys(one.event["subject"].rpartition("/")[2] for one in said_yes))
