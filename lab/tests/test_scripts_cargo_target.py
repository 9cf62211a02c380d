"""`scripts/cargo-target`: what a checkout built of its own has its paths, and is no other's."""

import fcntl
import shutil
import subprocess
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parents[2] / "scripts" / "cargo-target"
OWN, DEPENDENCY = "debug/.fingerprint/alliance-core-0123", "debug/.fingerprint/serde-4567"
LOCK = "debug/.cargo-lock"


@pytest.fixture
def begin(tmp_path):
    """Somebody asks where a checkout of that name builds."""

    def begun(name: str) -> subprocess.Popen:
        scripts = tmp_path / name / "scripts"
        scripts.mkdir(parents=True, exist_ok=True)
        shutil.copy(SCRIPT, scripts)
        return subprocess.Popen(
            [scripts / SCRIPT.name],
            env={"PATH": "/usr/bin:/bin", "XDG_CACHE_HOME": str(tmp_path / "cache")},
            stdout=subprocess.PIPE,
            text=True,
        )

    return begun


def answer(asked: subprocess.Popen) -> Path:
    said, _ = asked.communicate(timeout=60)
    assert asked.returncode == 0
    return Path(said.strip())


def test_what_another_checkout_built_of_its_own_is_built_anew(begin):
    target = answer(begin("one"))
    for built in (OWN, DEPENDENCY):
        (target / built).mkdir(parents=True)
    (target / LOCK).touch()
    assert answer(begin("one")) == target
    assert not (target / OWN).exists(), "nobody knows whose it is"
    (target / OWN).mkdir()
    answer(begin("one"))
    assert (target / OWN).exists()
    with open(target / LOCK) as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        other = begin("two")
        with pytest.raises(subprocess.TimeoutExpired):
            other.wait(1)
        assert (target / OWN).exists(), "somebody builds"
    answer(other)
    assert not (target / OWN).exists()
    assert (target / DEPENDENCY).exists()
