"""A step finds its own order among those of nodes that start side by side."""

import os

import pytest

from steps import handoff


@pytest.fixture(autouse=True)
def environment(monkeypatch):
    """This process's variables, put back afterwards."""
    monkeypatch.setattr(os, "environ", {name: value for name, value in os.environ.items() if name != "MLFLOW_RUN_ID"})


def give(folder, node, mlflow_run, **environment):
    file = str(folder / f"{node}.json")
    task = handoff.Task("docs", "r1", node, "finetune", "f" * 64, {}, False, file, environment)
    task.write()
    os.environ[handoff.variable(mlflow_run)] = file
    return task


def test_each_process_reads_the_task_of_its_own_mlflow_run(tmp_path):
    tasks = {name: give(tmp_path, name, f"run-{name}", TRACEPARENT=f"trace-{name}") for name in ("left", "right")}
    for name, task in tasks.items():
        os.environ["MLFLOW_RUN_ID"] = f"run-{name}"
        assert handoff.read_task() == task
        assert os.environ["TRACEPARENT"] == f"trace-{name}"


def test_step_that_no_pipeline_started_has_no_task(tmp_path):
    give(tmp_path, "left", "run-left")
    assert handoff.read_task() is None
    os.environ["MLFLOW_RUN_ID"] = "another"
    assert handoff.read_task() is None


def test_forget_removes_the_variables_of_all_nodes(tmp_path):
    give(tmp_path, "left", "run-left")
    give(tmp_path, "right", "run-right")
    handoff.forget()
    assert [name for name in os.environ if name.startswith("GLASSFORMER_NODE")] == []
