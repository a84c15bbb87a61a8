"""Sampling: a trace that is left out has real ids in the logs, all its metrics, and no span or exemplar."""

import json
import multiprocessing
import os
import random
import subprocess
import sys
import uuid
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.sdk.trace.sampling import Decision

from telemetry import Observe, clock, context, sampling, status
from telemetry.context import TraceContext
from telemetry.export import Request, Share
from telemetry.segments import segments
from telemetry.shipper import Shipping
from tests.telemetry.outbox_records import logs, open_observe, points, requests, spans
from tests.telemetry.test_observe import CHILD, ROOT

NOT_SAMPLED, SAMPLED = (f"00-{0xABC:032x}-{0xDEF:016x}-{flags}" for flags in ("00", "01"))


@pytest.fixture(autouse=True)
def _no_sampling_around(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("TRACEPARENT", sampling.SAMPLER, sampling.ARGUMENT):
        monkeypatch.delenv(name, raising=False)


def choose(monkeypatch: pytest.MonkeyPatch, sampler: str, argument: str = "", parent: str = "") -> None:
    for name, value in ((sampling.SAMPLER, sampler), (sampling.ARGUMENT, argument), ("TRACEPARENT", parent)):
        if value:
            monkeypatch.setenv(name, value)


@pytest.mark.parametrize(
    ("sampler", "argument", "name", "ratio"),
    [
        ("", "", "parentbased_always_on", 1.0),
        (" ", "0.5", "parentbased_always_on", 1.0),
        ("always_on", "0.5", "always_on", 1.0),
        ("Always_Off", "", "always_off", 0.0),
        ("traceidratio", "0.25", "traceidratio", 0.25),
        ("traceidratio", "", "traceidratio", 1.0),
        ("parentbased_always_off", "", "parentbased_always_off", 0.0),
        ("parentbased_traceidratio", "1e-1", "parentbased_traceidratio", 0.1),
    ],
)
def test_sampling_follows_the_variables(
    sampler: str, argument: str, name: str, ratio: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(sampling.SAMPLER, sampler)
    monkeypatch.setenv(sampling.ARGUMENT, argument)
    assert sampling.of_environment() == sampling.Sampling(name, ratio)


@pytest.mark.parametrize(
    ("sampler", "argument", "taken", "warning"),
    [
        ("jaeger_remote", "0.5", "parentbased_always_on", "OTEL_TRACES_SAMPLER=jaeger_remote: give one of always_on, "),
        ("traceidratio", "2", "traceidratio", "OTEL_TRACES_SAMPLER_ARG=2: give a number from 0 to 1; 1 is taken"),
        ("parentbased_traceidratio", "nan", "parentbased_traceidratio", "OTEL_TRACES_SAMPLER_ARG=nan: give a number"),
        ("traceidratio", "ten", "traceidratio", "OTEL_TRACES_SAMPLER_ARG=ten: give a number"),
    ],
)
def test_unknown_sampler_and_ratio_are_warned_about_once_and_all_is_kept(
    sampler: str, argument: str, taken: str, warning: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    choose(monkeypatch, sampler, argument)
    chosen = sampling.of_environment()
    assert (chosen.name, chosen.ratio, chosen.explanation) == (taken, 1.0, "")
    observe = open_observe(tmp_path)
    with observe.span("step"):
        pass
    observe.close()
    assert list(spans(tmp_path)) == ["step"]
    assert Shipping.start(tmp_path / "outbox") is None
    printed = capsys.readouterr().err
    assert printed.startswith(f"telemetry: {warning}")
    assert printed.count("\n") == 1
    assert warning in status.as_text(status.read(tmp_path / "outbox"))


@pytest.mark.parametrize(
    ("sampler", "argument", "parent", "said"),
    [
        ("always_off", "", SAMPLED, "OTEL_TRACES_SAMPLER=always_off: no spans are kept for backends"),
        ("parentbased_always_off", "", "", "OTEL_TRACES_SAMPLER=parentbased_always_off: no spans are kept"),
        ("traceidratio", "0.1", "", "OTEL_TRACES_SAMPLER=traceidratio: spans of 10 % of traces are kept for backends"),
        ("", "", NOT_SAMPLED, "TRACEPARENT is not sampled: this trace's spans are not kept for backends"),
        ("parentbased_always_off", "", SAMPLED, ""),
        ("always_on", "", NOT_SAMPLED, ""),
        ("", "", "", ""),
    ],
)
def test_start_of_a_run_and_status_say_that_spans_are_left_out(
    sampler: str, argument: str, parent: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    choose(monkeypatch, sampler, argument, parent)
    assert Shipping.start(tmp_path / "outbox") is None
    whole = f"{said}; all log records and metrics are" if said.endswith("backends") else said
    printed = capsys.readouterr().err
    assert printed.startswith(f"telemetry: {whole}") if said else printed == ""
    assert printed.count("\n") == bool(said)
    document = status.read(tmp_path / "outbox")
    assert [line.startswith(whole) for line in document["sampling"]] == ([True] if said else [])
    assert not said or said in status.as_text(document)
    monkeypatch.setenv("OTEL_SDK_DISABLED", "true")
    Shipping.start(tmp_path / "outbox")
    assert not said or said not in capsys.readouterr().err, "no spans at all: that alone is said"


def record(folder: Path) -> Observe:
    """A step with two spans, two log records and metrics."""
    observe = open_observe(folder)
    with observe.span("step"):
        observe.log("step.started", "hello")
        with observe.phase("train"):
            observe.log("step.started", "again")
            observe.measure("training.update_loss", 2.2, update=7)
            observe.metric("training.loss", 1.0)
    observe.close()
    return observe


@pytest.mark.parametrize(
    ("sampler", "parent", "kept"),
    [
        ("", NOT_SAMPLED, False), ("", SAMPLED, True), ("always_on", NOT_SAMPLED, True), ("always_off", SAMPLED, False),
        ("parentbased_always_off", SAMPLED, True), ("parentbased_always_off", "", False),
        ("parentbased_traceidratio", SAMPLED, True), ("parentbased_traceidratio", NOT_SAMPLED, False),
        ("traceidratio", SAMPLED, False), ("traceidratio", "", False),
    ],
)  # fmt: skip
def test_spans_are_kept_as_the_sampler_says(
    sampler: str, parent: str, kept: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    choose(monkeypatch, sampler, "0" if "ratio" in sampler else "", parent)
    record(tmp_path)
    assert sorted(spans(tmp_path)) == (["step", "train"] if kept else [])


def test_left_out_trace_keeps_real_ids_in_logs_and_all_metrics_without_exemplars(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    record(tmp_path / "kept")
    monkeypatch.setenv("TRACEPARENT", NOT_SAMPLED)
    observe = record(tmp_path / "left out")
    assert requests(tmp_path / "left out", "traces") == []
    assert int(observe.trace_id or "0", 16) == 0, "closed"
    lines = [json.loads(line) for line in (tmp_path / "left out" / "log.jsonl").read_text().splitlines()]
    assert {line["trace_id"] for line in lines} == {f"{0xABC:032x}"}
    ids = [line["span_id"] for line in lines if line["event"] == "step.started"]
    assert len(set(ids)) == 2
    assert all(int(span_id, 16) for span_id in ids)
    sent = [r for r in logs(tmp_path / "left out") if r.event_name == "step.started"]
    assert [(r.trace_id.hex(), r.span_id.hex(), r.flags) for r in sent] == [(f"{0xABC:032x}", one, 0) for one in ids]
    kept, left_out = points(tmp_path / "kept"), points(tmp_path / "left out")
    assert set(kept) == set(left_out)
    (with_span,), (without,) = (found["training.update_loss"].histogram.data_points for found in (kept, left_out))
    assert (without.count, without.sum) == (with_span.count, with_span.sum)
    assert (len(with_span.exemplars), len(without.exemplars)) == (1, 0)


@pytest.mark.parametrize(("flags", "sent"), [("00", "00"), ("01", "01"), ("02", "02"), ("03", "03")])
def test_flags_are_passed_on_to_child_processes_as_they_are(
    flags: str, sent: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRACEPARENT", f"{NOT_SAMPLED[:-2]}{flags}")
    observe = open_observe(tmp_path)
    assert observe.environment()["TRACEPARENT"] == f"{NOT_SAMPLED[:-2]}{flags}", "outside its spans"
    with observe.span("step"):
        inside = observe.environment()["TRACEPARENT"]
    observe.close()
    assert inside.startswith(f"00-{0xABC:032x}-")
    assert inside.endswith(f"-{sent}")


def test_child_process_of_a_left_out_trace_records_no_span(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    choose(monkeypatch, "parentbased_always_off")
    observe = open_observe(tmp_path, step="pipeline", node="")
    with observe.span("pipeline"):
        child = {name: value for name, value in os.environ.items() if name != sampling.SAMPLER}
        command = [sys.executable, "-c", CHILD, str(tmp_path)]
        subprocess.run(command, cwd=ROOT, env={**child, **observe.environment()}, capture_output=True, check=True)
    observe.close()
    assert segments(tmp_path / "outbox", "traces") == []
    assert len({r.trace_id for r in logs(tmp_path)}) == 1


def speak(observe: Observe) -> None:
    with observe.phase("read"):
        observe.log("step.started", "from a worker")


@pytest.mark.parametrize("method", ["fork", "spawn"])
@pytest.mark.filterwarnings("ignore:.*use of fork.*:DeprecationWarning")
def test_worker_of_a_left_out_trace_records_no_span(
    method: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRACEPARENT", NOT_SAMPLED)
    observe = open_observe(tmp_path)
    with observe.span("step"):
        worker = multiprocessing.get_context(method).Process(target=speak, args=(observe,))
        worker.start()
        worker.join(60)
    observe.close()
    assert segments(tmp_path / "outbox", "traces") == []
    assert {r.trace_id.hex() for r in logs(tmp_path)} == {f"{0xABC:032x}"}


def test_trace_is_chosen_by_its_id_alike_in_every_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    choose(monkeypatch, "traceidratio", "0.5")
    for number, (low, kept) in enumerate(((1 << 54, ["step", "train"]), (3 << 54, []))):
        monkeypatch.setenv("TRACEPARENT", f"00-{low:032x}-{1:016x}-01")
        record(tmp_path / str(number))
        assert sorted(spans(tmp_path / str(number))) == kept


LOW, HIGH = 1 << 52, 15 << 52  # trace ids within, and beyond, a share of a half


@pytest.mark.parametrize(
    ("sampler", "trace_id", "parent", "share", "kept"),
    [
        ("", LOW, None, 1.0, True), ("", LOW, None, 0.5, True), ("", HIGH, None, 0.5, False), ("", LOW, None, 0.0, False),
        ("", HIGH, TraceContext(HIGH, 5, 1), 1.0, True), ("", LOW, TraceContext(LOW, 5, 0), 1.0, False),
        ("always_off", LOW, None, 1.0, False), ("traceidratio", HIGH, None, 1.0, False),
    ],
)  # fmt: skip
def test_request_says_whether_its_span_is_kept(
    sampler: str, trace_id: int, parent: TraceContext | None, share: float, kept: bool, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    choose(monkeypatch, sampler, "0.5")
    observe = open_observe(tmp_path)
    assert observe.request(Request("request", clock.now_ns(), trace_id, 7, parent, share=share)) is kept
    observe.close()
    assert list(spans(tmp_path)) == (["request"] if kept else [])
    assert Observe.silent().request(Request("request", 0, trace_id, 7)) is False


def test_parsed_flags_tell_whether_a_trace_is_sampled() -> None:
    read = [context.parse(f"{NOT_SAMPLED[:-2]}{flags}") for flags in ("00", "01", "02", "03")]
    assert [one.is_sampled for one in read if one] == [False, True, False, True]


def test_share_of_traces_that_have_the_id_of_a_run_is_the_one_asked_for() -> None:
    draw = random.Random(1)
    runs = [uuid.UUID(int=draw.getrandbits(128), version=4).int for _ in range(2000)]
    for share in (0.1, 0.6):
        kept = sum(Share(share).should_sample(None, run, "pipeline").decision is not Decision.DROP for run in runs)
        assert abs(kept / len(runs) - share) < 0.04
