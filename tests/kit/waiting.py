"""Waiting for something to become true, with a deadline."""

import time

_LOOK, _SELDOM = 0.05, 0.3


def until(condition, what: str, deadline: float = 10.0):
    """Returns the first true value of `condition()`; an error says what never came."""
    limit, pause = time.monotonic() + deadline, _LOOK
    while True:
        value = condition()
        if value:
            return value
        assert time.monotonic() < limit, f"not within {deadline:.0f} s: {what}"
        time.sleep(pause)
        # What takes long is not there sooner when it is asked for more often.
        pause = min(pause * 1.3, _SELDOM)
