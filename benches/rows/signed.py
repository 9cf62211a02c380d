"""Signed tokens at the host's Keystone: what is not asked of their home."""

from __future__ import annotations

from benches.samples import Row, Series, computed, ratio
from benches.stage import Stage
from tests.kit.waiting import until

FORMATS = ("pki", "jws")
ROUNDS, KNOWN, PAIRS = 4, 20, 60


def measure(stage: Stage) -> list[Row]:
    return [row for each in FORMATS for row in _of(stage, each)]


def _of(stage: Stage, token_format: str) -> list[Row]:
    stage.lets_west_issue(token_format)
    until(lambda: _is_offline(stage), f"east validates {token_format} tokens offline", deadline=40)
    first, native_first = Series(f"first use of a {token_format} token"), Series("native")
    warm, native_warm = Series(f"warm {token_format} token"), Series("warm native one")
    asked = stage.questions()
    for _ in range(ROUNDS):
        foreign_tokens = stage.tokens(stage.guest, 1 + KNOWN)
        native_tokens = stage.tokens(stage.native, 1 + KNOWN)
        pairs = list(zip(foreign_tokens, native_tokens))
        # On a connection of its own, thus one of the two workers, which has seen such tokens.
        requests = [stage.validates(token) for pair in pairs for token in pair]
        took = stage.sender.in_order(requests).all_are(200).milliseconds[2:]
        first.add(took[0::2])
        native_first.add(took[1::2])
        requests = requests[:2] * (PAIRS + 1)
        took = stage.sender.in_order(requests).all_are(200).milliseconds[2:]
        warm.add(took[0::2])
        native_warm.add(took[1::2])
    asked = stage.questions() - asked
    length = len(foreign_tokens[0])
    note = (
        f"Of {length} bytes, known user. {asked} questions to the issuer for "
        f"{ROUNDS * (1 + KNOWN)} tokens."
    )
    use = ratio(first, native_first, note=note, what=f"first use, {token_format} token / native")
    asked_about = stage.costs["first foreign"] / stage.costs["first native"]
    return [
        use,
        computed(
            "the same, against that of a fernet token, which is asked about",
            use.figure / asked_about,
            note="Both in units of the native one that was measured with it.",
        ),
        ratio(warm, native_warm, what=f"warm {token_format} token / warm native one"),
    ]


def _is_offline(stage: Stage) -> bool:
    token = stage.tokens(stage.guest, 1)[0]
    return stage.told_by_daemon(token)["path"]["via"] == "offline"
