"""Programs that answer a line of JSON with a line of JSON: both sides of an oracle."""

import json
import os
import subprocess
from pathlib import Path

from lab.cache import Environment

CHECKOUT = Path(__file__).resolve().parent.parent.parent
#: Cargo's, as they were before a test changed anything.
CARGO = {name: value for name, value in os.environ.items() if name.startswith("CARGO_")}


class Program:
    """Answers a line with a line."""

    def __init__(self, command, **options):
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, **options
        )

    def ask(self, question):
        print(json.dumps(question), file=self._process.stdin, flush=True)
        answer = self._process.stdout.readline()
        assert answer, f"it ended with {self._process.wait()}"
        return json.loads(answer)

    def end(self):
        self._process.stdin.close()
        assert self._process.wait(timeout=30) == 0


class Oracle(Program):
    """That of one of our crates: `crates/PACKAGE/tests/oracle`."""

    def __init__(self, package: str):
        # For the whole workspace, as they were built: one package alone has other features.
        command = ["cargo", "test", "--quiet", "--locked", "--workspace", "--test", "oracle"]
        command += ["--no-run", "--message-format", "json"]
        built = subprocess.check_output(command, cwd=CHECKOUT, env={**os.environ, **CARGO})
        (program,) = (
            message["executable"]
            for message in map(json.loads, built.splitlines())
            if message.get("executable") and f"/{package}#" in message["package_id"]
        )
        super().__init__([program])


class KeystonesOwn(Program):
    """One of `tests/keystone_side`, in Keystone's environment."""

    def __init__(self, name: str, *words):
        python = Environment("keystone").ensure().bin("python")
        program = CHECKOUT / "tests" / "keystone_side" / name
        command = [python, "-B", "-W", "ignore", program, *words]
        super().__init__(command, stderr=subprocess.DEVNULL)
