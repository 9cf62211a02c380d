"""Alarms and dashboard: they watch what is exposed, ring when they should, and say what to do."""

import json
import re
from pathlib import Path

import pytest
import yaml

from tests import test_docs
from tests.kit.metrics import Asked, judged, listed

DEPLOY = Path(__file__).resolve().parent.parent / "deploy"
PROMETHEUS = DEPLOY / "prometheus"
RULES = PROMETHEUS / "alliance.rules.yml"
RULES_TESTS = sorted(PROMETHEUS.glob("*.test.yml"))
GUIDE = test_docs.ROOT / "docs/operators-guide.md"
#: How urgent an alarm is, as the guide explains them.
SEVERITIES = {"critical", "warning", "info"}
LISTED = listed()
ALARMS = [rule for group in yaml.safe_load(RULES.read_text())["groups"] for rule in group["rules"]]
each_alarm = pytest.mark.parametrize("alarm", ALARMS, ids=lambda alarm: alarm["alert"])
DASHBOARD = json.loads((DEPLOY / "grafana/alliance.json").read_text())
PANELS = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]
VARIABLES = {one["name"]: one for one in DASHBOARD["templating"]["list"]}
#: Grafana's own, with what stands for them here.
GRAFANAS = {"$__rate_interval": "5m"}


def _expressions() -> list[tuple[str, str]]:
    """Each expression of the dashboard, with where it stands."""
    found = [(panel["title"], one["expr"]) for panel in PANELS for one in panel["targets"]]
    annotations = DASHBOARD["annotations"]["list"]
    found += [(one["name"], one["expr"]) for one in annotations if "expr" in one]
    for name, text in GRAFANAS.items():
        found = [(where, expression.replace(name, text)) for where, expression in found]
    return found


def _values(asked: Asked):
    """Labels' values that are asked for, each with its label, but those that only Prometheus or an
    operator knows."""
    for name, label, operator, value in asked.matchers:
        if name.startswith("alliance_") and label not in {"job", "instance", "partner", "le"}:
            for one in value.split("|") if "~" in operator else [value]:
                yield label, one


def test_what_is_exposed_can_be_scraped_and_has_good_names(tmp_path):
    LISTED.is_sound(tmp_path)


def test_alarms_are_rules():
    judged("check", "rules", "--lint-fatal", RULES)


def test_alarms_ring_when_they_should_and_only_then():
    judged("test", "rules", *RULES_TESTS)


def _rung() -> dict[str, list[set[str]]]:
    """The labels of each alarm that those tests make ring."""
    rung: dict[str, list[set[str]]] = {}
    for file in RULES_TESTS:
        for test in yaml.safe_load(file.read_text())["tests"]:
            for case in test["promql_expr_test"]:
                for sample in case["exp_samples"]:
                    labels = dict(re.findall(r'(\w+)="([^"]*)"', sample["labels"]))
                    rung.setdefault(labels["alertname"], []).append(set(labels))
    return rung


@each_alarm
def test_each_alarm_was_heard(alarm):
    assert _rung().get(alarm["alert"])


@each_alarm
def test_each_alarm_says_what_an_operator_needs_at_night(alarm):
    assert alarm["for"]
    assert set(alarm["labels"]) == {"severity"}
    assert alarm["labels"]["severity"] in SEVERITIES
    said = alarm["annotations"]
    assert set(said) == {"summary", "description", "runbook"}
    assert re.search("`[^`]+`", said["description"]), "no command to run next"
    page, _, anchor = said["runbook"].partition("#")
    assert anchor in test_docs._anchors(test_docs.ROOT / page)


@each_alarm
def test_each_alarm_names_what_it_knows(alarm):
    """A label that the alarm has not is nothing in a message."""
    named = set(re.findall(r"\$labels\.(\w+)", str(alarm["annotations"])))
    heard = _rung()[alarm["alert"]]
    # Nobody knows the address of a daemon that is not there.
    assert any(named <= labels for labels in heard)


@each_alarm
def test_each_alarm_watches_what_is_exposed(alarm):
    assert not Asked(alarm["expr"]).unknown(LISTED)


def test_commands_in_alarms_are_those_of_the_program():
    said = " ".join(alarm["annotations"]["description"] for alarm in ALARMS)
    said = re.sub(r"\{\{.*?\}\}", "NAME", said)
    assert not test_docs.wrong_commands(said)


def test_the_guide_has_each_alarm():
    text = GUIDE.read_text()
    rows = test_docs._table(text, "### When an alarm rings")
    assert [row[0].strip("`") for row in rows] == [alarm["alert"] for alarm in ALARMS]
    assert [row[1] for row in rows] == [alarm["labels"]["severity"] for alarm in ALARMS]


def test_what_the_dashboard_asks_is_promql(tmp_path):
    rules = [
        {"record": f"dashboard:{number}", "expr": expression}
        for number, (_, expression) in enumerate(_expressions())
    ]
    assert len(rules) > len(PANELS) / 2
    file = tmp_path / "rules.yml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "dashboard", "rules": rules}]}))
    judged("check", "rules", file)


@pytest.mark.parametrize(("where", "expression"), _expressions(), ids=lambda text: text[:40])
def test_the_dashboard_asks_about_what_is_exposed(where, expression):
    assert not Asked(expression).unknown(LISTED)


def test_values_of_labels_that_are_asked_for_are_some_of_the_daemon():
    asked = [alarm["expr"] for alarm in ALARMS] + [text for _, text in _expressions()]
    values = {one for expression in asked for one in _values(Asked(expression))}
    assert values
    files = (test_docs.ROOT / "crates").glob("*/src/**/*.rs")
    source = "".join(file.read_text() for file in files)
    assert not {(label, value) for label, value in values if f'"{value}"' not in source}


def test_a_legend_names_labels_that_are_there():
    for panel in PANELS:
        for target in panel["targets"]:
            asked = Asked(target["expr"].replace("$__rate_interval", "5m"))
            whole = set().union(*(LISTED.labels.get(name, set()) for name in asked.metrics))
            labels = asked.groups or whole | {"instance"}
            named = set(re.findall(r"\{\{(\w+)\}\}", target["legendFormat"]))
            assert named <= labels, panel["title"]


def test_the_dashboard_works_with_any_prometheus_and_any_daemons():
    assert DASHBOARD["id"] is None
    assert VARIABLES["datasource"]["type"] == "datasource"
    source = {"type": "prometheus", "uid": "${datasource}"}
    for panel in PANELS:
        assert panel["datasource"] == source, panel["title"]
        for target in panel["targets"]:
            assert target["datasource"] == source, panel["title"]
            used = set(re.findall(r"\$(\w+)", target["expr"]))
            assert used - {"__rate_interval"} <= VARIABLES.keys(), panel["title"]
            assert "instance" in used, panel["title"]


def test_variables_of_the_dashboard_are_filled_by_what_is_exposed():
    queries = [one["query"]["query"] for one in VARIABLES.values() if one["type"] == "query"]
    assert queries
    for query in queries:
        selector, label = re.fullmatch(r"label_values\((.*), (\w+)\)", query).groups()
        asked = Asked(selector)
        assert not asked.unknown(LISTED)
        [metric] = asked.metrics
        assert label in LISTED.labels[metric] | {"instance"}


def test_panels_lie_beside_each_other():
    taken: set[tuple[int, int]] = set()
    for panel in DASHBOARD["panels"]:
        at = panel["gridPos"]
        columns, lines = range(at["x"], at["x"] + at["w"]), range(at["y"], at["y"] + at["h"])
        cells = {(column, line) for column in columns for line in lines}
        assert columns.stop <= 24, panel["title"]
        assert not cells & taken, panel["title"]
        taken |= cells
    numbers = [panel["id"] for panel in DASHBOARD["panels"]]
    assert len(set(numbers)) == len(numbers)
