"""Pairs the clouds of a lab as two operators would: one invites, the other accepts."""

import itertools
import subprocess
import tempfile
import threading

from lab.clients import login
from lab.commands import base_settings
from lab.errors import LabError
from lab.services.alliance import Alliance
from lab.services.haproxy import HaProxy
from lab.state import Cloud

DEADLINE = 60.0


def partners(cloud: Cloud) -> dict[str, str]:
    """Status of each partner of a cloud by the partner's cloud id."""
    listed = Alliance(cloud).ask("partner", "list")
    return {partner["cloud_id"]: partner["status"] for partner in listed}


def pair_all(clouds: list[Cloud]) -> None:
    """Pairs each with each, except those that know each other already."""
    for cloud in clouds:
        if cloud.ha:
            HaProxy(cloud).wait_for_a_daemon()
    ids = {cloud: Alliance(cloud).ask("id")["cloud_id"] for cloud in clouds}
    known = {cloud: partners(cloud) for cloud in clouds}
    for inviter, acceptor in itertools.combinations(clouds, 2):
        if known[inviter].get(ids[acceptor], "removed") == "removed":
            _pair(inviter, acceptor, ids[acceptor])
            print(f"{inviter.name:<8} paired with {acceptor.name}", flush=True)


def _alliance(cloud: Cloud, *words: str) -> dict:
    daemon = Alliance(cloud)
    return {
        "args": [str(daemon.program), "--socket", str(daemon.socket), "partner", *words],
        "env": {**base_settings(), **login(cloud, "admin")},
        "stdin": subprocess.DEVNULL,
        "text": True,
    }


def _pair(inviter: Cloud, acceptor: Cloud, acceptor_id: str) -> None:
    """Both commands must succeed in time; what they said is shown when one does not."""
    invite = ["invite", acceptor.name, "--role", "both", "--expect", acceptor_id]
    with tempfile.TemporaryFile("w+") as said:
        waiting = subprocess.Popen(
            **_alliance(inviter, *invite), stdout=subprocess.PIPE, stderr=said
        )
        # Bounds the wait for the invitation as well as for the end.
        timer = threading.Timer(DEADLINE, waiting.kill)
        timer.start()
        try:
            invitation = waiting.stdout.readline().strip()
            if invitation:
                accept = ["accept", invitation, "--name", inviter.name, "--yes"]
                try:
                    accepted = subprocess.run(
                        **_alliance(acceptor, *accept),
                        stdout=said,
                        stderr=said,
                        timeout=DEADLINE,
                    ).returncode
                except subprocess.TimeoutExpired:
                    accepted = f"none after {DEADLINE:.0f} s"
                if accepted == 0 and waiting.wait() == 0:
                    return
        finally:
            timer.cancel()
            waiting.kill()
            waiting.wait()
            waiting.stdout.close()
        said.seek(0)
        lines = "".join(f"\n    {line}" for line in said.read().splitlines()[-15:])
    raise LabError(f"{inviter.name} and {acceptor.name} are not paired; they said:{lines}")
