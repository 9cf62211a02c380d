import dataclasses
import os
import signal
import subprocess
import time

import pytest

from lab import processes
from lab.errors import LabError
from lab.processes import Process


@pytest.fixture
def started(tmp_path):
    """Starts shell scripts; none outlives its test."""
    made = []

    def start(script: str) -> Process:
        process = processes.start(
            ["sh", "-c", script],
            env=dict(os.environ),
            log=tmp_path / "log",
            record=tmp_path / "record.json",
        )
        made.append(process)
        return process

    yield start
    for process in made:
        process.stop(grace=0)


def wait_for(condition):
    until = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < until, "not in time"
        time.sleep(0.01)


def test_a_process_is_found_again_by_its_record(started, tmp_path):
    process = started("exec sleep 60")
    assert Process.load(tmp_path / "record.json") == process
    assert process.alive()
    process.stop(grace=5)
    assert not process.alive()


def test_a_recycled_pid_is_never_taken_for_ours():
    other = subprocess.Popen(["sleep", "60"], start_new_session=True)
    try:
        started, boot = int(processes._stat(other.pid)[19]), processes.BOOT.read_text().strip()
        ours = Process(other.pid, started - 1, boot)
        assert not ours.alive()
        ours.stop(grace=0)
        assert other.poll() is None
        dataclasses.replace(ours, started=started, boot="another boot").stop(grace=0)
        assert other.poll() is None
    finally:
        other.kill()
        other.wait()


def test_children_end_with_their_leader_even_if_it_was_killed(started):
    process = started("sleep 60 & sleep 60 & wait")
    wait_for(lambda: len(process._group()) == 3)
    os.kill(process.pid, signal.SIGKILL)
    wait_for(lambda: not process.alive())
    assert len(process._group()) == 2
    process.stop(grace=5)
    assert process._group() == []


def test_one_that_ignores_the_request_is_killed_after_its_grace(started, tmp_path):
    process = started("trap '' TERM; echo up; while :; do sleep 0.1; done")
    wait_for(lambda: "up" in (tmp_path / "log").read_text())
    process.stop(grace=0.2)
    assert process._group() == []


def test_a_frozen_one_ends_too(started):
    process = started("exec sleep 60")
    os.kill(process.pid, signal.SIGSTOP)
    process.stop(grace=5)
    assert not process.alive()


def test_a_missing_program_is_named(started, tmp_path):
    with pytest.raises(LabError, match="nonesuch not found"):
        processes.start(["nonesuch"], env={}, log=tmp_path / "log", record=tmp_path / "record.json")


def test_a_damaged_record_is_refused(tmp_path):
    (tmp_path / "record.json").write_text("{")
    with pytest.raises(LabError, match="damaged"):
        Process.load(tmp_path / "record.json")
