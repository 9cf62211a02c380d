"""Single flight: one question per subject and worker, whose answer all that wait for it share."""

import concurrent.futures
import threading
import time

from keystone_alliance.refusal import Indeterminate

_LOOK = 0.05


class Flights:
    """Questions under way, by subject.

    :param is_stuck: tells when those that wait for another one's answer should give up
    :param patience: seconds that they wait at most
    """

    def __init__(self, is_stuck, patience):
        self._is_stuck = is_stuck
        self._patience = patience
        self._lock = threading.Lock()
        self._futures = {}

    def fly(self, subject, ask):
        """Return what ``ask()`` returns or raise what it raises, now or in a flight under way."""
        with self._lock:
            future = self._futures.get(subject)
            leading = future is None
            if leading:
                future = self._futures[subject] = concurrent.futures.Future()
        if not leading:
            return self._join(future)
        try:
            answer = ask()
        except BaseException as error:
            future.set_exception(error)
            raise
        else:
            future.set_result(answer)
            return answer
        finally:
            with self._lock:
                del self._futures[subject]

    def _join(self, future):
        give_up = time.monotonic() + self._patience
        while True:
            try:
                return future.result(_LOOK)
            except concurrent.futures.TimeoutError:
                # Also what ask() may raise itself, then the future is done.
                if future.done():
                    raise
            if self._is_stuck():
                raise Indeterminate('overloaded', 'the alliance daemon does not answer')
            if time.monotonic() >= give_up:
                raise Indeterminate('overloaded', 'the same question is still under way')
