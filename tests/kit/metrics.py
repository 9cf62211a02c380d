"""What daemons expose to those who watch, and what those who watch ask about."""

from __future__ import annotations

import functools
import re
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
STRING = re.compile(r'"(?:[^"\\]|\\.)*"')
#: What Prometheus itself adds to what it scrapes.
SCRAPED = {"job", "instance"}
#: And its own series.
OWN = {"up": SCRAPED, "ALERTS": {*SCRAPED, "alertname", "alertstate"}}
WORDS = {"and", "or", "unless", "bool", "offset", "ignoring", "on", "by", "without"}
GROUPING = re.compile(r"\b(?:by|without|on|ignoring|group_left|group_right)\s*\(([^)]*)\)")


@functools.cache
def promtool() -> str:
    return subprocess.check_output([ROOT / "scripts/tool", "promtool"], text=True).strip()


def judged(*words, text: str | None = None, status: int = 0) -> str:
    """What promtool says about something that is right, or with another `status` wrong."""
    command = [promtool(), *map(str, words)]
    done = subprocess.run(command, input=text, capture_output=True, text=True, timeout=300)
    said = done.stdout + done.stderr
    assert done.returncode == status, f"{command}: {said}"
    return said


class Exposition:
    """The text of `/metrics`, in OpenMetrics."""

    def __init__(self, text: str):
        self.text = text
        #: Of each family of metrics.
        self.types = dict(re.findall(r"^# TYPE (\w+) (\w+)$", text, re.M))
        #: Of each name of a sample.
        self.labels: dict[str, set[str]] = {}
        #: Buckets' bounds.
        self.bounds: set[str] = set()
        for line in text.splitlines():
            if line.startswith("#"):
                continue
            name, labels = re.match(r"(\w+)(?:\{(.*)\})? ", line).groups()
            pairs = dict(re.findall(r'(\w+)="((?:[^"\\]|\\.)*)"', labels or ""))
            known = self.labels.setdefault(name, set(pairs))
            assert known == set(pairs), f"{name} has these labels, and others: {line}"
            self.bounds |= {pairs[label] for label in pairs if label == "le"}

    def is_sound(self, folder: Path) -> None:
        """Prometheus reads it, and its linter finds nothing."""
        stamped = re.sub(r"^(?!#)(.+)$", r"\1 1700000000", self.text, flags=re.M)
        file = folder / "exposition"
        file.write_text(stamped)
        judged("tsdb", "create-blocks-from", "openmetrics", file, folder / "blocks")
        judged("check", "metrics", text=self.as_prometheus_text())

    def as_prometheus_text(self) -> str:
        """In the older format, the only one that promtool's linter reads. There a counter is
        described under the name of its samples."""
        suffixes = {"counter": "_total", "info": "_info"}

        def described(found: re.Match) -> str:
            word, name, rest = found.groups()
            name += suffixes.get(self.types[name], "")
            return f"# {word} {name} {'gauge' if rest == 'info' else rest}"

        text = re.sub(r"^# (?:UNIT .*|EOF)\n", "", self.text, flags=re.M)
        return re.sub(r"^# (HELP|TYPE) (\w+) (.*)$", described, text, flags=re.M)


@functools.cache
def listed() -> Exposition:
    """All that a daemon exposes, without values: a test of the daemon's compares."""
    return Exposition((ROOT / "deploy/prometheus/metrics.txt").read_text())


class Asked:
    """The names in an expression of PromQL that promtool takes for one."""

    def __init__(self, expression: str):
        strings: list[str] = []

        def masked(found: re.Match) -> str:
            strings.append(found.group()[1:-1])
            return f'"{len(strings) - 1}"'

        text = STRING.sub(masked, re.sub(r"#.*", "", expression))
        #: Metric, label, operator, value.
        self.matchers: list[tuple[str, str, str, str]] = []
        #: Labels by which is grouped or joined.
        self.groups: set[str] = set()
        for name, inside in re.findall(r"(\w+)\s*\{([^}]*)\}", text):
            for label, operator, at in re.findall(r'(\w+)\s*(=~|!~|!=|=)\s*"(\d+)"', inside):
                self.matchers.append((name, label, operator, strings[int(at)]))
        text = re.sub(r"\{[^}]*\}|\[[^\]]*\]", " ", text)
        for inside in GROUPING.findall(text):
            self.groups |= set(re.findall(r"\w+", inside))
        text = GROUPING.sub(" ", text)
        text = re.sub(r"\boffset\s+\w+", " ", text)
        names = re.findall(r"\b([a-zA-Z_]\w*)\b(?!\s*\()", text)
        self.metrics = {name for name in names if name not in WORDS}

    def unknown(self, exposed: Exposition) -> set[str]:
        """What of it is not exposed. Of labels' values only buckets' bounds can be told."""
        known = {**exposed.labels, **OWN}
        unknown = self.metrics - known.keys()
        found = set().union(*(known[name] for name in self.metrics & known.keys()), SCRAPED)
        unknown |= {f"by {label}" for label in self.groups - found}
        for name, label, _, value in self.matchers:
            if name in known and label not in known[name] | SCRAPED:
                unknown.add(f"{name}: {label}")
            if label == "le" and value not in exposed.bounds:
                unknown.add(f"{name}: le {value}")
        return unknown
