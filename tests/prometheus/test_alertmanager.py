"""Alertmanager's configuration and its examples: whole, alike in whom they group and hide, and true to the rules."""

import subprocess

import pytest
import yaml

from artifacts.home import CHECKOUT
from tests.prometheus.test_rules import ALERTS
from tests.stack.live import program

FOLDER = CHECKOUT / "prometheus"
BASE = FOLDER / "alertmanager.yml"
EXAMPLES = sorted((FOLDER / "receivers").glob("*.yml"))


def test_each_receiver_type_has_an_example():
    kinds = {key for file in EXAMPLES for one in yaml.safe_load(file.read_text())["receivers"] for key in one}
    assert kinds == {"name", "webhook_configs", "email_configs", "slack_configs"}


@pytest.mark.parametrize("file", EXAMPLES, ids=lambda file: file.stem)
def test_example_differs_from_the_configuration_only_in_its_receiver(file):
    base, example = yaml.safe_load(BASE.read_text()), yaml.safe_load(file.read_text())
    assert example["route"].pop("receiver") == file.stem
    assert base["route"].pop("receiver") == "page"
    example["route"].pop("routes", None)  # whom to leave out is the example's own to say
    assert example["route"] == base["route"]
    assert example["inhibit_rules"] == base["inhibit_rules"]


def test_messages_are_grouped_by_pipeline():
    assert yaml.safe_load(BASE.read_text())["route"]["group_by"] == ["glassformer_pipeline"]


def test_inhibit_rules_name_existing_alerts():
    named = set()
    for rule in yaml.safe_load(BASE.read_text())["inhibit_rules"]:
        for matcher in [*rule["source_matchers"], *rule["target_matchers"]]:
            label, _, value = matcher.replace("=~", "=").partition("=")
            if label.strip() == "alertname":
                named |= set(value.strip(' "').split("|"))
    assert named
    assert named <= set(ALERTS)


@pytest.mark.stack
@pytest.mark.timeout(3000)
@pytest.mark.parametrize("file", [BASE, *EXAMPLES], ids=lambda file: file.stem)
def test_amtool_accepts_the_configuration(file):
    done = subprocess.run([program("amtool"), "check-config", file], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
