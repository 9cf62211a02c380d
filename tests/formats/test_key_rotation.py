"""A partner's new signing keys need no operator, and cost nobody a refusal."""

import contextlib
import threading
import time

from tests.formats.terms import KEY_OVERLAP, SLACK, refused
from tests.kit.waiting import until


class Watch:
    """Shows tokens to a cloud, one after the other and again and again."""

    def __init__(self, cloud, next_token):
        self._cloud, self._next_token = cloud, next_token
        self._ended = threading.Event()
        self.shown, self.refusals = 0, []

    @contextlib.contextmanager
    def watching(self):
        thread = threading.Thread(target=self._watch, daemon=True)
        thread.start()
        try:
            yield
        finally:
            self._ended.set()
            thread.join(30)

    def _watch(self) -> None:
        while not self._ended.wait(0.1):
            token = self._next_token()
            answer = self._cloud.ask("GET", "/auth/projects", token)
            self.shown += 1
            if answer.status != 200:
                self.refusals.append((self.shown, answer))


def test_a_rotation_needs_nobody_and_costs_no_good_token_a_refusal(signed, guest, home, hasty):
    old = guest.login()
    assert hasty.judge(old, "--offline")["status"] == "valid"
    keys = home.signing_keys
    # Keystone signs with two files, which nobody can replace at once.
    signing = threading.Lock()

    def login() -> str:
        with signing:
            return guest.login()

    fresh, both = Watch(hasty, login), Watch(hasty, lambda: old)
    with fresh.watching():
        with both.watching():
            with signing:
                keys.replace()
            new = guest.login()
            assert hasty.lets_in(new)
            read = "east reads what the new key signs by itself"
            until(lambda: hasty.judge(new, "--offline")["status"] == "valid", read, SLACK)
            assert hasty.judge(old, "--offline")["status"] == "valid"
            until(lambda: both.shown > 5 and fresh.shown > 5, "both kinds were shown")
        keys.retire()
        retired = time.monotonic()
        gone = "what the former key signed is refused at east"
        until(lambda: hasty.judge(old, "--offline").get("reason"), gone, KEY_OVERLAP + SLACK)
        # Clocks of whole seconds.
        assert time.monotonic() - retired >= KEY_OVERLAP - 1
        until(lambda: refused(hasty, old), gone, deadline=SLACK)
        shown = fresh.shown
        until(lambda: fresh.shown > shown + 5, "what the new one signs was shown since")
    verdict = hasty.judge(old)
    assert (verdict["status"], verdict["reason"]) == ("invalid", "retired_key")
    assert hasty.judge(new, "--offline")["status"] == "valid"
    assert both.refusals == fresh.refusals == []
