"""Tells a story to its end, or to where it is not as told."""

from __future__ import annotations

import signal
import subprocess
import sys

from demo.terminal import Dialogue, NotAsTold


def perform(story) -> int:
    """`story` has `tell` and `proofs`; the status for the shell."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        story.tell()
    except NotAsTold as failure:
        Dialogue.close_all()
        story.proofs.table(str(failure))
        return 1
    except subprocess.TimeoutExpired as failure:
        story.proofs.table(f"{failure.cmd[-1]}: no end after {failure.timeout:.0f} s")
        return 1
    finally:
        Dialogue.close_all()
    story.proofs.table()
    return 0
