"""Requests to a cloud's APIs, singly or many at once."""

from __future__ import annotations

import asyncio
import json
import socket
from dataclasses import dataclass, field
from urllib.parse import urlsplit

DEADLINE = 30.0


@dataclass(frozen=True)
class Answer:
    status: int
    headers: dict[str, str] = field(repr=False)
    body: bytes = field(repr=False)

    def json(self):
        return json.loads(self.body)


def request(method: str, url: str, headers: dict[str, str], body=None) -> bytes:
    """The bytes of a request; header values may be anything, as an attacker's may."""
    parts = urlsplit(url)
    content = b"" if body is None else json.dumps(body).encode()
    target = parts.path + (f"?{parts.query}" if parts.query else "")
    lines = [f"{method} {target} HTTP/1.1", f"Host: {parts.netloc}", "Connection: close"]
    if body is not None:
        lines += ["Content-Type: application/json", f"Content-Length: {len(content)}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    return "\r\n".join(lines).encode("utf-8", "surrogateescape") + b"\r\n\r\n" + content


def send(method: str, url: str, headers=None, body=None, deadline: float = DEADLINE) -> Answer:
    """One request on a connection of its own."""
    parts = urlsplit(url)
    with socket.create_connection((parts.hostname, parts.port), timeout=deadline) as stream:
        stream.sendall(request(method, url, headers or {}, body))
        received = bytearray()
        while chunk := stream.recv(65536):
            received += chunk
    return parse(bytes(received))


def parse(received: bytes) -> Answer:
    head, _, body = received.partition(b"\r\n\r\n")
    first, *lines = head.decode("latin-1").split("\r\n")
    assert first.startswith("HTTP/1.1 "), f"no answer: {received[:60]!r}"
    pairs = (line.partition(":") for line in lines)
    headers = {name.strip().lower(): value.strip() for name, _, value in pairs}
    if headers.get("transfer-encoding") == "chunked":
        body = unchunk(body)
    return Answer(int(first.split()[1]), headers, body)


def unchunk(body: bytes) -> bytes:
    whole = b""
    while body:
        size, _, body = body.partition(b"\r\n")
        length = int(size, 16)
        if not length:
            break
        whole, body = whole + body[:length], body[length + 2 :]
    return whole


def burst(requests: list[tuple[str, bytes]], deadline: float = 60.0) -> list[Answer]:
    """Sends all at once, each (url, bytes) on its own connection, and returns the answers."""

    async def one(url: str, content: bytes) -> Answer:
        parts = urlsplit(url)
        reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
        writer.write(content)
        received = await reader.read(-1)
        writer.close()
        return parse(received)

    async def all_of_them() -> list[Answer]:
        work = asyncio.gather(*(one(*each) for each in requests))
        return await asyncio.wait_for(work, deadline)

    return asyncio.run(all_of_them())
