"""The daemon's and the operator's Keystone client, on a real Keystone."""

import os
import subprocess
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parent.parent
#: Where the tests were built already.
CARGO = {name: value for name, value in os.environ.items() if name.startswith("CARGO_")}


def test_what_the_daemon_and_the_operator_ask_is_what_a_real_keystone_answers(west):
    done = subprocess.run(
        [
            # For the whole workspace, as they were built: one package alone has other features.
            *("cargo", "test", "--quiet", "--locked", "--workspace"),
            *("--test", "real_keystone", "--", "--test-threads", "1"),
        ],
        cwd=CHECKOUT,
        env={**west.variables(), **CARGO},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=900,
    )
    assert done.returncode == 0, done.stdout
    assert "0 filtered out" in done.stdout
