"""Ten thousand values of a label make a few hundred series, in every backend, and what was beyond the bound is counted."""

from pathlib import Path

import pytest

from telemetry.labels import MOST_SERIES, Labels
from tests.telemetry.outbox_records import attributes, logs, open_observe, points


@pytest.fixture(autouse=True)
def _no_trace_around(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TRACEPARENT", raising=False)


def test_label_combinations_beyond_the_limit_become_other() -> None:
    labels = Labels()
    for number in range(MOST_SERIES):
        assert labels.bound("m", {"reason": f"r{number}"}) == {"reason": f"r{number}"}
    assert labels.bound("m", {"reason": "new"}) == {"reason": "other"}
    assert labels.bound("m", {"reason": "r7"}) == {"reason": "r7"}, "what is known goes on"
    assert labels.bound("other metric", {"reason": "new"}) == {"reason": "new"}, "each metric by itself"
    assert labels.capped == 1


def test_labels_are_restricted_shortened_and_redacted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("A_TOKEN", "canary-1234")
    found = Labels().bound("m", {"file": "f", "reason": "canary-1234", "split": "x" * 5000})
    assert found["reason"] == "***"
    assert set(found) == {"reason", "split"}
    assert len(found["split"]) < 300


def test_metrics_without_labels_are_never_capped() -> None:
    labels = Labels()
    assert [labels.bound("m", {"file": str(number)}) for number in range(1000)] == [{}] * 1000
    assert labels.capped == 0


def test_ten_thousand_label_values_are_bounded_and_counted(tmp_path: Path) -> None:
    observe = open_observe(tmp_path, feed=tmp_path / "feed.jsonl")
    for number in range(10_000):
        observe.count("corpus.quarantined", 1, reason=f"reason {number}")
        observe.metric("corpus.rows", number, split=f"split {number}")
    observe.close()
    found = points(tmp_path)
    counts = {attributes(p)["reason"]: p.as_int for p in found["corpus.quarantined"].sum.data_points}
    assert len(counts) == MOST_SERIES + 1
    assert counts["other"] == 10_000 - MOST_SERIES
    gauges = {attributes(p)["split"]: p.as_double for p in found["corpus.rows"].gauge.data_points}
    assert (len(gauges), gauges["other"]) == (MOST_SERIES + 1, 9_999)
    keys = {line.split('"')[3] for line in (tmp_path / "feed.jsonl").read_text().splitlines()}
    assert len(keys) == MOST_SERIES + 1, "nor ten thousand metrics in MLflow"
    capped = 2 * (10_000 - MOST_SERIES)
    assert found["telemetry.capped"].sum.data_points[0].as_int == capped
    assert logs(tmp_path)[-1].body.string_value.startswith(f"{capped} measurements")
