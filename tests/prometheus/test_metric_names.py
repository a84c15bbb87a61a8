"""Names of metrics: one prefix, `ratio` for shares alone, `_total` for counters; and the earlier names of those that changed."""

import re
import subprocess

import pytest
import yaml

from artifacts.home import CHECKOUT
from telemetry.names import METRICS, sent_as
from tests.metric_names import exported, exposition, pushed, series, served
from tests.stack.live import program

SHARES = {
    "gpu.utilization", "system.cpu.utilization",
    "tokenizer.round_trip_share", "tokenizer.unknown_share", "training.dropout", "training.padding_share",
}  # fmt: skip
# Of the earlier names, some had the unit of a ratio, and some counters lacked `_total`.
NEWER = {"glassformer_training_compile_seconds"}  # than the change
WERE_RATIOS = {
    "report.baseline_score", "report.score", "training.gradient_norm", "training.highest_update_loss",
    "training.learning_rate", "training.loss", "training.lowest_update_loss", "validation.best_loss", "validation.best_score",
    "validation.loss", "validation.score",
}  # fmt: skip
LACKED_TOTAL = {
    "serving_connections_refused", "serving_connections_cut", "serving_headers_refused", "training_roll_backs",
    "glassformer_outbox_delivered_records", "glassformer_outbox_set_aside_records", "glassformer_outbox_dropped_records",
}  # fmt: skip


def earlier_names():
    [group] = yaml.safe_load((CHECKOUT / "prometheus" / "rules" / "earlier_names.yml").read_text())["groups"]
    return {rule["record"]: rule["expr"] for rule in group["rules"]}


def test_every_metric_has_the_one_prefix(tmp_path):
    names = list(series([*pushed(), *served(), *exported(tmp_path)]))
    assert len(names) == len(set(names)) > 120
    assert all(name.startswith(("glassformer_", "system_")) for name in names), (
        "ours, and those that OpenTelemetry named"
    )


def test_unit_of_a_ratio_is_for_shares_alone():
    assert {name for name, entry in METRICS.items() if entry.unit == "1"} == SHARES


def test_earlier_names_are_those_of_all_that_changed(tmp_path):
    ratios = {sent_as(name).replace(".", "_") for name in WERE_RATIOS}
    expected = {}
    for name in series([*pushed(), *served()]):
        if name.startswith("system_") or name in NEWER:
            continue
        earlier = name.removeprefix("glassformer_") + ("_ratio" if name in ratios else "")
        expected[earlier.removesuffix("_total") if earlier.removesuffix("_total") in LACKED_TOTAL else earlier] = name
    for name in series(exported(tmp_path)):
        if name.removesuffix("_total") in LACKED_TOTAL:
            expected[name.removesuffix("_total")] = name
    assert earlier_names() == expected
    assert not set(expected) & set(expected.values())


def test_boards_and_rules_ask_for_no_earlier_name():
    """They go with the next release, and have no value where the rule that records them is a moment behind."""
    files = [*CHECKOUT.glob("grafana/dashboards/*.json"), *CHECKOUT.glob("prometheus/rules/*.yml")]
    texts = {file.name: file.read_text() for file in files if file.name != "earlier_names.yml"}
    asked = re.compile(rf"(?<![\w:])({'|'.join(earlier_names())})(?![\w:])")
    assert {name: asked.findall(text) for name, text in texts.items()} == {name: [] for name in texts}


@pytest.mark.stack
@pytest.mark.timeout(3000)
@pytest.mark.parametrize(
    "families", [lambda _: own(pushed()), lambda _: served(), exported], ids=["pushed", "served", "exported"]
)
def test_promtool_finds_no_fault_in_metric_names(families, tmp_path):
    done = checked(exposition(families(tmp_path)))
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


@pytest.mark.stack
@pytest.mark.timeout(3000)
def test_promtool_finds_faults():
    assert "counter metrics should have" in checked("# HELP a b\n# TYPE a counter\na 1\n").stderr


def own(families):
    """The metrics of our naming: OpenTelemetry's `system.cpu.logical.count` ends as promtool wants histograms alone to end."""
    return [family for family in families if not family.name.startswith("system_")]


def checked(text):
    return subprocess.run(
        [program("promtool"), "check", "metrics"], input=text, capture_output=True, text=True, check=False
    )
