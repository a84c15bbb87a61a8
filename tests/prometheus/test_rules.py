"""Every alert has a severity, a panel, a runbook, and tests that expect it and that expect silence; promtool runs them."""

import json
import re
import subprocess

import pytest
import yaml

from artifacts.home import CHECKOUT
from deploy.native.services import Ports
from grafana.live import panels
from tests.metric_names import exported, pushed, series, served
from tests.stack.live import program

FOLDER = CHECKOUT / "prometheus"
FILES = [*sorted((FOLDER / "rules").glob("*.yml")), *sorted((CHECKOUT / "loki" / "rules" / "fake").glob("*.yml"))]
RULES = [
    (file, rule) for file in FILES for group in yaml.safe_load(file.read_text())["groups"] for rule in group["rules"]
]
ALERTS = {rule["alert"]: (file, rule) for file, rule in RULES if "alert" in rule}
RECORDED = {rule["record"]: rule["expr"] for _, rule in RULES if ":" in rule.get("record", "")}  # not earlier names
TESTS = [
    test
    for folder in ("prometheus", "loki")
    for file in sorted((CHECKOUT / folder / "tests").glob("*.yml"))
    for test in yaml.safe_load(file.read_text())["tests"]
    if "alert_rule_test" in test
]
BOARDS = {
    board["uid"]: board
    for file in (CHECKOUT / "grafana" / "dashboards").glob("*.json")
    if (board := json.loads(file.read_text()))
}


# Text that a label or value left empty: `<no value>`, two blanks, punctuation after nothing.
EMPTY = r"<no value>|^\s*$|^[\s,.:;]|\s\s|\s[,.:;)]|\(\)|[\s:(]$"


def expected_of(alert):
    """The alerts of each time that a test expects it; an empty list for each that expects silence."""
    return [
        case.get("exp_alerts", []) for test in TESTS for case in test["alert_rule_test"] if case["alertname"] == alert
    ]


def panel_of(rule):
    """The panel that an alert is linked to."""
    told = rule["annotations"]
    [panel] = [one for one in panels(BOARDS[told["__dashboardUid__"]]) if str(one["id"]) == told["__panelId__"]]
    return panel


def with_recorded(expression):
    """A rule's expression, and those of the recording rules that it reads."""
    return " ".join([expression, *(recorded for name, recorded in RECORDED.items() if name in expression)])


def metrics_of(expression):
    """The metrics that a PromQL expression names."""
    rest = re.sub(r'"[^"]*"|\{[^}]*\}|\[[^\]]*\]|\b(by|on) \([^)]*\)', " ", expression)
    rest = re.sub(r"[a-z_]+\s*\(", " ", rest)
    return set(re.findall(r"[a-z][a-z_:0-9]*[a-z0-9]", rest)) - {"and", "or", "unless", "e6"}


def test_alert_names_are_unique():
    assert len(ALERTS) == sum("alert" in rule for _, rule in RULES)


@pytest.mark.parametrize("name", ALERTS)
def test_each_alert_has_tests_for_firing_and_silence(name):
    expected = expected_of(name)
    assert any(expected), "a case where it fires"
    assert not all(expected), "a case where it is silent"
    if ALERTS[name][0].name not in ("machines.yml", "serving.yml"):
        labels = [one["exp_labels"] for alerts in expected for one in alerts]
        assert any("glassformer_pipeline" in one for one in labels), "messages are grouped by it"


def test_each_test_is_named_after_its_alert():
    for test in TESTS:
        assert test["name"].split()[0] in {case["alertname"] for case in test["alert_rule_test"]}, test["name"]


@pytest.mark.parametrize("name", ALERTS)
def test_each_alert_has_severity_runbook_and_dashboard(name):
    _, rule = ALERTS[name]
    assert rule["labels"]["severity"] in ("info", "warning", "critical")
    told = rule["annotations"]
    assert set(told) == {"summary", "description", "runbook_url", "dashboard", "__dashboardUid__", "__panelId__"}
    assert told["runbook_url"] == f"http://127.0.0.1:{Ports.exporter}/runbooks/{name}"
    assert (CHECKOUT / "docs" / "runbooks" / f"{name}.md").exists()
    path, _, query = told["dashboard"].partition("?")
    board = BOARDS[told["__dashboardUid__"]]
    assert path == f"/d/{board['uid']}"
    variables = {f"var-{one['name']}" for one in board["templating"]["list"]}
    assert {part.partition("=")[0] for part in query.split("&") if part} <= variables


@pytest.mark.parametrize("name", ALERTS)
def test_panel_of_each_alert_shows_its_cause(name):
    """The panel's id is made of its title, which the runbook names: another one in the rule is found here."""
    file, rule = ALERTS[name]
    panel = panel_of(rule)
    page = (CHECKOUT / "docs" / "runbooks" / f"{name}.md").read_text()
    assert f'"{panel["title"]}"' in page.partition("## Usual causes")[0]
    shown = {target["datasource"]["type"] for target in panel["targets"]}
    if shown == {"loki"}:
        assert file.parent.name == "fake" or panel["title"] == "Events"
    else:
        queries = " ".join(re.sub(r"\$\w+", "5m", target["expr"]) for target in panel["targets"])
        assert metrics_of(queries) & metrics_of(with_recorded(rule["expr"]))


@pytest.mark.parametrize("name", ALERTS)
def test_texts_of_each_alert_have_no_empty_place(name):
    """Labels that a series may lack have words in their place, and tests with and without them."""
    written = ALERTS[name][1]["annotations"]
    expected = [one for alerts in expected_of(name) for one in alerts]
    for one in expected:
        assert set(one["exp_annotations"]) == set(written)
        assert not [text for text in one["exp_annotations"].values() if re.search(EMPTY, text)]
    text = " ".join(written.values())
    labels = set(re.findall(r"\$labels\.(\w+)", text))
    may_lack = set(re.findall(r"(?:\bor|\bwith) \$labels\.(\w+)", text))
    for label in labels:
        assert {label in one["exp_labels"] for one in expected} == ({True, False} if label in may_lack else {True})


@pytest.mark.parametrize(
    "text", ["", " ", ", run r1: ended", "docs, run : ended", "Telemetry waits: ", "at <no value>", "a  b", "down ()"]
)
def test_empty_places_in_texts_are_found(text):
    assert re.search(EMPTY, text)


def test_rules_use_only_existing_metrics(tmp_path):
    known = {*series([*pushed(), *served(), *exported(tmp_path)]), "up", *RECORDED}
    for file, rule in RULES:
        if file.parent.parent == FOLDER:
            named = metrics_of(rule["expr"])
            assert named
            assert named <= known, rule


@pytest.mark.stack
@pytest.mark.timeout(3000)
@pytest.mark.parametrize(
    "command", [["check", "config", "prometheus.yml"], ["check", "rules", "--lint=all"], ["test", "rules"]]
)
def test_promtool_accepts_configuration_rules_and_tests(command):
    files = {"check rules": "rules", "test rules": "tests"}.get(" ".join(command[:2]))
    named = sorted((FOLDER / files).glob("*.yml")) if files else []
    done = subprocess.run(
        [program("promtool"), *command, *named], cwd=FOLDER, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
