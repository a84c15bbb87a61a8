"""The clock stepped by an hour either way while a process records: order and lengths stay."""

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from telemetry import clock
from tests.pipeline_home import ROOT
from tests.telemetry.outbox_records import logs, own_name, requests

HOUR = 3600 * 10**9


def test_process_began_before_now_and_after_its_parent() -> None:
    code = "from telemetry import clock; print(clock.process_began_ns())"
    asked = clock.now_ns()
    began = int(subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, check=True).stdout)
    assert clock.process_began_ns() < asked - 10**7 <= began + 2 * 10**7
    assert began < clock.now_ns()


# Every clock that a library could read as the wall's is stepped, before any of them is imported.
STEPPED = """
import sys, time
from pathlib import Path
real_ns, offset = time.time_ns, [0]
time.time_ns = lambda: real_ns() + offset[0]
time.time = lambda: time.time_ns() / 1e9
import telemetry.export
telemetry.export._METRICS_EVERY_MS = 200
from telemetry import Observe
folder, step = Path(sys.argv[1]), int(sys.argv[2])
observe = Observe.open("glassformer", pipeline="p", run="r", step="s", node="n", outbox=folder / "outbox",
                       feed=folder / "feed.jsonl", log_file=folder / "log.jsonl", terminal=False)

def say(number):
    observe.log("corpus.written", str(number))
    observe.metric("training.loss", number, update=number)
    observe.count("corpus.rows_read")
    with observe.phase("read"):
        observe.measure("training.update_seconds", 0.1, update=number)
    time.sleep(0.25)

with observe.span("step"):
    with observe.phase("train"):
        say(1)
        offset[0] = step
        say(2)
    say(3)
observe.count("corpus.quarantined", 1, reason="an instrument that was made after the step")
observe.close()
"""


@pytest.fixture(scope="module", params=[-HOUR, HOUR], ids=["back", "forward"])
def stepped(request: Any, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, int, int]:
    folder, started = tmp_path_factory.mktemp("stepped"), time.time_ns()
    subprocess.run([sys.executable, "-c", STEPPED, str(folder), str(request.param)], cwd=ROOT, check=True)
    return folder, started, time.time_ns()


def test_clock_step_does_not_reorder_logs(stepped: tuple[Path, int, int]) -> None:
    folder, started, ended = stepped
    records = [r for r in logs(folder) if r.body.string_value.isdigit()]
    assert [record.body.string_value for record in records] == ["1", "2", "3"]
    times = [record.time_unix_nano for record in records]
    assert started <= times[0] < times[1] < times[2] <= ended
    lines = [json.loads(line)["time"] for line in (folder / "log.jsonl").read_text().splitlines()]
    assert lines == sorted(lines)


def test_clock_step_keeps_spans_positive_and_inside_their_parents(stepped: tuple[Path, int, int]) -> None:
    folder, started, ended = stepped
    found = [s for r in requests(folder, "traces") for p in r.resource_spans for c in p.scope_spans for s in c.spans]
    by_id = {span.span_id: span for span in found}
    assert len(found) == 5
    for span in found:
        assert started <= span.start_time_unix_nano < span.end_time_unix_nano <= ended
        if span.parent_span_id:
            parent = by_id[span.parent_span_id]
            assert parent.start_time_unix_nano <= span.start_time_unix_nano
            assert span.end_time_unix_nano <= parent.end_time_unix_nano


def test_clock_step_does_not_move_metric_times_backwards(stepped: tuple[Path, int, int]) -> None:
    folder, started, ended = stepped
    last: dict[str, int] = {}
    for request in requests(folder, "metrics"):
        for metric in request.resource_metrics[0].scope_metrics[0].metrics:
            for point in getattr(metric, metric.WhichOneof("data")).data_points:
                assert started <= point.time_unix_nano <= ended
                assert point.time_unix_nano > last.get(own_name(metric), 0)
                assert point.start_time_unix_nano <= point.time_unix_nano
                assert all(e.time_unix_nano <= point.time_unix_nano for e in point.exemplars)
                last[own_name(metric)] = point.time_unix_nano
    assert {"training.loss", "corpus.rows_read", "training.update_seconds", "corpus.quarantined"} <= set(last)
    times = [json.loads(line)["t"] for line in (folder / "feed.jsonl").read_text().splitlines()]
    assert times == sorted(times)
    assert started // 10**6 <= times[0] <= times[-1] <= ended // 10**6


def test_segments_sort_in_write_order_after_a_clock_step(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from telemetry.outbox import Outbox
    from telemetry.segments import read_segment, segments

    outbox, real = Outbox(tmp_path, segment_bytes=60), time.time_ns
    outbox.append("logs", b"1")
    monkeypatch.setattr(time, "time_ns", lambda: real() - HOUR)
    for number in range(2, 6):
        outbox.append("logs", b"%d" % number)
    outbox.close()
    found = segments(tmp_path, "logs")
    assert len(found) > 1
    assert [frame.payload for path in found for frame in read_segment(path)] == [b"1", b"2", b"3", b"4", b"5"]


def test_clock_matches_the_wall_clock_when_not_stepped() -> None:
    assert abs(clock.now_ns() - time.time_ns()) < 10**9
