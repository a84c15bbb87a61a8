"""Resource usage of a process: read once for all the metrics of one writing."""

from pathlib import Path

import pytest

from telemetry import resource_usage


def test_cpu_cores_are_averaged_since_the_last_reading(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    now, cpu = [100.0], [5.0]
    monkeypatch.setattr(resource_usage.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(resource_usage.Readings, "_cpu_seconds", lambda self: cpu[0])
    readings = resource_usage.Readings(tmp_path)
    now[0], cpu[0] = 110.0, 20.0
    assert readings.all()["process.cpu_cores"] == 1.5
    now[0], cpu[0] = 110.1, 99.0
    assert readings.all()["process.cpu_cores"] == 1.5, "within one writing it is not read anew"
    now[0], cpu[0] = 120.0, 21.0
    assert readings.all()["process.cpu_cores"] == pytest.approx(0.1)
