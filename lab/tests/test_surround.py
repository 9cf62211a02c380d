import os
import shlex
import signal
import subprocess
import time
from pathlib import Path

SCRIPTS = Path(__file__).resolve().parents[2] / "scripts"


def tell_url(folder: Path) -> str:
    return f'echo "$ALLIANCE_TEST_MYSQL_URL" > {shlex.quote(str(folder / "url"))}'


def servers(url: str) -> list[str]:
    port = url.rpartition(":")[2].partition("/")[0]
    found = subprocess.run(["pgrep", "-f", f"mariadbd .*--port={port}"], capture_output=True)
    return found.stdout.split()


def read_when_there(path: Path) -> str:
    until = time.monotonic() + 60
    while not path.exists() or not path.read_text().endswith("\n"):
        assert time.monotonic() < until, f"{path} does not come"
        time.sleep(0.02)
    return path.read_text().strip()


def test_a_database_lives_as_long_as_its_command(tmp_path):
    command = [SCRIPTS / "with-mariadb", "sh", "-c", f"{tell_url(tmp_path)}; exit 7"]
    done = subprocess.run(command, timeout=120)
    assert done.returncode == 7
    url = read_when_there(tmp_path / "url")
    assert url.startswith("mysql://openstack:")
    assert not servers(url)


def test_a_database_ends_when_its_command_is_interrupted(tmp_path):
    script = (
        f'echo "$ALLIANCE_TEST_MYSQL_URL" > {shlex.quote(str(tmp_path / "url"))}; exec sleep 60'
    )
    running = subprocess.Popen([SCRIPTS / "with-mariadb", "sh", "-c", script])
    url = read_when_there(tmp_path / "url")
    assert servers(url)
    running.send_signal(signal.SIGTERM)
    assert running.wait(timeout=60) == 128 + signal.SIGTERM
    assert not servers(url)


def test_a_lab_folder_is_kept_only_for_a_failure_that_left_something(tmp_path):
    settings = {**os.environ, "TMPDIR": str(tmp_path)}

    def run(script):
        command = [SCRIPTS / "with-lab", "sh", "-c", script]
        return subprocess.run(command, env=settings, timeout=60, capture_output=True).returncode

    assert run('mkdir "$ALLIANCE_LAB"') == 0
    assert run("exit 3") == 3
    assert list(tmp_path.iterdir()) == []
    assert run('mkdir "$ALLIANCE_LAB"; exit 3') == 3
    assert len(list(tmp_path.iterdir())) == 1


def test_what_runs_at_once_chooses_among_different_ports(tmp_path):
    settings = {**os.environ, "TMPDIR": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path)}
    settings.pop("ALLIANCE_LAB_PORTS", None)
    inner = f'{SCRIPTS}/with-lab sh -c "echo \\$ALLIANCE_LAB_PORTS"'
    both = f"echo $ALLIANCE_LAB_PORTS; env -u ALLIANCE_LAB_PORTS {inner}; {inner}"
    command = [SCRIPTS / "with-lab", "sh", "-c", both]
    said = subprocess.run(command, env=settings, timeout=60, capture_output=True, text=True).stdout
    outer, other, within = map(int, said.split())
    assert other != outer == within
