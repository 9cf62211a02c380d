"""Between a client and a server on this machine: counts, delays and keeps what goes by."""

from __future__ import annotations

import contextlib
import queue
import socket
import struct
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

from tests.kit import http


@dataclass(frozen=True)
class Request:
    """A request of HTTP/1.1 as it went over the wire; names of headers are in lower case."""

    method: str
    target: str
    headers: dict[str, str] = field(repr=False)
    body: bytes = field(repr=False)

    def has(self, text: str) -> bool:
        """Whether this stands anywhere in it."""
        parts = (self.target, *self.headers.values(), self.body.decode("latin-1"))
        return any(text in part for part in parts)


@dataclass(frozen=True)
class Passed:
    """Something that went by, whole or in part. Times are those of `time.monotonic`."""

    #: From the client; else to it.
    sent: bool
    #: Bytes.
    size: int
    arrived: float
    left: float


class Connection:
    def __init__(self):
        #: From the client, and to it.
        self.sent, self.received = bytearray(), bytearray()
        #: In the order in which it left.
        self.passed: list[Passed] = []


class Proxy:
    """Passes connections on to `target`, a port of this machine. Each byte comes `delay` seconds
    later, in each direction: a question with its answer takes twice that longer."""

    def __init__(self, target: int | Path, delay: float = 0.0):
        self.target, self.delay = target, delay
        self.connections: list[Connection] = []
        self._open: list[socket.socket] = []
        self._gates = {True: threading.Event(), False: threading.Event()}
        for gate in self._gates.values():
            gate.set()
        self._resets = False
        self._listener = self._listen()

    @property
    def port(self) -> int:
        return self._listener.getsockname()[1]

    def _listen(self) -> socket.socket:
        return socket.create_server(("127.0.0.1", 0))

    def _connect(self) -> socket.socket:
        server = socket.create_connection(("127.0.0.1", self.target))
        server.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return server

    def __enter__(self) -> Proxy:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_) -> None:
        for gate in self._gates.values():
            gate.set()
        for stream in (self._listener, *self._open):
            _shut(stream)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @contextlib.contextmanager
    def holding(self, *, sent: bool):
        """Keeps what comes from the client, or what is for it, until the end of the block."""
        self._gates[sent].clear()
        try:
            yield
        finally:
            self._gates[sent].set()

    def reset(self) -> None:
        """Resets every connection that is there."""
        with contextlib.suppress(IndexError):
            while True:
                # First those of clients: they would hear from the server that it is over.
                stream = self._open.pop(0)
                with contextlib.suppress(OSError):
                    # Not by FIN, and not while somebody reads.
                    stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                    stream.shutdown(socket.SHUT_RD)
                stream.close()

    @contextlib.contextmanager
    def resetting(self):
        """Resets every connection until the end of the block, those that come too."""
        self._resets = True
        self.reset()
        try:
            yield
        finally:
            self._resets = False

    def size(self, *, sent: bool) -> int:
        """Bytes that came from the client so far, or for it, those that are held included."""
        return sum(len(each.sent if sent else each.received) for each in self.connections)

    def requests(self) -> list[Request]:
        """All requests so far, of plain HTTP/1.1."""
        found = []
        for connection in self.connections:
            found += parse(bytes(connection.sent))
        return found

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                if client.family == socket.AF_INET:
                    client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                self._open.append(client)
                if self._resets:
                    self.reset()
                    continue
                connection = Connection()
                self.connections.append(connection)
                try:
                    server = self._connect()
                except OSError:
                    _shut(client)
                    continue
                self._open.append(server)
                self._pump(client, server, connection, connection.sent)
                self._pump(server, client, connection, connection.received)

    def _pump(self, source, sink, connection: Connection, kept: bytearray) -> None:
        due: queue.SimpleQueue[tuple[float, float, bytes]] = queue.SimpleQueue()

        def take() -> None:
            chunk = b"-"
            while chunk:
                with contextlib.suppress(OSError):
                    chunk = b""
                    chunk = source.recv(65536)
                kept.extend(chunk)
                due.put((time.monotonic(), self.delay, chunk))

        def give() -> None:
            with contextlib.suppress(OSError):
                while True:
                    arrived, delay, chunk = due.get()
                    self._gates[kept is connection.sent].wait()
                    time.sleep(max(0.0, arrived + delay - time.monotonic()))
                    if not chunk:
                        break
                    sent, left = kept is connection.sent, time.monotonic()
                    connection.passed.append(Passed(sent, len(chunk), arrived, left))
                    sink.sendall(chunk)
            with contextlib.suppress(OSError):
                sink.shutdown(socket.SHUT_WR)

        for work in (take, give):
            threading.Thread(target=work, daemon=True).start()


class SocketProxy(Proxy):
    """The same for a unix socket; clients connect to `path`."""

    def __init__(self, target: Path, path: Path):
        self.path = path
        super().__init__(target)

    def _listen(self) -> socket.socket:
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(str(self.path))
        listener.listen(64)
        return listener

    def _connect(self) -> socket.socket:
        server = socket.socket(socket.AF_UNIX)
        server.connect(str(self.target))
        return server


def _shut(stream: socket.socket) -> None:
    with contextlib.suppress(OSError):
        stream.shutdown(socket.SHUT_RDWR)
    stream.close()


def parse(sent: bytes) -> list[Request]:
    """The whole requests of one connection."""
    found = []
    while b"\r\n\r\n" in sent:
        head, _, rest = sent.partition(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").split("\r\n")
        pairs = (line.partition(":") for line in lines)
        headers = {name.strip().lower(): value.strip() for name, _, value in pairs}
        if headers.get("transfer-encoding") == "chunked":
            content, _, sent = rest.partition(b"0\r\n\r\n")
            body = http.unchunk(content)
        else:
            length = int(headers.get("content-length", 0))
            body, sent = rest[:length], rest[length:]
        method, target, _ = first.split(" ")
        found.append(Request(method, target, headers, body))
    return found
