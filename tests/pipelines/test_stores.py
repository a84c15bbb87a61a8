"""Where a pipeline's runs are recorded: the experiment that is named, or one line before anything runs."""

import pytest

from tests.pipeline_home import Home


@pytest.fixture
def source(tmp_path):
    path = tmp_path / "rows.csv"
    rows = [f"row {number} has a text of its own with {number * 7919} in it,{'ab'[number % 2]}" for number in range(60)]
    path.write_text("\n".join(["text,label", *rows, ""]))
    return ["--set", f"prepare_data.source={path}", "--set", "prepare_data.label_column=label", "--to", "prepare_data"]


@pytest.mark.parametrize("uri", ["file:./mlruns", "/tmp/mlruns"])
def test_file_store_is_refused_in_one_line_before_running(tmp_path, source, uri):
    home = Home(tmp_path, {"MLFLOW_TRACKING_URI": uri})
    (line,) = home.run("run", "classify", *source, expect=2).splitlines()
    assert line.startswith(f"MLFLOW_TRACKING_URI={uri} is a store of files")
    assert not (home.state / "runs").exists()


def test_deleted_experiment_is_refused_and_named_one_is_used(tmp_path, source):
    home = Home(tmp_path)
    client = home.client()
    client.delete_experiment(client.create_experiment("glassformer-classify"))
    output = home.run("run", "classify", *source, expect=1)
    (line,) = output.splitlines()
    assert "experiment 'glassformer-classify' is deleted" in line
    assert "MLFLOW_EXPERIMENT_NAME" in line
    assert not (home.state / "artifacts").exists()
    named = Home(tmp_path, {"MLFLOW_EXPERIMENT_NAME": "mine"})
    named.run("run", "classify", *source)
    runs = client.search_runs([client.get_experiment_by_name("mine").experiment_id])
    assert sorted(run.info.run_name for run in runs) == ["classify", "prepare_data"]
    assert {run.info.status for run in runs} == {"FINISHED"}
