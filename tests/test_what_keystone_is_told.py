"""What the daemon tells its own Keystone opens nothing, whoever gets hold of it."""

import contextlib
import json
import shutil
import tempfile
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

import pytest

from lab.python.lab_seen import leaves
from tests.kit import http
from tests.kit.proxy import Proxy, SocketProxy, parse
from tests.kit.waiting import until
from tests.test_sign_out import SOON, ended, log_out, traveller, visit

#: gunicorn refuses longer headers, and so whatever is in them.
LONGEST = 8000


class Told:
    """Strings that a daemon said to its Keystone, as questions and as answers."""

    def __init__(self, keystone: Proxy, daemon: SocketProxy):
        self._keystone, self._daemon = keystone, daemon

    def strings(self) -> set[str]:
        found = with_parts({*self._asked(), *self._answered()})
        return {string for string in found if string.strip() and len(string) < LONGEST}

    def logins(self) -> set[str]:
        """Its own tokens, which open what its Keystone's operator gave it."""
        answers = b"".join(bytes(each.received) for each in self._keystone.connections)
        lines = answers.decode("latin-1").splitlines()
        pairs = (line.partition(":") for line in lines)
        found = {value.strip() for name, _, value in pairs if name.lower() == "x-subject-token"}
        return with_parts(found)

    def _asked(self):
        for request in self._keystone.requests():
            parts = urlsplit(request.target)
            yield from parts.path.split("/")
            yield from (value for _, value in parse_qsl(parts.query))
            yield from request.headers.values()
            if request.body:
                yield from leaves(json.loads(request.body))

    def _answered(self):
        for connection in self._daemon.connections:
            # One question each.
            if connection.received and parse(bytes(connection.sent)):
                answer = http.parse(bytes(connection.received))
                yield from answer.headers.values()
                if answer.body:
                    yield from leaves(json.loads(answer.body))


def with_parts(strings: set[str]) -> set[str]:
    """Each also without its tag: a token that a cloud issued itself opens it so, too."""
    return strings | {string.rpartition("~")[2] for string in strings}


@pytest.fixture
def told(east):
    folder = Path(tempfile.mkdtemp(prefix="tap"))
    with contextlib.ExitStack() as stack:
        stack.callback(shutil.rmtree, folder)
        keystone = stack.enter_context(Proxy(east.port("keystone")))
        daemon = stack.enter_context(SocketProxy(east.daemon_socket, folder / "sock"))
        ours = {"keystone": {"auth_url": f"{keystone.url}/v3"}}
        theirs = {"alliance": {"socket": daemon.path}}
        stack.enter_context(east.configured(keystone=theirs, alliance=ours))
        yield Told(keystone, daemon)


def test_nothing_that_the_daemon_ever_tells_keystone_opens_anything(west, east, told):
    guest = visit(east, traveller(west, east))
    east.orders("agreement", "list")
    sessions = [each["id"] for each in east.told("session", "list", "--user", guest.person.id)]
    log_out(west, guest)
    ended(east, guest)
    until(lambda: {*sessions} <= told.strings(), "Keystone was told of the session", deadline=SOON)
    strings = told.strings() - told.logins()
    assert any(string.startswith("ring~") for string in strings)
    assert told.logins()
    assert len(strings) > 20
    opened = [string for string in strings if opens(east, string)]
    assert not opened


def opens(cloud, string: str) -> bool:
    as_header = string.encode("latin-1", "ignore").decode("latin-1")
    answers = [
        cloud.ask("GET", "/auth/projects", as_header),
        cloud.validate(as_header),
        cloud.rescope(string),
        cloud.ask("GET", "/auth/tokens", as_header, X_Subject_Token=as_header),
    ]
    return any(answer.status < 400 for answer in answers)
