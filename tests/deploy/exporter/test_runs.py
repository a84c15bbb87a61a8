"""The exporter reads runs a bounded piece at a time, finds all of them, and knows what became of those that were open."""

import shutil
import time

import pytest

from deploy.exporter import runs
from deploy.exporter.runs import Runs


@pytest.fixture(scope="module")
def empty(tmp_path_factory):
    """An empty store: to make one takes seconds, to copy it none."""
    from mlflow import MlflowClient

    file = tmp_path_factory.mktemp("empty") / "mlflow.db"
    MlflowClient(f"sqlite:///{file}").get_experiment("0")
    return file


@pytest.fixture
def client(empty, tmp_path):
    from mlflow import MlflowClient

    shutil.copyfile(empty, tmp_path / "mlflow.db")
    return Counted(MlflowClient(uri := f"sqlite:///{tmp_path}/mlflow.db", uri))


class Counted:
    """A client that notes how many runs each search gave."""

    def __init__(self, client):
        self._client, self.given = client, []

    def __getattr__(self, name):
        return getattr(self._client, name)

    def search_runs(self, *arguments, **options):
        page = self._client.search_runs(*arguments, **options)
        self.given.append(len(page))
        return page


def start(client, state="FINISHED", at=None):
    made = client.create_run("0", start_time=at).info.run_id
    if state != "RUNNING":
        client.set_terminated(made, state)
    return made


def read(client, found, times=1):
    for _ in range(times):
        found.read(client)


@pytest.fixture
def small(monkeypatch):
    monkeypatch.setattr(runs, "_PAGE", 2)
    monkeypatch.setattr(runs, "_BUDGET", 0.0)  # one page a collection


def test_each_run_is_counted_once_under_its_current_state(client, small):
    first = start(client, "RUNNING")
    for state in ("FINISHED", "FAILED", "KILLED", "FINISHED", "FINISHED"):
        start(client, state)
    found = Runs()
    read(client, found, 2)
    assert (found.complete, found.states) == (False, {}), "a count that is still rising is not told"
    assert max(client.given) <= 2
    read(client, found, 3)
    assert found.states == {"RUNNING": 1, "SCHEDULED": 0, "FINISHED": 3, "FAILED": 1, "KILLED": 1}
    assert found.running_since == pytest.approx(client.get_run(first).info.start_time / 1000)
    client.set_terminated(first, "KILLED")
    start(client)
    read(client, found, 8)
    assert found.states == {"RUNNING": 0, "SCHEDULED": 0, "FINISHED": 4, "FAILED": 1, "KILLED": 2}
    assert (found.running_since, found.running) == (0, ())
    assert found.last_ended["KILLED"] == pytest.approx(time.time(), abs=60)
    assert found.last_started == pytest.approx(time.time(), abs=60)


@pytest.mark.parametrize("count", [4, 6, 7])
def test_known_runs_are_not_read_again_even_on_exactly_full_pages(client, small, count):
    for number in range(count):
        start(client, at=1_000_000 + 100_000 * number)
    found = Runs()
    read(client, found, 6)
    assert found.states["FINISHED"] == count
    client.given.clear()
    read(client, found, 3)
    assert sum(client.given) <= 2 * 3, "those of the last minute, not all"
    assert found.states["FINISHED"] == count


def test_runs_with_future_or_past_start_times_are_still_counted(client, monkeypatch):
    start(client, at=int(time.time() * 1000) + 10_000_000)
    found = Runs()
    read(client, found)
    start(client)
    read(client, found)
    assert found.states["FINISHED"] == 2
    start(client, at=1_000)
    read(client, found)
    assert found.states["FINISHED"] == 2
    monkeypatch.setattr(runs, "_RECOUNT_EVERY", 0.0)
    read(client, found, 2)
    assert found.states["FINISHED"] == 3


def test_deleted_runs_are_no_longer_counted(client, monkeypatch):
    opened, ended = start(client, "RUNNING"), start(client)
    found = Runs()
    read(client, found)
    client.delete_run(opened)
    read(client, found)
    assert found.states["RUNNING"] == 0, "asked for, and not there"
    client.delete_run(ended)
    monkeypatch.setattr(runs, "_RECOUNT_EVERY", 0.0)
    read(client, found, 2)
    assert found.states["FINISHED"] == 0


def test_open_runs_are_refreshed_in_bounded_batches(client, monkeypatch):
    monkeypatch.setattr(runs, "_OPEN", 2)
    opened = [start(client, "RUNNING", at=1_000_000 + 100_000 * number) for number in range(5)]
    found = Runs()
    read(client, found)
    for run in opened:
        client.set_terminated(run, "FINISHED")
    client.given.clear()
    read(client, found, 4)
    assert max(client.given) <= 2, "and of those that ended, the last minute's"
    assert found.states["FINISHED"] == 5
