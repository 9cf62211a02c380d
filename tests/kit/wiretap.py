"""Between two daemons: reads what one cloud asks another, which nobody can who lacks their keys."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import subprocess
import tempfile
import threading
from pathlib import Path

_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_FRAME_HEAD = 9
_DATA, _PADDED = 0, 0x08


class Wiretap:
    """Stands before the peer port of a daemon, for one other daemon that connects to it.

    It holds both identity keys, so each takes it for the other. The daemon behind it must be known
    by `port` (`[peer] url`).
    """

    def __init__(self, target: int, server_key: Path, client_key: Path):
        self.target = target
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._server_key, self._client_key = server_key, client_key
        #: What the client has sent, by connection.
        self._sent: list[bytearray] = []
        self._loop = asyncio.new_event_loop()

    def __enter__(self) -> Wiretap:
        with tempfile.TemporaryDirectory() as name:
            # Created like this, a context is made for whoever connects.
            server = _context(ssl.PROTOCOL_TLS_SERVER, self._server_key, Path(name) / "server.pem")
            client = _context(ssl.PROTOCOL_TLS_CLIENT, self._client_key, Path(name) / "client.pem")

        async def serve(reader, writer) -> None:
            with contextlib.suppress(OSError, asyncio.IncompleteReadError):
                sent = bytearray()
                self._sent.append(sent)
                theirs = await asyncio.open_connection("127.0.0.1", self.target, ssl=client)
                await asyncio.gather(_pump(reader, theirs[1], sent), _pump(theirs[0], writer))

        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        started = asyncio.start_server(serve, sock=self._listener, ssl=server)
        self._server = asyncio.run_coroutine_threadsafe(started, self._loop).result(10)
        return self

    def __exit__(self, *_) -> None:
        async def end() -> None:
            self._server.close()
            others = asyncio.all_tasks() - {asyncio.current_task()}
            for task in others:
                task.cancel()
            await asyncio.gather(*others, return_exceptions=True)

        asyncio.run_coroutine_threadsafe(end(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    @property
    def url(self) -> str:
        return f"https://127.0.0.1:{self.port}"

    def bodies(self) -> list[bytes]:
        """The bodies of all requests so far: where the peer API has whatever it is asked about."""
        return [body for sent in self._sent for body in bodies(bytes(sent))]

    def has(self, text: str) -> bool:
        """Whether this has gone by, in a body or outside of one."""
        content = [*map(bytes, self._sent), *self.bodies()]
        return any(text.encode() in each for each in content)


def bodies(sent: bytes) -> list[bytes]:
    """What one end of a connection sent in DATA frames, by stream (RFC 9113 §4.1, §6.1)."""
    streams: dict[int, bytearray] = {}
    rest = sent.removeprefix(_PREFACE)
    while len(rest) >= _FRAME_HEAD:
        end = _FRAME_HEAD + int.from_bytes(rest[:3], "big")
        kind, flags, stream = rest[3], rest[4], int.from_bytes(rest[5:9], "big")
        content, rest = rest[_FRAME_HEAD:end], rest[end:]
        if kind == _DATA:
            padding = content[0] if flags & _PADDED else None
            whole = content if padding is None else content[1 : len(content) - padding]
            streams.setdefault(stream, bytearray()).extend(whole)
    return [bytes(body) for body in streams.values() if body]


async def _pump(reader, writer, kept: bytearray | None = None) -> None:
    try:
        while chunk := await reader.read(65536):
            if kept is not None:
                kept.extend(chunk)
            writer.write(chunk)
            await writer.drain()
    finally:
        writer.close()


def _context(protocol: int, key: Path, certificate: Path) -> ssl.SSLContext:
    """TLS as a daemon with that identity key speaks it, to anybody."""
    made = ["openssl", "req", "-x509", "-new", "-key", key, "-subj", "/CN=alliance", "-days", "1"]
    subprocess.run([*made, "-out", certificate], check=True, capture_output=True)
    context = ssl.SSLContext(protocol)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.set_alpn_protocols(["h2"])
    context.load_cert_chain(certificate, key)
    return context
