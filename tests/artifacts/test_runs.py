"""A run's own record: who is alive, and how long it took, whatever the wall clock does."""

import os
import time
from pathlib import Path

import psutil
import pytest

from artifacts.runs import FINISHED, Run


@pytest.mark.parametrize("step", [-3600.0, 3600.0])
def test_clock_step_does_not_make_a_live_run_look_dead(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: float
) -> None:
    run = Run.start(tmp_path, "r1", "docs", "")
    real_create, real_boot = psutil.Process.create_time, psutil.boot_time
    monkeypatch.setattr(psutil.Process, "create_time", lambda self: real_create(self) + step)
    monkeypatch.setattr(psutil, "boot_time", lambda: real_boot() + step)  # both are told in the wall clock's time
    assert run.is_alive()
    run.pid_started += 1.0
    assert not run.is_alive(), "another process of that number"
    run.pid, run.pid_started = 2**22 + 1, 1.0
    assert not run.is_alive()
    assert os.getpid() != run.pid


def test_a_run_never_ends_before_it_began(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = Run.start(tmp_path, "r1", "docs", "")
    back = time.time() - 3600
    monkeypatch.setattr(time, "time", lambda: back)
    run.end(FINISHED)
    assert run.ended_at == run.started_at


def test_title_sorts_by_start_and_names_pipeline_and_id(tmp_path):
    run = Run.start(tmp_path, "3f2a1b9c00", "docs", "")
    run.started_at = 1_700_000_000.0
    later = Run.start(tmp_path, "07de", "docs", "")
    assert run.title.endswith(" docs 3f2a1b9c")
    assert run.title < later.title
