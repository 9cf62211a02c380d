"""Which tokens an event of Keystone's ends: what we say of it, and what Keystone does."""

import datetime
import itertools
import json
import random
from collections import Counter

import pytest

from tests.kit.program import KeystonesOwn, Oracle

SEED = 20261128
FIELDS = (
    "user_id",
    "project_id",
    "domain_id",
    "role_id",
    "audit_id",
    "audit_chain_id",
    "expires_at",
    "trust_id",
    "consumer_id",
    "access_token_id",
)
#: Of tokens that never leave their home.
ABROAD_NEVER = ("OS-TRUST:trust_id", "OS-OAUTH1:consumer_id", "OS-OAUTH1:access_token_id")
TOKENS, ROUNDS = 16, 10

MICROSECOND, SECOND = datetime.timedelta(microseconds=1), datetime.timedelta(seconds=1)
#: Of an event's time from the issue of a token.
BORDER = [-SECOND, -300 * 1000 * MICROSECOND, -MICROSECOND, 0 * SECOND]
BORDER += [MICROSECOND, 300 * 1000 * MICROSECOND, SECOND, 100 * SECOND]


def written(moment):
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def read(text):
    return datetime.datetime.fromisoformat(text.replace("Z", "+00:00"))


class Generator:
    def __init__(self, seed):
        self.random = random.Random(seed)
        self.now = datetime.datetime.now(datetime.timezone.utc).replace(microsecond=0)
        self.count = itertools.count(1)

    def _id(self, kind):
        return f"{kind}{self.random.randrange(3)}"

    def moment(self):
        """Within a few seconds, and at times on a whole one."""
        moment = self.now - self.random.randrange(60, 66) * SECOND
        return moment + self.random.choice((0, 0, 1, 300_000, 999_999)) * MICROSECOND

    def token(self):
        chance, project = self.random, self._id("project")
        own, issued_at = f"own{next(self.count)}", self.moment()
        expires_at = issued_at + chance.choice((3600, 3601)) * SECOND
        return {
            "user_id": self._id("user"),
            "user_domain": {"id": self._id("domain")},
            "project_id": chance.choice((project, project, None)),
            "project_domain": {"id": self._id("domain")},
            "roles": [{"id": f"role{number}"} for number in range(3) if chance.random() < 0.6],
            "audit_id": own,
            "parent_audit_id": chance.choice((None, self._id("root"))),
            "issued_at": written(issued_at),
            "expires_at": written(expires_at + chance.choice((0, 1, 500_000)) * MICROSECOND),
        }

    def event(self, fields, token):
        """About `token` in nearly all that it names."""
        chance = self.random
        domains = [token["user_domain"]["id"], token["project_domain"]["id"]]
        own = {
            "user_id": token["user_id"],
            "project_id": token["project_id"],
            "domain_id": chance.choice(domains),
            "role_id": chance.choice(token["roles"] or [{"id": None}])["id"],
            "audit_id": token["audit_id"],
            "audit_chain_id": chance.choice((token["audit_id"], token["parent_audit_id"])),
            "expires_at": token["expires_at"],
        }
        event = {}
        for field in fields:
            kind = field.removesuffix("_id").replace("audit_chain", "root").replace("audit", "own")
            other = written(self.moment()) if field == "expires_at" else self._id(kind)
            event[field] = other if chance.random() < 0.12 else own.get(field) or other
        # What Keystone does for itself if it is told none.
        if chance.random() < 0.9:
            at = read(token["issued_at"]) + chance.choice(BORDER)
            whole = chance.random() < 0.9
            event["issued_before"] = written(at.replace(microsecond=0) if whole else at)
        event["revoked_at"] = written(self.now - next(self.count) * MICROSECOND)
        return event

    def question(self):
        tokens = [self.token() for _ in range(TOKENS)]
        some = [fields for fields in _combinations(FIELDS[:7])]
        events = [self.event(fields, self.random.choice(tokens)) for fields in some]
        return {"events": events, "tokens": tokens}

    def everything(self):
        """All combinations of all fields."""
        tokens = [self.token() for _ in range(4)]
        return {
            "events": [
                self.event(fields, self.random.choice(tokens)) for fields in _combinations(FIELDS)
            ],
            "tokens": tokens,
        }


def _combinations(fields):
    for count in range(len(fields) + 1):
        yield from itertools.combinations(fields, count)


def as_we_know_it(token):
    return {
        "user_id": token["user_id"],
        "user_domain_id": token["user_domain"]["id"],
        "project_id": token["project_id"],
        "project_domain_id": token["project_domain"]["id"] if token["project_id"] else None,
        "role_ids": [role["id"] for role in token["roles"]],
        "audit_ids": list(filter(None, [token["audit_id"], token["parent_audit_id"]])),
        "issued_at": token["issued_at"],
        "expires_at": token["expires_at"],
    }


# What differs on purpose. Ours is what is said first.


def ends_the_whole_second_of_a_session(event, token):
    """Keystone writes an event to the second, and in some formats a token is issued to the
    microsecond. Its logout ends the token nevertheless: it is compared with the second."""
    named = event.get("audit_id") or event.get("audit_chain_id")
    before, issued_at = read(event["issued_before"]), read(token["issued_at"])
    return (
        named
        and before < issued_at
        and before.replace(microsecond=0) == issued_at.replace(microsecond=0)
    )


def ends_by_the_projects_domain_too(event, token):
    """Keystone forgets the domain of a token's project when it compares, and asks of each project
    whether its domain is enabled instead."""
    domain_id = event.get("domain_id")
    return domain_id == token["project_domain_id"] != token["user_domain_id"]


def takes_the_first_token_as_one_of_its_chain(event, token):
    """Keystone ends it by its own audit id, in an event of its own."""
    return event.get("audit_chain_id") == token["audit_ids"][0]


def ends_nothing_by_an_access_token(event, token):
    """Keystone compares none, and stores no such event."""
    return "OS-OAUTH1:access_token_id" in event


def hears_of_the_second_only(event, token):
    """Keystone stores whole seconds, and whatever is stored it lists as such."""
    before, issued_at = read(event["issued_before"]), read(token["issued_at"])
    return before < issued_at < before + SECOND


STRICTER = (
    ends_the_whole_second_of_a_session,
    ends_by_the_projects_domain_too,
    takes_the_first_token_as_one_of_its_chain,
)
LAXER = (ends_nothing_by_an_access_token, hears_of_the_second_only)


@pytest.fixture(scope="module")
def compared():
    """Each pair: the event as Keystone lists it, the token, whether Keystone ends it, and what we
    say."""
    generator, pairs = Generator(SEED), []
    us, keystone = Oracle("alliance-core"), KeystonesOwn("revocation.py")
    questions = [generator.everything(), *(generator.question() for _ in range(ROUNDS))]
    for question in questions:
        theirs = keystone.ask(question)
        tokens = [as_we_know_it(token) for token in question["tokens"]]
        answers = us.ask({"events": theirs["events"], "tokens": tokens})
        for event, ended, answer in zip(theirs["events"], theirs["ended"], answers, strict=True):
            for number, token in enumerate(tokens):
                said = {name for name, numbers in answer.items() if number in numbers}
                pairs.append((event, token, number in ended, said))
    us.end()
    keystone.end()
    return pairs


def shown(event, token, *more):
    return f"seed {SEED}: {json.dumps(event)} and {json.dumps(token)}: {more}"


def test_a_revocation_list_ends_what_keystone_ends(compared):
    seen = Counter()
    assert len(compared) > 20_000
    for event, token, ends, said in compared:
        if ("listed" in said) == ends:
            seen[ends] += 1
            continue
        why = [reason for reason in (LAXER if ends else STRICTER) if reason(event, token)]
        assert why, shown(event, token, ends, said)
        seen.update(why)
    # Enough of both, and no reason is left that explains nothing.
    assert min(seen[True], seen[False]) > 500, seen
    assert {*seen} == {True, False, *STRICTER, *LAXER}


def test_a_sign_out_ends_the_same_and_puts_in_doubt_what_a_role_ends(compared):
    seen = Counter()
    for event, token, _, said in compared:
        listed, late = "listed" in said, "ended_late" in said
        if "role_id" not in event:
            assert ("ended" in said, late, "doubtful" in said) == (listed, listed, False), shown(
                event, token, said
            )
        else:
            # A session knows its roles by name only: whatever else the event names must be its own.
            assert not {"ended", "ended_late"} & said, shown(event, token, said)
            assert "doubtful" in said or not listed, shown(event, token, said)
            seen["doubtful" in said] += 1
    assert min(seen[True], seen[False]) > 100, seen


def test_who_is_in_doubt_has_all_that_the_event_names_but_the_role(compared):
    by_role = [pair for pair in compared if "role_id" in pair[0] and "doubtful" in pair[3]]
    for event, token, _, said in by_role:
        assert not set(ABROAD_NEVER) & {*event}, shown(event, token, said)
        for field in ("user_id", "project_id"):
            assert event.get(field) in (None, token[field]), shown(event, token, said)
