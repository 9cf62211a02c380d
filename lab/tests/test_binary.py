import pytest

from lab import binary
from lab.state import Lab


@pytest.fixture
def lab(tmp_path, monkeypatch):
    """Builds what its second argument says."""
    source = tmp_path / "alliance"
    monkeypatch.setenv("ALLIANCE_BIN", str(source))

    def build(content: str) -> Lab:
        source.write_text(f"#!/bin/sh\necho {content}\n")
        source.chmod(0o755)
        made = Lab(tmp_path / "lab")
        binary.build(made)
        return made

    return build


def test_a_clouds_program_is_the_labs_own_file_and_never_open_for_writing(lab, tmp_path):
    first, theirs = lab("first"), tmp_path / "lab" / "west" / "bin" / "alliance"
    for _ in range(2):
        binary.give(first, theirs)
        assert theirs.samefile(tmp_path / "lab" / "_bin" / "alliance")
        assert [file.name for file in theirs.parent.iterdir()] == ["alliance"]


def test_another_build_changes_no_cloud_until_it_is_given_to_it(lab, tmp_path):
    theirs = tmp_path / "lab" / "west" / "bin" / "alliance"
    binary.give(lab("first"), theirs)
    second = lab("second")
    assert "first" in theirs.read_text()
    binary.give(second, theirs)
    assert "second" in theirs.read_text()
