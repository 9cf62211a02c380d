"""Bulkhead: how many threads of a worker may be busy with foreign tokens.

A few ask the daemon at once. Others wait their turn only while it answers promptly and its answers
are not mostly "invalid", so that neither a hung daemon nor a flood of junk takes the threads that
this cloud's own tokens need.
"""

import collections
import contextlib
import threading
import time

from keystone_alliance.refusal import Indeterminate

PROMPT = 1.0  # seconds in which a healthy daemon has answered, on a busy machine too
JUNK_BURST = 10  # invalid answers at once after which nobody waits any more
JUNK_RATE = 2.0  # invalid answers per second that are forgiven
_LOOK = 0.05


class Bulkhead:
    """A number of places for questions, and a queue that is closed in bad times.

    :param places: questions that may be out at the same time
    :param patience: seconds that one caller waits for a place at most
    """

    def __init__(self, places, patience, clock=time.monotonic):
        self._places = places
        self._patience = patience
        self._clock = clock
        self._condition = threading.Condition()
        self._holders = set()
        self._asked_at = {}
        self._waiting = collections.deque()
        self._junk = 0.0
        self._junk_at = clock()

    @contextlib.contextmanager
    def place(self):
        """Hold a place for one question.

        :raises Indeterminate: ``overloaded``
        """
        mine = object()
        with self._condition:
            self._enter(mine)
            self._holders.add(mine)
        try:
            yield
        finally:
            with self._condition:
                self._holders.remove(mine)
                self._condition.notify_all()

    @contextlib.contextmanager
    def question(self):
        """Mark the time that one question is out."""
        mine = object()
        with self._condition:
            self._asked_at[mine] = self._clock()
        try:
            yield
        finally:
            with self._condition:
                del self._asked_at[mine]

    def is_stuck(self):
        """Whether the oldest question out has waited longer than a healthy daemon takes."""
        with self._condition:
            return self._is_stuck()

    def note_invalid(self):
        """Count an answer that says that the token was none."""
        with self._condition:
            self._junk = self._junk_now() + 1
            self._junk_at = self._clock()

    def _enter(self, mine):
        if len(self._holders) < self._places and not self._waiting:
            return
        give_up = self._clock() + self._patience
        self._waiting.append(mine)
        try:
            while len(self._holders) >= self._places or self._waiting[0] is not mine:
                if self._is_stuck():
                    raise Indeterminate('overloaded', 'the alliance daemon does not answer')
                if self._junk_now() >= JUNK_BURST:
                    raise Indeterminate('overloaded', 'too many invalid tokens at once')
                if self._clock() >= give_up:
                    raise Indeterminate('overloaded', 'no place was free in time')
                self._condition.wait(_LOOK)
        finally:
            self._waiting.remove(mine)
            self._condition.notify_all()

    def _is_stuck(self):
        return bool(self._asked_at) and self._clock() - min(self._asked_at.values()) > PROMPT

    def _junk_now(self):
        return max(0.0, self._junk - (self._clock() - self._junk_at) * JUNK_RATE)
