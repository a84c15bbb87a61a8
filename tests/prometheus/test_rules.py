"""Every alert has a test that expects it, one that expects silence, and a runbook; promtool runs them."""

import subprocess
from pathlib import Path

import pytest
import yaml

from deploy.native.programs import PROGRAMS

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "prometheus"
RULES = yaml.safe_load((FOLDER / "rules" / "glassformer.yml").read_text())
ALERTS = {rule["alert"]: rule for group in RULES["groups"] for rule in group["rules"] if "alert" in rule}
CASES = [case for test in yaml.safe_load((FOLDER / "tests" / "glassformer.yml").read_text())["tests"]
         for case in test["alert_rule_test"]]  # fmt: skip


@pytest.mark.parametrize("name", ALERTS)
def test_an_alert_is_tested_both_ways_and_has_a_runbook_and_a_dashboard(name):
    cases = [bool(case.get("exp_alerts")) for case in CASES if case["alertname"] == name]
    assert {True, False} <= set(cases), "one case where it fires, one where it is silent"
    page = (ROOT / ALERTS[name]["annotations"]["runbook"]).read_text()
    assert page.startswith(f"# {name}\n")
    assert all(f"\n## {part}\n" in page for part in ("What it means", "Look at", "Do"))
    board = ALERTS[name]["annotations"]["dashboard"].removeprefix("glassformer-")
    assert (ROOT / "grafana" / "dashboards" / f"{board}.json").exists()
    assert ALERTS[name]["labels"]["severity"] in ("info", "warning", "critical")


def test_no_runbook_is_left_over():
    assert {page.stem for page in (ROOT / "docs" / "runbooks").glob("*.md")} == set(ALERTS)


@pytest.mark.stack
@pytest.mark.timeout(3000)
@pytest.mark.parametrize("command", [["check", "config", "prometheus.yml"], ["test", "rules", "tests/glassformer.yml"]])
def test_promtool_agrees(command):
    program = PROGRAMS["promtool"].path(print)
    done = subprocess.run([program, *command], cwd=FOLDER, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
