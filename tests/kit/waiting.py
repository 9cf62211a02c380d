"""Waiting for something to become true, with a deadline."""

import time

_LOOK = 0.05


def until(condition, what: str, deadline: float = 10.0):
    """Returns the first true value of `condition()`; an error says what never came."""
    limit = time.monotonic() + deadline
    while True:
        value = condition()
        if value:
            return value
        assert time.monotonic() < limit, f"not within {deadline:.0f} s: {what}"
        time.sleep(_LOOK)
