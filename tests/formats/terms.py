"""What the tests of this folder agree upon: formats, bounds, and what is said of a token."""

import base64
import collections
import itertools
import json
import time

OPAQUE, SIGNED = ("uuid", "fernet"), ("pki", "pkiz", "jws")

#: [token] cache_time and [alliance] max_staleness of east's Keystone, [tokens] of its daemon, in
#: seconds. Small, so that tests see them pass.
CACHE_TIME, STALENESS, REVOCATION_AGE, REFRESH = 3, 10, 13, 1
#: [signing] key_overlap of west's daemon, in seconds.
KEY_OVERLAP = 3
#: What a machine under test may add to what is waited for, in seconds.
SLACK = 15


def facts(verdict: dict) -> dict:
    """What the statement in a verdict says of the token."""
    payload = (verdict.get("passport") or verdict["attestation"]).split(".")[1]
    claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    return claims["token_introspection"]


def names(roles: list[dict]) -> list[str]:
    return sorted(role["name"] for role in roles)


def counted(cloud, **labels: str) -> float:
    return cloud.metric("alliance_verdicts_total", partner="west", **labels)


def refused(cloud, token: str) -> bool:
    """As the caller's and as the subject's token, and no other is sold for it."""
    answers = cloud.lets_in(token), cloud.validate(token).status, cloud.sells(token)
    return answers == (False, 404, None)


def last_served(cloud, known: str, others=()) -> float:
    """When the last request began that was served: with a token that it has seen, or with others,
    one after the other, and again with those that it has just let in."""
    served, limit = float("-inf"), time.monotonic() + 3 * REVOCATION_AGE
    others, lately = iter(others), collections.deque(maxlen=8)
    while (began := time.monotonic()) < limit:
        fresh = [token for token in itertools.islice(others, 1) if cloud.lets_in(token)]
        if not any([cloud.lets_in(token) for token in (known, *lately)]) and not fresh:
            return served
        served = began
        lately.extend(fresh)
        time.sleep(0.1)
    raise AssertionError("it was served to the end")
