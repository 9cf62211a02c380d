"""Notes what a cloud is sent, so that a test can show that a token never came to it.

While the file of $LAB_SEEN is there, a line is added to it for each request: the SHA-256 of every
string in it that could be a token, wherever it stands (headers, path, query, JSON). Of a token with
a tag, what follows the tag is noted too: a cloud that got either has got the token.
"""

import hashlib
import io
import json
import os
import re
from urllib.parse import parse_qsl

#: The shortest tokens are 32 hex digits.
SHORTEST = 20


class Seen:
    def __init__(self, application, path):
        self._application, self._path = application, path

    def __call__(self, environ, start_response):
        if os.path.exists(self._path):
            note = {
                "method": environ["REQUEST_METHOD"],
                "path": re.sub(rf"[^/]{{{SHORTEST},}}", "*", environ.get("PATH_INFO", "")),
                "sha256": sorted({*hashes(strings(environ))}),
            }
            line = json.dumps(note) + "\n"
            # One write, since several workers note at once.
            fd = os.open(self._path, os.O_WRONLY | os.O_APPEND)
            try:
                os.write(fd, line.encode())
            finally:
                os.close(fd)
        return self._application(environ, start_response)


def strings(environ):
    """Every string of a request."""
    for name, value in environ.items():
        if name.startswith("HTTP_"):
            yield value
            yield from re.split(r"[\s,;]+", value)
    yield from environ.get("PATH_INFO", "").split("/")
    for _, value in parse_qsl(environ.get("QUERY_STRING", "")):
        yield value
    # What is no JSON is an image.
    if "json" in environ.get("CONTENT_TYPE", ""):
        body = environ["wsgi.input"].read()
        environ["wsgi.input"] = io.BytesIO(body)
        try:
            yield from leaves(json.loads(body))
        except (ValueError, RecursionError):
            yield body.decode("latin-1")


def leaves(value):
    """The strings of a JSON value, names included."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for name, one in value.items():
            yield name
            yield from leaves(one)
    elif isinstance(value, list):
        for one in value:
            yield from leaves(one)


def hashes(found):
    for string in found:
        for part in {string, string.rpartition("~")[2]}:
            if len(part) >= SHORTEST:
                yield hashlib.sha256(part.encode("utf-8", "surrogateescape")).hexdigest()
