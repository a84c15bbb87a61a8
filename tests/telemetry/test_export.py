"""Metrics as they are written: an exemplar leads from a bucket to its update, labels come from a fixed set."""

from pathlib import Path
from typing import Any

import pytest

from telemetry import names
from tests.telemetry.outbox_records import attributes, open_observe, points, spans


@pytest.fixture(autouse=True)
def _no_trace_around(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TRACEPARENT", raising=False)


def found_update(exemplar: Any) -> int:
    (pair,) = exemplar.filtered_attributes
    assert pair.key == "update"
    return int(pair.value.int_value)


def test_loss_exemplar_links_to_its_span_and_update(tmp_path: Path) -> None:
    observe = open_observe(tmp_path)
    with observe.span("train"):
        observe.measure("training.update_loss", 2.2, update=7)
        observe.measure("training.update_loss", 9.4, update=8)
    observe.close()
    (point,) = points(tmp_path)["training.update_loss"].histogram.data_points
    assert list(point.explicit_bounds) == list(names.METRICS["training.update_loss"].buckets)
    assert (point.count, point.sum) == (2, pytest.approx(11.6))
    assert attributes(point) == {}, "an update is no label"
    found = {exemplar.as_double: exemplar for exemplar in point.exemplars}
    train = spans(tmp_path)["train"]
    assert set(found) == {2.2, 9.4}
    assert [found_update(found[loss]) for loss in (2.2, 9.4)] == [7, 8]
    assert {(e.trace_id, e.span_id) for e in found.values()} == {(train.trace_id, train.span_id)}


def test_extremes_of_update_losses_are_gauges(tmp_path: Path) -> None:
    observe = open_observe(tmp_path)
    for loss in (2.0, 9.5, 0.25, 3.0, float("nan")):
        observe.measure("training.update_loss", loss, update=1)
    observe.close()
    found = points(tmp_path)
    (low,) = found["training.lowest_update_loss"].gauge.data_points
    (high,) = found["training.highest_update_loss"].gauge.data_points
    assert (low.as_double, high.as_double) == (0.25, 9.5)


def test_fields_other_than_labels_create_no_series(tmp_path: Path) -> None:
    observe = open_observe(tmp_path)
    for number in range(50):
        observe.count("corpus.quarantined", 1, reason="empty", row=f"row-{number}")
    observe.close()
    (point,) = points(tmp_path)["corpus.quarantined"].sum.data_points
    assert (point.as_int, attributes(point)) == (50, {"reason": "empty"})
    assert not point.exemplars


def test_every_histogram_has_sorted_buckets() -> None:
    told = {name: metric.buckets for name, metric in names.METRICS.items() if metric.kind == "histogram"}
    assert told
    assert all(len(edges) > 5 and list(edges) == sorted(set(edges)) for edges in told.values())
    assert not any(metric.buckets for metric in names.METRICS.values() if metric.kind != "histogram")


def test_process_reports_resource_usage_and_progress(tmp_path: Path) -> None:
    observe = open_observe(tmp_path)
    with observe.progress("rows", 10, "rows") as progress:
        progress.already(4)
        progress.update(3)
    observe.close()
    read = {name: metric.gauge.data_points for name, metric in points(tmp_path).items() if metric.HasField("gauge")}
    assert [point.as_double or point.as_int for point in read["step.progress"]] == [7]
    (memory,) = read["process.resident_bytes"]
    assert memory.as_int > 10_000_000
    (cores,) = read["process.cpu_cores"]
    assert cores.as_double >= 0
