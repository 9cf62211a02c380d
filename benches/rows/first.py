"""A token that Keystone has never seen."""

import time

from benches.samples import P50, Row, Series, ratio
from benches.stage import Stage

ROUNDS, KNOWN, NEW = 4, 20, 5


def measure(stage: Stage) -> list[Row]:
    known, new = Series("first use, known user"), Series("first use, new user")
    native = Series("native, first validation")
    project = stage.guest.project
    for _ in range(ROUNDS):
        foreign_tokens = stage.tokens(stage.guest, KNOWN)
        native_tokens = stage.tokens(stage.native, KNOWN)
        people = [stage.west.person(project=project) for _ in range(NEW)]
        new_tokens = [person.login() for person in people]
        pairs = [
            (stage.validates(ours), stage.validates(theirs))
            for ours, theirs in zip(foreign_tokens, native_tokens)
        ]
        requests, kinds = [], []
        for number, (ours, theirs) in enumerate(pairs):
            requests += [ours, theirs]
            kinds += [known, native]
            if number % (KNOWN // NEW) == 0:
                requests.append(stage.validates(new_tokens.pop()))
                kinds.append(new)
        # On a connection of its own, thus one of the two workers, which has seen such tokens.
        warming = [stage.validates(stage.tokens(stage.guest, 1)[0])]
        answers = stage.sender.in_order(warming + requests).all_are(200)
        took = list(zip(kinds, answers.milliseconds[1:]))
        for series in (known, new, native):
            series.add([value for kind, value in took if kind is series])
        stage.used += pairs
    stage.used_at = time.monotonic()
    stage.costs["first foreign"], stage.costs["first native"] = known.at(P50), native.at(P50)
    note = (
        "Keystone remembers a native token when it issues it ([token] cache_on_issue), so its "
        "first validation is a warm one; a foreign one is asked of its home: both clouds work."
    )
    return [
        ratio(known, native, note=note),
        ratio(new, native, note="The shadow user and its role are made on the way."),
    ]
