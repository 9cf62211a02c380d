"""Comes last: nothing that was secret in all the tests before stands in any log."""

import os
from pathlib import Path

from tests.kit import known_secrets

#: The first release of the lab that does not say which token it has refused.
DISCREET = 30


def test_no_log_of_any_cloud_has_a_token_a_password_or_an_invitation(lab, west, east, north):
    everything = {*known_secrets.logs(), *lab.folder.glob("*/log/*.log")}
    everything |= set(Path(os.environ["ALLIANCE_LAB"]).glob("_tests/*/log"))
    assert len(everything) > 8
    assert known_secrets.count() > 10
    # Of its own tokens, after its cloud's tag; never of anybody else's.
    talkative = {
        cloud.log("keystone"): f"Could not find token: {cloud.tag}~"
        for cloud in (west, east, north)
        if cloud.release < DISCREET
    }
    found = [
        where
        for path in sorted(everything)
        for where in known_secrets.found_in(path, talkative.get(path))
    ]
    assert not found, "\n".join(found)


def test_no_log_of_any_cloud_has_a_private_key(lab):
    keys = [path.read_text() for path in lab.folder.glob("*/alliance/state/*.key")]
    keys += [path.read_text() for path in lab.folder.glob("*/keystone/fernet-keys/*")]
    lines = {line for key in keys for line in key.splitlines() if len(line) > 30}
    assert lines
    for path in lab.folder.glob("*/log/*.log"):
        content = path.read_text(errors="replace")
        assert not any(line in content for line in lines if "KEY" not in line), path
