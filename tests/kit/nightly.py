"""What takes long runs with `make nightly` only."""

import os

import pytest

NIGHTLY = bool(os.environ.get("ALLIANCE_NIGHTLY"))
#: A mark of such a test.
by_night = pytest.mark.skipif(not NIGHTLY, reason="takes long: make nightly")
