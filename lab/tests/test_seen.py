"""The notes of lab/python/lab_seen.py: whatever way a token comes, its hash is in them."""

import hashlib
import io
import json
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "python"))

import lab_seen

INNER = "gAAAAABnQm9yZGVybGVzc190b2tlbg"
TOKEN = f"k3v9q2xa~{INNER}"


def sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def request(body=None, **more) -> dict:
    content = b"" if body is None else json.dumps(body).encode()
    kind = "application/json" if body is not None else ""
    made = {"REQUEST_METHOD": "POST", "PATH_INFO": "/v3/x", "CONTENT_TYPE": kind}
    return {**made, "wsgi.input": io.BytesIO(content), **more}


@pytest.mark.parametrize(
    "environ",
    [
        request(HTTP_X_AUTH_TOKEN=TOKEN),
        request(HTTP_X_SUBJECT_TOKEN=TOKEN),
        request(HTTP_AUTHORIZATION=f"Bearer {TOKEN}"),
        request(PATH_INFO=f"/v2.0/tokens/{TOKEN}"),
        request(QUERY_STRING=f"a=1&token={TOKEN}"),
        request({"auth": {"identity": {"token": {"id": TOKEN}}}}),
        request([{TOKEN: None}]),
        request(TOKEN),
    ],
    ids=["auth", "subject", "bearer", "path", "query", "body", "name", "bare"],
)
def test_a_token_is_noted_with_and_without_its_tag_and_never_itself(environ, tmp_path):
    notes, bodies = tmp_path / "seen", []
    sent = environ["wsgi.input"].getvalue()

    def application(environ, start_response):
        bodies.append(environ["wsgi.input"].read())

    lab_seen.Seen(application, str(notes))(environ, None)
    assert not notes.exists(), "not switched on"
    notes.touch()
    environ["wsgi.input"].seek(0)
    lab_seen.Seen(application, str(notes))(environ, None)
    [line] = notes.read_text().splitlines()
    hashes = json.loads(line)["sha256"]
    assert INNER not in line
    assert len(hashes) == len({*hashes})
    assert {sha256(TOKEN), sha256(INNER)} <= {*hashes}
    assert bodies == [sent, sent]
