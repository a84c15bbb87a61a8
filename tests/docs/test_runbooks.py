"""Runbooks: a page an alert, all of one shape, and what they tell people to type, open and read is there."""

import re
import subprocess
import sys

import pytest
import yaml

from artifacts.home import CHECKOUT
from telemetry.names import EVENTS, METRICS
from tests.prometheus.test_rules import ALERTS, BOARDS

PAGES = {page.stem: page.read_text() for page in (CHECKOUT / "docs" / "runbooks").glob("*.md")}
PAGES_AND_GUIDE = PAGES | {"alerts": (CHECKOUT / "docs" / "alerts.md").read_text()}
PARTS = ["What it means", "Look at", "Usual causes", "Do", "When it ends"]


def commands(module):
    """The arguments after `python -m module` on the pages."""
    told = "\n".join(PAGES_AND_GUIDE.values())
    return sorted(set(re.findall(rf"python -m {re.escape(module)}((?: +[\w-]+)*)", told)))


def named_modules():
    return sorted(set(re.findall(r"python -m ([\w.]+)", "\n".join(PAGES_AND_GUIDE.values()))))


def test_runbook_pages_match_alerts():
    assert set(PAGES) == set(ALERTS)


@pytest.mark.parametrize("name", PAGES)
def test_page_states_severity_and_has_all_sections(name):
    page = PAGES[name]
    assert page.startswith(f"# {name}\n\nSeverity: {ALERTS[name][1]['labels']['severity']}.\n")
    assert re.findall(r"^## (.+)$", page, re.MULTILINE) == PARTS
    assert all(part.strip() for part in re.split(r"^## .+$", page, flags=re.MULTILINE))
    assert len(page.splitlines()) <= 45, "one screen"


@pytest.mark.parametrize("module", named_modules())
def test_commands_named_on_pages_exist(module):
    for command in commands(module):
        words = [word for word in command.split() if word[:1] != "-" and word.islower() and not word.isdigit()][:1]
        told = subprocess.run(
            [sys.executable, "-m", module, *words, "--help"], cwd=CHECKOUT, capture_output=True, text=True, check=False
        )
        assert told.returncode == 0, (module, command, told.stderr)
        for option in re.findall(r"--[\w-]+", command):
            assert option in told.stdout, (module, command)


def test_make_targets_named_on_pages_exist():
    told = set(re.findall(r"`make ([\w-]+)", "\n".join(PAGES_AND_GUIDE.values())))
    targets = set(re.findall(r"^([\w-]+):", (CHECKOUT / "Makefile").read_text(), re.MULTILINE))
    assert told
    assert told <= targets


@pytest.mark.parametrize("name", PAGES_AND_GUIDE)
def test_dashboards_files_and_signals_named_on_a_page_exist(name):
    page = PAGES_AND_GUIDE[name]
    links = re.findall(r"\]\(([^)]+)\)", page)
    folder = CHECKOUT / "docs" / ("" if name == "alerts" else "runbooks")
    for link in links:
        assert link.removeprefix("/d/") in BOARDS if link.startswith("/d/") else (folder / link).exists(), link
    for path in re.findall(r"`((?:docs|loki|prometheus|deploy|tests|telemetry)/[\w./-]+)`", page):
        assert (CHECKOUT / path).exists(), path
    for signal in re.findall(r"`([a-z]+\.[a-z_]+)`", page):
        assert signal in EVENTS or signal in METRICS or signal.endswith((".jsonl", ".json", ".yml")), signal


@pytest.mark.parametrize("name", PAGES)
def test_panels_named_on_a_page_are_on_the_linked_dashboard(name):
    for uid, rest in re.findall(r"\]\(/d/([\w-]+)\)(.*?)(?=\n- |\n\n|\]\(/d/)", PAGES[name] + "\n\n", re.DOTALL):
        titles = {panel["title"] for panel in BOARDS[uid]["panels"]}
        assert set(re.findall(r'"([A-Z][^"]+)"', rest)) <= titles, uid


def test_the_guide_lists_every_alert_with_its_severity():
    rows = re.findall(r"^\| \[(\w+)\]\(runbooks/(\w+)\.md\) \| (\w+) \|", PAGES_AND_GUIDE["alerts"], re.MULTILINE)
    assert {name: severity for name, _, severity in rows} == {
        name: rule["labels"]["severity"] for name, (_, rule) in ALERTS.items()
    }
    assert all(name == page for name, page, _ in rows)


def test_guide_lists_all_receiver_examples():
    told = set(re.findall(r"prometheus/receivers/(\w+)\.yml", PAGES_AND_GUIDE["alerts"]))
    assert told == {file.stem for file in (CHECKOUT / "prometheus" / "receivers").glob("*.yml")}
    assert all(yaml.safe_load(file.read_text()) for file in (CHECKOUT / "prometheus" / "receivers").glob("*.yml"))
