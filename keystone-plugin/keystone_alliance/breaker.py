"""Circuit breaker: after a failure, refuse for a while instead of waiting again."""

import threading
import time

FIRST_PAUSE = 1.0
LONGEST_PAUSE = 10.0
PROBE_PATIENCE = 0.25  # seconds for which others wait to see how a probe ends


class Breaker:
    """Lets questions through while answers come, one probe at a time while they do not."""

    def __init__(self, clock=time.monotonic):
        self._clock = clock
        self._changed = threading.Condition()
        self._pause = 0.0  # 0 while closed
        self._closes_at = 0.0
        self._probing = False
        self._failures = 0

    def is_open(self):
        """Whether ``admit`` would refuse."""
        with self._changed:
            return self._refuses()

    def admit(self):
        """Return a ticket for one question, or None if there is no point in asking now."""
        with self._changed:
            if self._refuses():
                return None
            self._probing = bool(self._pause)
            return self._failures

    def succeeded(self):
        with self._changed:
            self._pause = 0.0
            self._end_probe()

    def failed(self, ticket):
        """Note a failure; those of questions that were out together count as one."""
        with self._changed:
            if ticket != self._failures:
                return
            self._failures += 1
            self._pause = min(self._pause * 2 or FIRST_PAUSE, LONGEST_PAUSE)
            self._closes_at = self._clock() + self._pause
            self._end_probe()

    def released(self, ticket):
        """Note that a question ended without telling anything about the daemon."""
        with self._changed:
            if ticket == self._failures:
                self._end_probe()

    def _end_probe(self):
        self._probing = False
        self._changed.notify_all()

    def _refuses(self):
        # The first burst after an outage is served: its probe is answered in a moment.
        self._changed.wait_for(lambda: not self._probing, PROBE_PATIENCE)
        return bool(self._pause) and (self._probing or self._clock() < self._closes_at)
