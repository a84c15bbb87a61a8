import json
import os
import random
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from opentelemetry import trace

from telemetry import Interrupted, Observe, clock, status
from telemetry.segments import SIGNALS, segments
from telemetry.shipper import Shipping
from tests.telemetry.outbox_records import attributes, logs, open_observe, points, requests, resources, spans

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(autouse=True)
def _no_trace_around(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TRACEPARENT", raising=False)


@pytest.fixture
def observe(tmp_path: Path) -> Iterator[Observe]:
    made = open_observe(tmp_path, feed=tmp_path / "feed.jsonl")
    yield made
    made.close()


def test_logs_spans_and_metrics_of_a_run_are_linked(observe: Observe, tmp_path: Path) -> None:
    with observe.span("step", **{"cicd.pipeline.task.name": "pretrain"}):
        with observe.phase("train", rows=3):
            observe.log("checkpoint.resumed", "going on", update=5)
            observe.metric("training.loss", 2.5, update=10)
            observe.count("corpus.quarantined", 2, reason="empty")
            observe.count("corpus.quarantined", 3, reason="empty")
        trace_id = observe.trace_id
    observe.close()
    found = spans(tmp_path)
    assert {span.trace_id.hex() for span in found.values()} == {trace_id}
    assert found["train"].parent_span_id == found["step"].span_id
    assert found["step"].parent_span_id == b""
    assert attributes(found["step"]) == {
        "cicd.pipeline.task.name": "pretrain",
        "cicd.pipeline.task.run.result": "success",
    }
    assert attributes(found["train"]) == {"rows": 3}
    [started, record] = logs(tmp_path)
    assert (started.event_name, started.span_id) == ("span.started", found["step"].span_id)
    assert (record.body.string_value, record.span_id) == ("going on", found["train"].span_id)
    assert (record.trace_id.hex(), record.severity_text) == (trace_id, "INFO")
    assert attributes(record) == {"event": "checkpoint.resumed", "update": 5}
    assert record.time_unix_nano == record.observed_time_unix_nano > 0
    assert points(tmp_path)["training.loss"].gauge.data_points[0].as_double == 2.5
    quarantined = points(tmp_path)["corpus.quarantined"].sum
    assert quarantined.data_points[0].as_int == 5
    assert (quarantined.is_monotonic, quarantined.aggregation_temporality) == (True, 2)  # cumulative
    assert json.loads((tmp_path / "feed.jsonl").read_text()) | {"t": 0} == {
        "k": "training.loss",
        "v": 2.5,
        "t": 0,
        "s": 10,
    }
    line = json.loads((tmp_path / "log.jsonl").read_text().splitlines()[-1])
    assert (line["event"], line["trace_id"], line["span_id"]) == ("checkpoint.resumed", trace_id, record.span_id.hex())


def test_each_signal_names_its_run(observe: Observe, tmp_path: Path) -> None:
    with observe.span("step"):
        observe.log("step.started", "hello")
        observe.metric("training.loss", 1.0)
    observe.close()
    for about in resources(tmp_path):
        assert about["service.name"] == "glassformer"
        assert (about["glassformer.pipeline"], about["glassformer.run"]) == ("docs", "r1")
        assert about["service.instance.id"] == f"r1-pretrain-{os.getpid()}"


def test_name_and_attributes_of_the_environment_are_on_each_signal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MY_TOKEN", "canary-7712")
    monkeypatch.setenv("OTEL_SERVICE_NAME", "fraud-models")
    attributes_given = (
        "service.name=other,deployment.environment.name=staging%2Ceu,key=canary-7712,glassformer.run=theirs"
    )
    monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", f"{attributes_given},service.namespace=shop")
    observe = open_observe(tmp_path)
    with observe.span("step"):
        observe.log("step.started", "hello")
        observe.metric("training.loss", 1.0)
    observe.close()
    for found in resources(tmp_path):
        assert found["service.name"] == "fraud-models"
        assert found["deployment.environment.name"] == "staging,eu"
        assert found["key"] == "***"
        assert (found["service.namespace"], found["glassformer.run"]) == ("glassformer", "r1"), "boards go by these"


def test_disabled_sdk_leaves_log_files_with_real_ids_and_nothing_for_backends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("OTEL_SDK_DISABLED", "True")
    observe = open_observe(tmp_path)
    with observe.span("step"):
        observe.log("step.started", "hello")
        with observe.span("read"):
            observe.log("step.started", "again")
        observe.metric("training.loss", 1.0)
    trace_id = observe.trace_id
    observe.close()
    lines = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert {line["trace_id"] for line in lines} == {trace_id}
    assert int(trace_id, 16) != 0
    outer, inner = (line["span_id"] for line in lines if line["event"] == "step.started")
    assert int(outer, 16) != 0 != int(inner, 16)
    assert outer != inner
    assert [path for path in (tmp_path / "outbox").rglob("*") if path.is_file()] == []
    assert os.environ["OTEL_SDK_DISABLED"] == "True", "children are asked as well"
    assert Shipping.start(tmp_path / "outbox") is None
    assert "OTEL_SDK_DISABLED=true: no log records, spans or metrics are kept" in capsys.readouterr().err
    assert "OTEL_SDK_DISABLED=true" in status.as_text(status.read(tmp_path / "outbox"))


CHILD = """
import sys
from pathlib import Path
from telemetry import Observe
folder = Path(sys.argv[1])
about = {"pipeline": "docs", "run": "r1", "step": "pretrain", "node": "pretrain"}
observe = Observe.open("glassformer", **about, outbox=folder / "outbox")
observe.log("step.started", "before any span")
with observe.span("step"):
    print(observe.trace_id)
observe.close()
"""


def test_child_process_continues_the_same_trace(tmp_path: Path) -> None:
    observe = open_observe(tmp_path, step="pipeline", node="")
    assert observe.environment() == {}
    with observe.span("pipeline"), observe.span("node", node="pretrain"):
        command = [sys.executable, "-c", CHILD, str(tmp_path)]
        answer = subprocess.run(
            command, cwd=ROOT, env={**os.environ, **observe.environment()}, capture_output=True, text=True, check=True
        )
    trace_id = observe.trace_id
    observe.close()
    found = spans(tmp_path)
    assert answer.stdout.strip() == trace_id
    assert {span.trace_id.hex() for span in found.values()} == {trace_id}
    assert found["step"].parent_span_id == found["node"].span_id
    assert (found["pipeline"].kind, found["node"].kind) == (2, 1)  # SERVER, INTERNAL
    early = next(record for record in logs(tmp_path) if record.body.string_value == "before any span")
    assert (early.trace_id.hex(), early.span_id) == (trace_id, found["node"].span_id)


def test_the_trace_is_the_same_from_open_to_close(tmp_path: Path) -> None:
    observe = open_observe(tmp_path)
    first = observe.trace_id
    assert len(first) == 32
    with observe.span("step"):
        assert observe.trace_id == first
    with observe.span("commit"):
        pass
    observe.close()
    assert {span.trace_id.hex() for span in spans(tmp_path).values()} == {first}


def test_a_failed_span_holds_the_error_without_credentials(
    observe: Observe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("CANARY_TOKEN", "canary-12345")
    with pytest.raises(RuntimeError), observe.span("step"), observe.phase("train"):
        raise RuntimeError("refused canary-12345 at https://u:pw@host")
    observe.close()
    for span in spans(tmp_path).values():
        assert (span.status.code, span.status.message) == (2, "RuntimeError: refused *** at https://***@host")
        exception = attributes(span.events[0])
        assert exception["exception.type"] == "RuntimeError"
        assert "test_observe.py" in exception["exception.stacktrace"]
    assert attributes(spans(tmp_path)["step"])["cicd.pipeline.task.run.result"] == "failure"
    failed = logs(tmp_path)[-1]
    assert (failed.event_name, failed.severity_text) == ("span.failed", "ERROR")
    assert "Traceback" in failed.body.string_value
    assert "Traceback" not in capsys.readouterr().err  # who ends with the error shows it


@pytest.mark.parametrize(
    ("error", "result", "code"),
    [
        (Interrupted(15), "cancellation", 2),
        (KeyboardInterrupt(), "cancellation", 2),
        (SystemExit(0), "success", 0),
        (SystemExit(2), "failure", 2),
    ],
)
def test_step_span_records_how_the_step_ended(
    error: BaseException, result: str, code: int, observe: Observe, tmp_path: Path
) -> None:
    with pytest.raises(type(error)), observe.span("step"):
        raise error
    observe.close()
    span = spans(tmp_path)["step"]
    assert attributes(span)["cicd.pipeline.task.run.result"] == result
    assert span.status.code == code


def test_no_secret_is_in_any_file_or_on_standard_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: Any
) -> None:
    canaries = [f"canary-{number}-value" for number in range(6)]
    for name, canary in zip(
        ["A_TOKEN", "B_PASSWORD", "C_API_KEY", "D_SECRET", "E_AUTH", "F_DSN"], canaries, strict=True
    ):
        monkeypatch.setenv(name, canary)
    said = " ".join(canaries) + " https://u:urlcanary@h ?token=querycanary Authorization: Basic headercanary"
    observe = open_observe(tmp_path, run=canaries[0], feed=tmp_path / "feed.jsonl")

    def work() -> None:
        with observe.span("step", note=said):
            observe.log("step.started", said, field=said, deep={said: [said]}, error=ValueError(said), **{said: 1})
            observe.metric("corpus.rows", 1.0, split=said)
            observe.count("corpus.quarantined", 1, reason=said)
            raise ValueError(said)

    with pytest.raises(ValueError, match="canary"):
        work()
    observe.close()
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert len(files) == 5
    written = b"".join(path.read_bytes() for path in files) + capfd.readouterr().err.encode()
    for canary in [*canaries, "urlcanary", "querycanary", "headercanary"]:
        assert canary.encode() not in written


def test_log_record_size_is_bounded(observe: Observe, tmp_path: Path) -> None:
    broken = b"\xff\xfe".decode("utf-8", "surrogateescape")
    observe.log("step.started", "x" * 1_000_000 + broken, **{f"f{number}": broken for number in range(10_000)})
    observe.log("step.started", broken)
    observe.close()
    [long, short] = logs(tmp_path)
    assert long.ByteSize() < 64 * 1024
    assert attributes(long)["fields_left_out"] == 10_000 - 64
    assert short.body.string_value == "\\udcff\\udcfe"


def test_ten_thousand_label_values_do_not_make_ten_thousand_series(observe: Observe, tmp_path: Path) -> None:
    for number in range(10_000):
        observe.count("corpus.quarantined", 1, reason=f"reason {number}")
    observe.close()
    found = points(tmp_path)["corpus.quarantined"].sum.data_points
    assert len(found) <= 201
    assert sum(point.as_int for point in found) == 10_000


def test_clock_step_does_not_make_a_span_negative(
    observe: Observe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with observe.span("step"):
        back = time.time_ns() - 3_600 * 10**9
        monkeypatch.setattr(time, "time_ns", lambda: back)
    observe.close()
    span = spans(tmp_path)["step"]
    assert 0 <= span.end_time_unix_nano - span.start_time_unix_nano < 60 * 10**9


def test_telemetry_does_not_change_the_random_state(tmp_path: Path) -> None:
    random.seed(7)
    expected = [random.random() for _ in range(3)]
    random.seed(7)
    observe = open_observe(tmp_path, feed=tmp_path / "feed.jsonl")
    with observe.span("step"), observe.phase("train"):
        observe.log("step.started", "hello")
        observe.metric("training.loss", 1.0)
        observe.count("corpus.rows_read")
    observe.close()
    assert [random.random() for _ in range(3)] == expected


def test_global_tracer_provider_is_unchanged(tmp_path: Path) -> None:
    before = trace.get_tracer_provider()
    observe = open_observe(tmp_path)
    with observe.span("step"):
        assert not trace.get_current_span().get_span_context().is_valid
    observe.close()
    assert trace.get_tracer_provider() is before


def test_export_and_exemplar_settings_do_not_reach_the_sdk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setenv("OTEL_METRICS_EXEMPLAR_FILTER", "always_on")
    observe = open_observe(tmp_path)
    with observe.span("step"):
        observe.metric("training.loss", 1.0)
    started = time.monotonic()
    observe.close()
    assert time.monotonic() - started < 5
    assert list(spans(tmp_path)) == ["step"]


def test_unwritable_folder_raises_no_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").write_text("")
    nowhere = tmp_path / "file" / "below"
    observe = open_observe(tmp_path, outbox=nowhere, feed=nowhere / "feed", log_file=nowhere / "log")
    with observe.span("step"):
        observe.log("step.started", "still on standard error")
        observe.metric("training.loss", 1.0)
    observe.close()
    shown = capsys.readouterr().err
    assert "still on standard error" in shown
    assert "warning: 3 records of telemetry were dropped" in shown
    assert shown.count("telemetry cannot be written") == 1


def test_telemetry_error_is_reported_once_and_does_not_propagate(
    observe: Observe, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(*_: Any) -> None:
        raise RuntimeError("broken inside")

    monkeypatch.setattr("telemetry.export.Signals.set", broken)
    for _ in range(3):
        observe.metric("training.loss", 1.0)
    assert capsys.readouterr().err == "telemetry: RuntimeError: broken inside; the run goes on\n"


def test_thread_spans_are_children_of_the_main_span(observe: Observe, tmp_path: Path) -> None:
    inside, leave = threading.Event(), threading.Event()

    def work() -> None:
        with observe.phase("read"):
            inside.set()
            leave.wait(10)

    with observe.span("step"):
        thread = threading.Thread(target=work)
        thread.start()
        inside.wait(10)
        with observe.phase("train"):
            leave.set()
            thread.join()
    observe.close()
    found = spans(tmp_path)
    assert found["read"].parent_span_id == found["train"].parent_span_id == found["step"].span_id


def test_trace_of_a_run_has_its_id_unless_it_is_part_of_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = "0af7651916cd43dd8448eb211c80319c"
    own = open_observe(tmp_path, run=run)
    assert own.trace_id == run
    own.close()
    monkeypatch.setenv("TRACEPARENT", f"00-{'1' * 32}-{'2' * 16}-01")
    part = open_observe(tmp_path / "part", run=run)
    assert part.trace_id == "1" * 32
    part.close()


def test_span_that_began_before_has_its_start_and_none_begins_in_the_future(observe: Observe, tmp_path: Path) -> None:
    now = clock.now_ns()
    with observe.span_since("step", now - 10**9, {}):
        observe.past("launch", now - 10**8)
        observe.past("import", now + 10**12)
    found = spans(tmp_path)
    assert (found["step"].start_time_unix_nano, found["launch"].start_time_unix_nano) == (now - 10**9, now - 10**8)
    assert found["import"].start_time_unix_nano <= found["import"].end_time_unix_nano
    assert {found["launch"].parent_span_id, found["import"].parent_span_id} == {found["step"].span_id}


def test_span_left_open_by_a_signal_ends_with_its_parent(observe: Observe, tmp_path: Path) -> None:
    with observe.span("step"):
        observe._start_span("train", {})  # its `with` was broken into before it could note that it began
    observe.close()
    assert set(spans(tmp_path)) == {"step", "train"}


def test_a_forked_child_does_not_send_the_parents_metrics_again(tmp_path: Path) -> None:
    observe = open_observe(tmp_path)
    observe.count("corpus.rows_read", 5)
    child = os.fork()
    if child == 0:
        observe.log("step.started", "from the child")
        observe.close()
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    observe.close()
    assert [record.body.string_value for record in logs(tmp_path)] == ["from the child"]
    assert len(requests(tmp_path, "metrics")) == 1


def test_silent_observe_records_nothing_but_checks_names(capfd: pytest.CaptureFixture[str]) -> None:
    observe = Observe.silent()
    with observe.span("step"), observe.phase("train"), observe.hold_signals():
        observe.log("step.started", "hello")
        observe.metric("training.loss", 1.0, update=1)
        observe.count("corpus.rows_read")
        with observe.progress("train", 3, "updates") as progress:
            progress.update(1, loss=1.0)
    assert (observe.trace_id, observe.environment(), observe.stop_requested) == ("", {}, False)
    assert set(observe.phase_seconds) == {"step", "train"}
    with pytest.raises(ValueError, match="not a name"):
        observe.log("never.heard", "of it")
    observe.close()
    assert capfd.readouterr() == ("", "")


def test_opening_does_not_import_mlflow_or_torch(tmp_path: Path) -> None:
    code = "import sys; from telemetry import Observe; print([m for m in sys.modules if m.startswith('opentelemetry')])"
    answer = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "[]"
    code = CHILD + "print(sorted({'mlflow', 'torch', 'pandas', 'numpy', 'requests', 'grpc'} & set(sys.modules)))"
    answer = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert answer.stdout.splitlines()[-1] == "[]"
    assert all(segments(tmp_path / "outbox", signal) for signal in SIGNALS if signal != "metrics")
