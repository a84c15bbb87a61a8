"""Runs read from MLflow and from the records of a store."""

from artifacts.runs import Run
from artifacts.store import Store
from pipelines.comparison.runs import Reader
from tests.mlflow_home import own_store


def test_run_of_a_dead_process_is_killed_and_its_node_too(tmp_path, monkeypatch):
    client, store = own_store(tmp_path, monkeypatch), Store(tmp_path / "var")
    tags = {"glassformer.pipeline": "tiny", "glassformer.run": "a"}
    parent = client.create_run("0", tags=tags)
    node = {"glassformer.node": "pretrain", "glassformer.step": "pretrain", "mlflow.parentRunId": parent.info.run_id}
    client.create_run("0", tags=node)
    run = Run.start(store.root, "a", "tiny", "")
    run.pid, run.pid_started = 1 << 22, -1.0
    run.save()
    made = Reader(client, store).read(client.get_run(parent.info.run_id))
    assert (made.state, made.nodes["pretrain"].outcome) == ("killed", "killed")


def test_cached_node_has_the_parameters_of_its_maker(tmp_path, monkeypatch):
    client, store = own_store(tmp_path, monkeypatch), Store(tmp_path / "var")
    maker = client.create_run("0").info.run_id
    client.log_param(maker, "seed", 3)
    parent = client.create_run("0", tags={"glassformer.pipeline": "tiny", "glassformer.run": "a"})
    node = {"glassformer.node": "pretrain", "glassformer.step": "pretrain", "mlflow.parentRunId": parent.info.run_id}
    client.create_run("0", tags=node | {"glassformer.cached": "true", "glassformer.made_by": maker})
    (made,) = Reader(client, store).read(parent).nodes.values()
    assert (made.outcome, made.parameters) == ("cached", {"seed": "3"})


def test_step_by_hand_is_a_run_of_one_node(tmp_path, monkeypatch):
    client, store = own_store(tmp_path, monkeypatch), Store(tmp_path / "var")
    run = client.create_run("0", run_name="pretrain", tags={"glassformer.step": "pretrain"})
    made = Reader(client, store).read(run)
    assert (made.id, made.pipeline, list(made.nodes)) == (run.info.run_id, "pretrain", ["pretrain"])
