"""`alliance doctor` on configuration files: quiet where all works, and what mends the others."""

from pathlib import Path


def findings(cloud, *keystone_conf: Path) -> dict[str, list[str]]:
    """What it says of keystone.conf, by how bad it is."""
    words = ["--config", str(cloud.folder / "alliance" / "alliance.toml")]
    for file in (cloud.folder / "keystone" / "keystone.conf", *keystone_conf):
        words += ["--keystone-conf", str(file)]
    said = cloud.alliance("--format", "json", "doctor", *words, status=None).json()
    found: dict[str, list[str]] = {}
    for one in said:
        if one["what"] == "keystone.conf":
            found.setdefault(one["state"], []).append(one["detail"])
    return found


def test_a_keystone_that_works_has_nothing_but_what_its_operator_wanted(west):
    found = findings(west)
    assert "fail" not in found
    # The lab's agreements name such roles.
    [wanted] = found["warn"]
    assert "grant_admin_roles" in wanted


def test_what_keeps_guests_out_is_named_before_they_are_kept_out(west, tmp_path):
    wrong = tmp_path / "wrong.conf"
    wrong.write_text("[token]\ncache_time = 600\n\n[alliance]\nsocket = /nowhere/d.sock\n")
    cache, socket = sorted(findings(west, wrong)["fail"], key=lambda text: "socket" in text)
    assert "[token] cache_time" in cache
    assert f"[alliance] socket = {west.daemon_socket}" in socket
    assert "fail" not in findings(west)
