from pathlib import Path

import pytest

from telemetry import Observe, records
from telemetry.resource_usage import Readings
from telemetry.segments import SIGNALS, Signal, read_segment, segments

ABOUT_THE_PROCESS = {"step.progress", *Readings(Path()).all()}


@pytest.fixture
def written(tmp_path: Path) -> dict[Signal, bytes]:
    """The records of a real process, one request per signal: its frames joined."""
    observe = Observe.open("t", pipeline="p", run="r", step="s", node="n", outbox=tmp_path, terminal=False)
    with observe.span("step"), observe.span("train"):
        observe.log("step.started", "one")
        observe.log("step.finished", "two", cost={"seconds": 1.5})
        observe.metric("training.loss", 2.0)
        observe.count("corpus.quarantined", 3, reason="NUL")
        observe.count("corpus.quarantined", 4, reason="empty")
    observe.close()
    return {
        signal: b"".join(frame.payload for path in segments(tmp_path, signal) for frame in read_segment(path))
        for signal in SIGNALS
    }


def test_concatenated_requests_split_into_single_records(written: dict[Signal, bytes]) -> None:
    counts: tuple[tuple[Signal, int], ...] = (("logs", 3), ("traces", 2), ("metrics", len(ABOUT_THE_PROCESS) + 3))
    for signal, count in counts:  # `step` says that it began
        units = records.units(signal, written[signal])
        assert records.count(signal, written[signal]) == len(units) == count
        assert [records.count(signal, unit) for unit in units] == [1] * count
        assert records.units(signal, b"".join(units)) == units


def test_single_metric_record_keeps_its_resource_and_metadata(written: dict[Signal, bytes]) -> None:
    for unit in records.units("metrics", written["metrics"]):
        [part] = records.as_dict("metrics", unit)["resourceMetrics"]
        about = {entry["key"] for entry in part["resource"]["attributes"]}
        assert {"service.name", "glassformer.run"} <= about
        [metric] = part["scopeMetrics"][0]["metrics"]
        assert metric["unit"]
        if metric["name"] == "glassformer.corpus.quarantined":
            assert metric["sum"]["isMonotonic"]
            assert metric["sum"]["aggregationTemporality"] == "AGGREGATION_TEMPORALITY_CUMULATIVE"
            assert len(metric["sum"]["dataPoints"]) == 1


def test_undecodable_bytes_count_as_one_record() -> None:
    assert records.count("logs", b"\xff") == 1
    assert records.units("logs", b"\xff") == [b"\xff"]
    assert records.as_dict("logs", b"\xff") == {"base64": "/w=="}
