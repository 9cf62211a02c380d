"""A cloud's own users while the daemon hangs."""

import contextlib

from benches.client import to_cloud
from benches.samples import Row, Series, ratio
from benches.stage import Stage, junk

ROUNDS, LOGINS = 5, 40
FOREIGN, LONGEST = 5, 30


def measure(stage: Stage) -> list[Row]:
    running = Series("login and validation, daemon running")
    halted = Series("login and validation, daemon halted")
    asked = Series("the same, and foreign tokens that wait for it")
    for _ in range(ROUNDS):
        running.add(_local(stage))
        with stage.east.frozen("alliance"):
            halted.add(_local(stage))
            with _foreign(stage):
                asked.add(_local(stage))
    return [
        ratio(
            halted,
            running,
            what="local login and validation, daemon halted / running",
            note="SIGSTOP. A token issued by password and validated by a service, the sum of both.",
        ),
        ratio(
            asked,
            running,
            what=f"the same, with {FOREIGN}/s foreign tokens",
            note="Only while it is halted: each would ask the daemon, and gets no answer.",
        ),
    ]


def _local(stage: Stage) -> list[float]:
    person = stage.native
    user = {"id": person.id, "password": person.password}
    identity = {"methods": ["password"], "password": {"user": user}}
    body = {"auth": {"identity": identity, "scope": {"project": {"id": person.project.id}}}}
    login = to_cloud("POST", f"{stage.east.identity}/auth/tokens", {}, body)
    validation = stage.validates(person.login())
    answers = stage.sender.in_order([login, validation] * LOGINS).all_are(200, 201)
    took = answers.milliseconds
    return [issued + validated for issued, validated in zip(took[0::2], took[1::2])]


@contextlib.contextmanager
def _foreign(stage: Stage):
    url = f"{stage.east.identity}/auth/projects"
    requests = [
        to_cloud("GET", url, {"X-Auth-Token": junk(stage.west.tag)})
        for _ in range(FOREIGN * LONGEST)
    ]
    with stage.sender.meanwhile(requests, FOREIGN, LONGEST, FOREIGN * LONGEST):
        yield
