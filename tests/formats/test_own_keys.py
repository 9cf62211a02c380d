"""Whose signatures Keystone takes for its own."""

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
