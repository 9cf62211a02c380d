"""Keystone's own revocation of tokens, over standard input and output.

A JSON object a line: ``events``, as arguments of Keystone's `RevokeEvent`, are stored by its SQL
driver; ``tokens`` have what Keystone's `build_token_values` reads of a token. Answered by the
``events`` as Keystone lists them, and for each the numbers of the tokens that it ends (``ended``).
"""

import contextlib
import datetime
import json
import sys
from types import SimpleNamespace

import keystone.conf
from keystone.common import sql
from keystone.models import revoke_model
from keystone.revoke.backends.sql import RevocationEvent, Revoke
from oslo_db import options

TIMES = ("expires_at", "issued_before", "revoked_at")
ABSENT = {"domain_id": None, "trust_scoped": False, "oauth_scoped": False}


def event(arguments):
    times = {
        name: datetime.datetime.strptime(arguments[name], "%Y-%m-%dT%H:%M:%S.%fZ")
        for name in TIMES
        if arguments.get(name)
    }
    return revoke_model.RevokeEvent(**{**arguments, **times})


def answer(question):
    with sql.session_for_write() as session:
        session.query(RevocationEvent).delete()
    driver = Revoke()
    # Keystone removes old ones at each; once is enough here.
    driver._prune_expired_events = lambda: None
    for arguments in question["events"]:
        driver.revoke(event(arguments))
    stored = driver.list_events()
    # Each has a time of its own, by which it is known again.
    numbers = {stored_event.revoked_at: number for number, stored_event in enumerate(stored)}
    assert len(numbers) == len(question["events"])
    ended = [[] for _ in stored]
    for number, token in enumerate(question["tokens"]):
        values = revoke_model.build_token_values(SimpleNamespace(**ABSENT, **token))
        for candidate in driver.list_events(token=values):
            if revoke_model.matches(candidate, values):
                ended[numbers[candidate.revoked_at]].append(number)
    return {"events": [each.to_dict() for each in stored], "ended": ended}


def main():
    keystone.conf.configure()
    conf = keystone.conf.CONF
    conf([], project="keystone", default_config_files=[])
    options.set_defaults(conf, connection="sqlite://")
    with sql.session_for_write() as session:
        sql.ModelBase.metadata.create_all(session.get_bind())
    for line in sys.stdin:
        # What libraries print is no answer.
        with contextlib.redirect_stdout(sys.stderr):
            answered = answer(json.loads(line))
        print(json.dumps(answered), flush=True)


main()
