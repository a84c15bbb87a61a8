"""Runs must not multiply what the backends keep: streams in Loki not at all, series in Prometheus by a stated number.

Each process has an `instance` of its own (run, node, process id), so a node that is tried again has its series twice: on
purpose. Its counters are cumulative and begin at zero again; were they to continue the first process's series, late
samples of the one that died (they may come hours later, from the outbox) would stand between those of the second and read
as resets. `glassformer_run` and `glassformer_node` are labels anyway, so `instance` adds nothing for a node that runs once.
"""

import json
import time
import urllib.parse
import urllib.request

import pytest

from benchmarks import synthetic_runs
from benchmarks.synthetic_script import NODES
from telemetry import delivery_state
from telemetry.endpoints import endpoints
from telemetry.names import ABOUT_SCORES, LABELS, METRICS
from telemetry.shipper import Shipper
from tests.stack.live import eventually

pytestmark = [pytest.mark.stack, pytest.mark.timeout(3000)]  # the first start builds the programs
RUNS = 10
MOST_SERIES_OF_A_RUN = 600  # stated; what follows from the names must stay below
PROMOTED = {"glassformer_pipeline", "glassformer_run", "glassformer_step", "glassformer_node", "host_name"}
OF_STATES = {"system_memory_state", "system_filesystem_state"}
OF_PROMETHEUS = {"__name__", "le", "job", "instance"}
ON_TARGET_INFO = {"service_namespace", "service_name", "service_instance_id", "host_arch", "os_type"}
STREAM_LABELS = {"service_namespace", "service_name", "glassformer_pipeline", "glassformer_step"}
# How many values a label takes in one process: fixed lists of ours, or held to so many.
VALUES = {"baseline": 5, "length": 8, "model": 1, "node": len(NODES), "reason": 6, "split": 3, "title": 1}
LABEL_OF = {
    "corpus.rows": "split", "corpus.rows_by_length": "length", "corpus.duplicates": "reason", "corpus.quarantined": "reason",
    "report.baseline_score": "baseline", "gate.decision": "model", "node.state": "node", "pipeline.cache_hits": "node",
    "pipeline.cache_misses": "node", "pipeline.state": "title", "pipeline.saved_seconds": "node",
}  # fmt: skip
EVERY_PROCESS = {"step.progress", *(name for name in METRICS if name.startswith(("process.", "system.")))}
EVERY_STEP = {"step.seconds", "step.cpu_seconds", "step.peak_bytes", "telemetry.dropped"}
TRAININGS = ("pretrain", "finetune")


def series_of(name):
    """Series of one metric in one process: a value of its label each; of a histogram a bucket each, sum and count."""
    if METRICS[name].kind == "histogram":
        return len(METRICS[name].buckets) + 1 + 2
    return VALUES[LABEL_OF[name]] if name in LABEL_OF else 1


def series_of_a_run():
    """The largest number of series that the names allow: figures per process, cost per step, curves per training."""
    processes, trainings = len(NODES) + 1 + 1, sum(step in TRAININGS for step in NODES.values())  # a driver, one retry
    total = processes  # target_info
    for name in METRICS:
        many = (
            processes
            if name in EVERY_PROCESS | EVERY_STEP
            else trainings
            if name.startswith(("training.", "validation."))
            else 1
        )
        total += many * series_of(name)
    return total


def deliver(folder, played, live):
    """Replay runs into the backends; all of it must be taken."""
    synthetic_runs.write(folder, played)
    signals = ("logs", "metrics", "traces") if live.has_tempo else ("logs", "metrics")
    working = Shipper(folder, {name: to for name, to in endpoints(live.environment).items() if name in signals}, print)
    working.start()
    working.drain(30, patient=True)
    assert [delivery_state.waiting(folder, signal).records for signal in signals] == [0] * len(signals)
    assert all(found.set_aside == 0 for found in delivery_state.Delivered.read(folder).signals.values())


def get(live, service, path, **parameters):
    query = urllib.parse.urlencode(parameters)
    with urllib.request.urlopen(f"{live.services[service].address}{path}?{query}", timeout=30) as answer:
        return json.load(answer)["data"]


def series(live):
    """Every series that our processes pushed."""
    span = {"start": time.time() - 30 * 3600, "end": time.time() + 60}
    pushed = '{job="glassformer/glassformer", __name__=~"(glassformer|system)_.*|target_info"}'  # without their earlier names
    return get(live, "prometheus", "/api/v1/series", **{"match[]": pushed, **span})


def streams(live):
    span = {"start": time.time_ns() - 30 * 3600 * 10**9, "end": time.time_ns()}
    return get(live, "loki", "/loki/api/v1/series", **{"match[]": '{service_name="glassformer"}', **span})


@pytest.fixture(scope="module")
def counted(live, tmp_path_factory):
    """Series and streams after one run that goes well, and after ten, some of which fail or use the cache."""
    played = synthetic_runs.runs(RUNS, 20, updates=60)
    deliver(tmp_path_factory.mktemp("one"), played[:1], live)
    after_one = eventually(
        lambda: (series(live), streams(live)), lambda found: found[0] and len(found[1]) >= len(set(NODES.values()))
    )
    deliver(tmp_path_factory.mktemp("ten"), played[1:], live)
    return after_one, (series(live), eventually(lambda: streams(live), bool))


def test_metric_names_keep_a_run_within_the_series_limit():
    assert series_of_a_run() <= MOST_SERIES_OF_A_RUN
    assert set(LABEL_OF.values()) == set(VALUES) == LABELS - ABOUT_SCORES


def test_ten_runs_stay_within_the_series_limit_per_run(counted):
    (after_one, _), (after_ten, _) = counted
    assert 0 < len(after_one) <= series_of_a_run()
    assert len(after_one) < len(after_ten) <= RUNS * series_of_a_run()
    by_run = {}
    for labels in after_ten:
        by_run[labels.get("glassformer_run")] = by_run.get(labels.get("glassformer_run"), 0) + 1
    assert len(by_run) == RUNS, "every series names its run"
    assert max(by_run.values()) <= MOST_SERIES_OF_A_RUN


def test_runs_do_not_multiply_loki_streams(counted):
    (_, after_one), (_, after_ten) = counted
    assert len(after_ten) == len(after_one) == len(set(NODES.values()) | {"pipeline"})
    assert {name for labels in after_ten for name in labels} == STREAM_LABELS


def test_metric_labels_come_from_a_fixed_set(counted):
    _, (found, _) = counted
    pushed = [labels for labels in found if labels["__name__"] != "target_info"]
    assert {name for labels in pushed for name in labels} <= LABELS | OF_STATES | PROMOTED | OF_PROMETHEUS
    assert all(labels["host_name"] for labels in pushed), "series can be selected by their machine"
    about = [labels for labels in found if labels["__name__"] == "target_info"]
    assert {name for labels in about for name in labels} <= PROMOTED | OF_PROMETHEUS | ON_TARGET_INFO


def test_each_node_has_one_instance_and_a_retried_node_has_two(counted):
    _, (found, _) = counted
    instances = {}
    for labels in found:
        instances.setdefault((labels["glassformer_run"], labels.get("glassformer_node")), set()).add(labels["instance"])
    assert {len(some) for (_, node), some in instances.items() if node == "register"} == {2}
    assert {len(some) for (_, node), some in instances.items() if node != "register"} == {1}


def test_prometheus_series_count_matches_the_pushed_series(live, counted):
    """By its own count, its own figures and the exporter's are all that stands beside them."""
    _, (found, _) = counted
    head = get(live, "prometheus", "/api/v1/status/tsdb", limit=1000)
    jobs = {pair["name"]: pair["value"] for pair in head["seriesCountByLabelValuePair"]}
    assert jobs["job=glassformer/glassformer"] == len(found)
