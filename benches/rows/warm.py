"""A token that Keystone has just seen."""

from benches.samples import P50, P99, Row, Series, Target, ratio
from benches.stage import Stage

ROUNDS, PAIRS = 8, 125


def measure(stage: Stage) -> list[Row]:
    stage.warm_up()
    foreign, native = Series("warm foreign token"), Series("warm native one")
    for _ in range(ROUNDS):
        # New ones each time, so that none leaves the cache meanwhile.
        pair = [stage.tokens(person, 1)[0] for person in (stage.guest, stage.native)]
        requests = [stage.validates(token) for token in pair]
        took = stage.sender.in_order(requests * (PAIRS + 1)).all_are(200).milliseconds[2:]
        foreign.add(took[0::2])
        native.add(took[1::2])
    stage.costs["warm foreign"], stage.costs["warm native"] = foreign.at(P50), native.at(P50)
    return [
        ratio(
            foreign,
            native,
            Target(1.05),
            "As a service validates: GET /v3/auth/tokens on a kept-alive connection. The guest's "
            "catalog has its home region in it, which is more to render and to send.",
        ),
        ratio(foreign, native, level=P99, what="the same, 99th percentile"),
    ]
