"""What the documentation says is there: links, commands, options, reason codes, tests."""

import functools
import json
import os
import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
#: What stands for an argument.
PLACEHOLDER = re.compile(r"^[A-Z_]+$|^<.*>$|^…$|^\.\.\.$")
FENCE = re.compile(r"^```\w*\n(.*?)^```", re.M | re.S)


def _files() -> list[Path]:
    listed = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "*.md"]
    names = subprocess.check_output(listed, cwd=ROOT, text=True).split()
    return [ROOT / name for name in names if (ROOT / name).is_file()]


FILES = _files()
each_file = pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(ROOT)))


def _prose(text: str) -> str:
    return FENCE.sub("", text)


def _anchors(file: Path) -> set[str]:
    """The anchors that GitHub gives to headings."""
    found: set[str] = set()
    for heading in re.findall(r"^#+ +(.*?)\s*$", _prose(file.read_text()), re.M):
        text = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).lower()
        anchor = re.sub(r"[^\w\- ]", "", text).replace(" ", "-")
        count = sum(1 for known in found if re.fullmatch(re.escape(anchor) + r"(-\d+)?", known))
        found.add(f"{anchor}-{count}" if count else anchor)
    return found


@each_file
def test_links_lead_somewhere(file):
    broken = []
    for target in re.findall(r"\]\(([^)\s]+)\)", _prose(file.read_text())):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        there = (file.parent / path) if path else file
        is_page = there.exists() and there.suffix == ".md"
        if not there.exists() or (is_page and anchor and anchor not in _anchors(there)):
            broken.append(target)
    assert not broken


@functools.cache
def _program() -> str:
    target = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
    places = [os.environ.get("ALLIANCE_BIN")]
    if lab := os.environ.get("ALLIANCE_LAB"):
        places.append(f"{lab}/_bin/alliance")
    built = [target / profile / "alliance" for profile in ("release", "debug")]
    places += sorted((p for p in built if p.exists()), key=lambda p: -p.stat().st_mtime)
    for place in places:
        if place and (found := shutil.which(place)):
            return found
    pytest.skip("no alliance program: build it, or name it with ALLIANCE_BIN")


@functools.cache
def _help(words: tuple[str, ...]) -> str:
    done = subprocess.run([_program(), *words, "--help"], capture_output=True, text=True)
    return done.stdout if done.returncode == 0 else ""


@functools.cache
def _subcommands(words: tuple[str, ...]) -> set[str]:
    found = re.search(r"^Commands:\n((?:  .*\n?)+)", _help(words), re.M)
    return set(re.findall(r"^  (\w[\w-]*)", found.group(1), re.M)) if found else set()


def _commands(text: str) -> set[str]:
    """Every `alliance …` that is typed or named: in blocks with or without a prompt, and inline."""
    lines = [line for block in FENCE.findall(text) for line in block.split("\n")]
    joined = "\n".join(lines).replace("\\\n", " ").split("\n")
    spans = re.findall(r"(?<!`)`([^`\n]+)`(?!`)", _prose(text))
    found = set()
    for line in joined + spans:
        line = re.sub(r"^[\w@-]*[$#] +", "", line.strip())
        line = re.sub(r"^(sudo|runuser -u \w+ --) +", "", line)
        if re.match(r"alliance +[a-z-]", line):
            found.add(re.split(r" [|&;<>#]|;", line)[0].strip())
    return found


@each_file
def test_commands_are_those_of_the_program(file):
    assert not wrong_commands(file.read_text())


def wrong_commands(said: str) -> list[str]:
    """What is wrong with the commands in a text."""
    wrong = []
    for command in sorted(_commands(said)):
        words = [word for word in shlex.split(command, posix=True) if word != "…"][1:]
        chain: tuple[str, ...] = ()
        for word in words:
            if word.startswith("-") or not (known := _subcommands(chain)):
                continue
            if PLACEHOLDER.match(word):
                break
            if word in known:
                chain += (word,)
            elif not words[max(0, words.index(word) - 1)].startswith("--"):
                wrong.append(f"{command}: {word!r} is not one of {', '.join(sorted(known))}")
                break
        text = _help(chain)
        flags = [word.partition("=")[0] for word in words if re.match(r"--\w", word)]
        wrong += [
            f"{command}: no {flag}" for flag in flags if not re.search(rf"{flag}(?![\w-])", text)
        ]
    return wrong


def _options_named(text: str) -> set[tuple[str, str]]:
    """`[section] key` inline, and the keys of TOML and INI blocks."""
    found = set(re.findall(r"`\[(\w+)\] (\w+)", text))
    for block in FENCE.findall(text):
        section = None
        for line in block.split("\n"):
            if header := re.fullmatch(r"\s*\[(\w+)\]\s*(#.*)?", line):
                section = header.group(1)
            elif section and (key := re.match(r"\s*(\w+) *=", line)):
                found.add((section, key.group(1)))
    return found


def _options_of_the_daemon() -> set[tuple[str, str]]:
    sample = subprocess.check_output([_program(), "config", "sample"], text=True)
    found, section = set(), ""
    for line in sample.splitlines():
        if header := re.fullmatch(r"\[(\w+)\]", line):
            section = header.group(1)
        elif key := re.match(r"#?(\w+) = ", line):
            found.add((section, key.group(1)))
    return found


def _options_of_the_plugin() -> set[tuple[str, str]]:
    text = (ROOT / "keystone-plugin/keystone_alliance/options.py").read_text()
    return {("alliance", name) for name in re.findall(r"cfg\.\w+Opt\(\s*'(\w+)'", text)}


#: Of Keystone, its services and systemd, as the guide names them.
OTHERS = {
    ("token", "provider"),
    ("token", "cache_time"),
    ("identity", "cache_time"),
    ("token", "expiration"),
    ("token", "allow_expired_window"),
    ("token", "allow_rescope_scoped_token"),
    ("catalog", "driver"),
    ("revoke", "driver"),
    ("assignment", "driver"),
    ("assignment", "cache_time"),
    ("application_credential", "driver"),
    ("credential", "driver"),
    ("trust", "driver"),
    ("oauth1", "driver"),
    ("auth", "methods"),
    ("auth", "additional_primary_auth_methods"),
    ("cache", "enabled"),
    ("federation", "driver"),
    ("federation", "assertion_prefix"),
    ("jwt_tokens", "jws_public_key_repository"),
    ("revoke", "cache_time"),
    ("revoke", "caching"),
    ("keystone_authtoken", "token_cache_time"),
    ("keystone_authtoken", "memcached_servers"),
    ("DEFAULT", "enabled_import_methods"),
    ("DEFAULT", "notification_format"),
    ("oslo_messaging_notifications", "driver"),
    ("import_filtering_opts", "allowed_ports"),
    ("notification", "notification_control_exchanges"),
    ("service_user", "send_service_user_token"),
}
UNIT = {"Unit", "Service", "Install"}


@each_file
def test_options_are_known(file):
    known = _options_of_the_daemon() | _options_of_the_plugin() | OTHERS
    named = {option for option in _options_named(file.read_text()) if option[0] not in UNIT}
    assert named <= known


def _reasons_of_the_daemon() -> set[str]:
    text = (ROOT / "crates/alliance-core/src/refusal.rs").read_text()
    block = text.split("reasons! {", 1)[1].split("\n}\n", 1)[0]
    return set(re.findall(r'= "(\w+)"', block))


def _reasons_of_the_plugin() -> set[str]:
    found = set()
    for file in (ROOT / "keystone-plugin/keystone_alliance").glob("*.py"):
        text = file.read_text()
        found |= set(re.findall(r"(?:Refused|Indeterminate|_check_limit)\(\s*'(\w+)'", text))
        found |= set(re.findall(r"\breason = '(\w+)'", text))
    return found


def _table(text: str, header: str) -> list[list[str]]:
    rows = text.split(header, 1)[1].lstrip("\n").split("\n")
    rows = rows[rows.index(next(row for row in rows if row.startswith("|"))) + 2 :]
    table = []
    for row in rows:
        if not row.startswith("|"):
            break
        table.append([cell.strip() for cell in row.strip("|").split("|")])
    return table


def test_every_reason_code_is_described_and_none_is_invented():
    text = (ROOT / "docs/protocol.md").read_text()
    ours = {row[0].strip("`") for row in _table(text, "Codes of `alliance_core")}
    more = {row[0].strip("`") for row in _table(text, "Further codes")}
    daemon = _reasons_of_the_daemon()
    assert ours == daemon
    assert more == _reasons_of_the_plugin() - daemon


def test_reason_codes_are_described_as_the_code_takes_them():
    text = (ROOT / "docs/protocol.md").read_text()
    source = (ROOT / "crates/alliance-core/src/refusal.rs").read_text()
    open_ones = re.search(r"fn is_definite.*?matches!\((.*?)\)", source, re.S).group(1)
    names = dict(re.findall(r'(\w+) = "(\w+)"', source))
    expected = {names[name] for name in re.findall(r"Reason::(\w+)", open_ones)}
    rows = _table(text, "Codes of `alliance_core")
    assert {row[0].strip("`") for row in rows if row[1] == "open"} == expected
    assert {row[1] for row in rows} == {"open", "definite"}


def test_routes_of_the_peer_api_are_described():
    described = json.loads((ROOT / "docs/peer-api.openapi.json").read_text())["paths"]
    text = (ROOT / "docs/protocol.md").read_text()
    missing = [path for path in described if f"{path}`" not in text]
    assert not missing


@functools.cache
def _source() -> str:
    listed = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "*.rs", "*.py"]
    names = subprocess.check_output(listed, cwd=ROOT, text=True).split()
    kept = [ROOT / name for name in names if name != "tests/test_docs.py"]
    return "\n".join(file.read_text() for file in kept if file.is_file())


@each_file
def test_tests_that_are_named_exist(file):
    named = set(re.findall(r"`((?!alliance_)(?:[a-z0-9]+_){4,}[a-z0-9]+)`", file.read_text()))
    assert not {name for name in named if f" {name}" not in _source()}


@each_file
def test_metrics_that_are_named_exist(file):
    suffix = r"(?:_total|_info|_seconds(?:_\w+)?)?(?:\{.*?)?"
    named = set(re.findall(rf"`alliance_(\w+?){suffix}`", file.read_text()))
    assert {name for name in named if not name.startswith("core")} <= _metrics()


def _metrics() -> set[str]:
    listed = (ROOT / "deploy/prometheus/metrics.txt").read_text()
    names = re.findall(r"^# TYPE alliance_(\w+)", listed, re.M)
    return {name.removesuffix("_seconds") for name in names}


@each_file
def test_nothing_of_the_machine_on_which_it_was_written_is_left(file):
    assert not re.search(r"/work/|/root/|/tmp/lab", file.read_text())
