"""A node's retries: only for an error that can pass, and only so often. Its span, and the states of a run that was killed."""

from contextlib import nullcontext
from types import SimpleNamespace
from typing import Any

import pytest

from artifacts.runs import Run
from pipelines import launch, mlflow_run
from pipelines.graph import Node
from pipelines.jobs import Workers
from pipelines.node_run import NodeRunner, StepError
from pipelines.plan import Planned
from telemetry import Observe, records
from telemetry.names import STATES
from telemetry.segments import read_segment, segments
from tests.telemetry.outbox_records import own_name


class _Retrying(NodeRunner):
    """A runner whose attempts end with the given exit codes, one after another."""

    def __init__(self, *exit_codes: int) -> None:
        self.left, self.logged, self.states = list(exit_codes), [], []
        self.workers = Workers(1)
        self.observe: Any = SimpleNamespace(
            log=lambda event, message, **_: self.logged.append((event, message)),
            metric=lambda name, value, *, node: self.states.append((name, node, value)),
            span=lambda *_, **__: nullcontext(),
        )

    def _attempt(self, planned: Planned, inputs: Any) -> dict[str, Any]:
        code = self.left.pop(0)
        if code:
            raise StepError(planned.node.id, {"exit_code": code, "error": f"ended with {code}"})
        return {"exit_code": code}


@pytest.fixture(autouse=True)
def pauses(monkeypatch):
    """The pauses that were taken, none of them waited for."""
    taken = []
    monkeypatch.setattr(Workers, "pause", lambda self, seconds: taken.append(seconds))
    return taken


def planned(retries: int) -> Planned:
    node = Node("pretrain", "pretrain", {}, {}, retries)
    return Planned(node, "MISS", ("never run before",), {}, "fingerprint", None, None)


def test_transient_error_is_retried_with_growing_pause(pauses):
    runner = _Retrying(75, 75, 0)
    assert runner.run(planned(retries=2), {})["exit_code"] == 0
    assert pauses == [2.0, 10.0]
    assert runner.states == [("node.state", "pretrain", STATES["running"]), ("node.state", "pretrain", STATES["done"])]
    assert runner.logged == [
        ("node.retried", "pretrain: ended with 75; trying again in 2 s"),
        ("node.retried", "pretrain: ended with 75; trying again in 10 s"),
    ]


@pytest.mark.parametrize("retries", [0, 1, 5])
def test_error_after_last_retry_fails_the_run(pauses, retries):
    runner = _Retrying(*[75] * (retries + 1))
    with pytest.raises(StepError, match="ended with 75") as failed:
        runner.run(planned(retries), {})
    assert failed.value.exit_code == 75
    assert runner.left == []
    assert len(pauses) == retries
    assert runner.states[-1] == ("node.state", "pretrain", STATES["failed"]), "once, after the last try"
    assert len(runner.states) == 2


@pytest.mark.parametrize("code", [1, 2])
def test_permanent_error_is_never_retried(pauses, code):
    runner = _Retrying(code, 0)
    with pytest.raises(StepError) as failed:
        runner.run(planned(retries=3), {})
    assert failed.value.exit_code == code
    assert runner.left == [0]
    assert pauses == []


def units(folder, signal):
    """Every request of a signal in the outbox."""
    payloads = [frame.payload for segment in segments(folder, signal) for frame in read_segment(segment)]
    request = records.request_class(signal)
    return [request.FromString(unit) for payload in payloads for unit in records.units(signal, payload)]


def test_span_of_failed_node_is_marked_as_failed(tmp_path, monkeypatch):
    answer = {"exit_code": 1, "state": "failed", "error": "no rows"}
    monkeypatch.setattr(launch, "run_step", lambda *_: answer)
    observe = Observe.open(
        "t", pipeline="p", run="r", step="pipeline", node="", outbox=tmp_path / "outbox", terminal=False
    )
    tracked: Any = SimpleNamespace(
        start_node=lambda *_: "child", address=lambda _: "", forwarding=lambda *_: nullcontext()
    )
    config = SimpleNamespace(model_dump=lambda mode: {})
    node = SimpleNamespace(id="pretrain", step="pretrain", retries=0, config_with=lambda folders: config)
    runner = NodeRunner(tmp_path, Workers(1), Run("r", "p", str(tmp_path / "runs" / "r")), observe, tracked, set())
    with observe.span("pipeline"), pytest.raises(StepError, match="no rows"):
        runner.run(SimpleNamespace(node=node, fingerprint="f", parts={}), {})
    observe.close()
    spans = [
        span for one in units(tmp_path / "outbox", "traces") for span in one.resource_spans[0].scope_spans[0].spans
    ]
    assert {span.name: (span.status.code, span.status.message) for span in spans} == {
        "node": (2, "StepError: no rows"),
        "pipeline": (0, ""),
    }
    assert runner.run_record.nodes == {"pretrain": {"state": "failed"}}


def test_killed_run_gets_its_states_and_no_readings_of_this_process(tmp_path):
    run = Run("r", "p", str(tmp_path / "runs" / "r"), mlflow_runs={"": "m", "prepare_data": "n", "pretrain": "o"})
    run.nodes["prepare_data"] = {"state": "made"}
    mlflow_run._tell_killed(run)
    found = {}
    for one in units(tmp_path / "outbox", "metrics"):
        [part] = one.resource_metrics
        about = {pair.key: pair.value.string_value for pair in part.resource.attributes}
        assert (about["glassformer.run"], about["glassformer.pipeline"]) == ("r", "p")
        for metric in part.scope_metrics[0].metrics:
            [point] = metric.gauge.data_points
            found[own_name(metric), *(pair.value.string_value for pair in point.attributes)] = point.as_double
    assert found == {("pipeline.state", run.title): STATES["killed"], ("node.state", "pretrain"): STATES["killed"]}
