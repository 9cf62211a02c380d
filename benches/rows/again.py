"""A token whose entry in Keystone's cache has ended, and what that makes of ten minutes' use."""

import math
import time

from benches.samples import P50, Row, Series, Target, computed, ratio
from benches.stage import CACHE_TIME, MAX_STALENESS, STOCK_CACHE_TIME, Stage
from tests.kit.waiting import until

ROUNDS, USE = 4, 600


def measure(stage: Stage) -> list[Row]:
    ended = stage.used_at + MAX_STALENESS + 1
    until(lambda: time.monotonic() > ended, "the tokens used first leave Keystone's cache", 90)
    foreign = Series("foreign token, cache entry ended")
    native = Series("native one, likewise")
    asked = stage.questions()
    for number in range(ROUNDS):
        pairs = stage.used[number::ROUNDS]
        # All else that Keystone caches is there: only the tokens' own entries have ended.
        warm = [stage.tokens(each, 1)[0] for each in (stage.guest, stage.native)]
        requests = [request for pair in pairs for request in pair]
        answers = stage.sender.in_order([*map(stage.validates, warm), *requests]).all_are(200)
        took = answers.milliseconds[2:]
        foreign.add(took[0::2])
        native.add(took[1::2])
    asked = stage.questions() - asked
    expected = len(stage.used) + ROUNDS
    stage.costs["again foreign"], stage.costs["again native"] = foreign.at(P50), native.at(P50)
    note = f"{asked} questions to the issuer for {expected} tokens."
    return [ratio(foreign, native, note=note), *_ten_minutes(stage.costs)]


def _ten_minutes(costs: dict[str, float]) -> list[Row]:
    def cost(kind: str, cache_time: int, per_second: float) -> float:
        """Milliseconds of Keystone's answers to one token in ten minutes."""
        cold = math.ceil(USE / cache_time) - 1
        rest = USE * per_second - 1 - cold
        return costs[f"first {kind}"] + cold * costs[f"again {kind}"] + rest * costs[f"warm {kind}"]

    def foreign(per_second: float) -> float:
        return cost("foreign", CACHE_TIME, per_second) / cost("native", CACHE_TIME, per_second)

    rest = cost("native", CACHE_TIME, 1) / cost("native", STOCK_CACHE_TIME, 1)
    return [
        computed(
            "10 min of use, foreign token / native one",
            foreign(1),
            Target(1.05),
            "One request a second, first use and a question to home every "
            f"{CACHE_TIME} s included, from the medians above. At 10 requests a second "
            f"{foreign(10):.3f}, at one in 5 s {foreign(0.2):.2f}.",
        ),
        computed(
            f"10 min, native token, cache_time {CACHE_TIME} s / {STOCK_CACHE_TIME} s",
            rest,
            note=f"What the plugin's default of [token] cache_time, {CACHE_TIME} s, costs the "
            "cloud's own users, at one request a second.",
        ),
    ]
