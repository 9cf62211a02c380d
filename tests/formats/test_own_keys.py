"""Whose signatures Keystone takes for its own."""

import subprocess

from tests.kit.doctor import found
from tests.kit.waiting import until


def test_a_partners_key_among_our_own_is_named(home, hasty, jws, tmp_path):
    ours = tmp_path / "public"
    ours.mkdir()
    (ours / "README").write_text("no key")
    conf = tmp_path / "keystone.conf"
    conf.write_text(f"[jwt_tokens]\njws_public_key_repository = {ours}\n")

    def failures() -> list[str]:
        return found(hasty, "partner west", "--keystone-conf", str(conf)).get("fail", [])

    known = "east knows the keys of west"
    until(lambda: hasty.told("partner", "show", "west")["signing_keys"], known, deadline=40)
    assert failures() == []
    for file in (home.folder / "keystone" / "jws" / "public").iterdir():
        (ours / file.name).write_bytes(file.read_bytes())
    [said] = failures()
    assert "jws_public_key_repository" in said


def test_so_is_the_key_that_it_is_known_by(home, hasty, tmp_path):
    conf, ours = tmp_path / "keystone.conf", tmp_path / "public"
    ours.mkdir()
    conf.write_text(f"[jwt_tokens]\njws_public_key_repository = {ours}\n")
    key = home.folder / "alliance" / "state" / "identity.key"
    command = ["openssl", "pkey", "-in", key, "-pubout", "-out", ours / "west.pem"]
    subprocess.run(command, check=True, timeout=20)
    said = found(hasty, "partner west", "--keystone-conf", str(conf))["fail"]
    assert f"take the file {ours / 'west.pem'} out" in str(said)
