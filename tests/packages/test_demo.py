"""The demo, with what is installed: the program of the clean machine, the plugin and the client of
the wheels."""

import os
import shlex
import subprocess
import tempfile

from lab.state import CHECKOUT

#: A program that is in the machine, run in what the machine has, as on its own: it sees none of
#: this one's libraries, and its files are where the demo puts them.
PROGRAM = """#!/bin/sh
exec chroot {root} /usr/bin/alliance "$@"
"""
#: In a mount namespace of its own, so that all ends with it.
PLAY = """
set -e
for folder in /proc /dev {shared}; do mount --rbind "$folder" {root}"$folder"; done
exec {demo}
"""


def test_the_demo_plays_with_what_is_installed(machine, deb, made, tmp_path):
    machine.install(deb)
    root, program = shlex.quote(str(machine.root)), tmp_path / "alliance"
    program.write_text(PROGRAM.format(root=root))
    program.chmod(0o755)
    demo, shared = CHECKOUT / "demo" / "run", tempfile.gettempdir()
    play = PLAY.format(root=root, shared=shlex.quote(shared), demo=shlex.quote(str(demo)))
    settings = {key: value for key, value in os.environ.items() if key != "ALLIANCE_LAB"}
    settings |= {"ALLIANCE_BIN": str(program), "ALLIANCE_PACKAGES": str(made)}
    command = ["unshare", "--mount", "sh", "-c", play]
    done = subprocess.run(command, env=settings, capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
    assert "proved" in done.stdout
