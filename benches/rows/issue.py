"""Logging in at home, with the plugin and without."""

from benches.client import Request, to_cloud
from benches.samples import Row, Series, Target, ratio
from benches.stage import Stage
from tests.kit.cloud import Cloud
from tests.kit.people import Person, Project

ROUNDS, EACH = 12, 30
#: Requests, and how many at once, until all threads of both have done it before.
WARMING, AT_ONCE = 48, 8
TARGET = Target(1.05)


def measure(stage: Stage) -> list[Row]:
    ours, theirs = stage.resident()
    return [
        compare(
            stage,
            ("issue by password, with the plugin", _password(ours)),
            ("stock", _password(theirs)),
            "The lab's passwords are hashed in 4 rounds. With Keystone's 12 a login takes some "
            "0.2 s more on both sides, and nothing else is seen.",
        ),
        compare(
            stage,
            ("issue by token, with the plugin", by_token(ours)),
            ("stock", by_token(theirs)),
            "No password to hash: the dearest view.",
        ),
        compare(
            stage,
            ("issue by token, partner region in catalog", by_token(stage.guest)),
            ("stock", by_token(theirs)),
            "The project has an agreement, so its catalog has the partner's services too.",
        ),
    ]


def compare(
    stage: Stage, this: tuple, against: tuple, note: str, target: Target | None = TARGET
) -> Row:
    """A name and a request of each side, in turns."""
    a, b = Series(this[0]), Series(against[0])
    stage.sender.at_rate([this[1], against[1]], 2 * WARMING, 1, 2 * AT_ONCE).all_are(201)
    for _ in range(ROUNDS):
        requests = [this[1], against[1]] * (EACH + 1)
        took = stage.sender.in_order(requests).all_are(201).milliseconds[2:]
        a.add(took[0::2])
        b.add(took[1::2])
    return ratio(a, b, target, note)


def _password(person: Person) -> Request:
    user = {"id": person.id, "password": person.password}
    return _issue(person.cloud, {"password": {"user": user}}, person.project)


def by_token(person: Person) -> Request:
    """A native token for another."""
    return _issue(person.cloud, {"token": {"id": person.login()}}, person.project)


def _issue(cloud: Cloud, method: dict, project: Project) -> Request:
    identity = {"methods": list(method), **method}
    body = {"auth": {"identity": identity, "scope": {"project": {"id": project.id}}}}
    return to_cloud("POST", f"{cloud.identity}/auth/tokens", {}, body)
