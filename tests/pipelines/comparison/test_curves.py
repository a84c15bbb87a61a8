"""Curves of trainings: MLflow's readings, and single updates."""

import math

from pipelines.comparison import curves
from pipelines.comparison.choice import choose
from pipelines.comparison.curves import read_trainings
from pipelines.comparison.runs import Reader
from steps.curves import SingleUpdates


def trainings_of(home, *words):
    reader = Reader(home.client, home.store)
    return read_trainings(home.client, [reader.read(run) for run in choose(home.client, words)])


def test_curves_equal_the_readings_of_mlflow(home):
    new, old = trainings_of(home, "1abd", "0abc")
    for training, word in ((new, "1abd"), (old, "0abc")):
        (run,) = choose(home.client, [word])
        (child, *_) = home.client.search_runs(
            ["0"], f"tags.`mlflow.parentRunId` = '{run.info.run_id}' AND tags.`glassformer.node` = 'pretrain'"
        )
        readings = home.client.get_metric_history(child.info.run_id, "training.loss")
        curve = training.curves["training.loss"]
        assert list(zip(curve.x["updates"], curve.y, strict=True)) == [(one.step, one.value) for one in readings]
        assert curve.x["tokens"] == [100 * one.step for one in readings]
        assert curve.x["seconds"] == [2.0 * one.step for one in readings]  # an update took two


def test_band_has_each_update(home):
    (new, _) = trainings_of(home, "1abd", "0abc")
    assert new.band.group == 1
    assert new.band.x["updates"] == list(range(1, 201))
    assert new.band.high[56] == 9.0
    assert new.band.x["tokens"][56] == 5700


def test_band_of_many_updates_keeps_every_extreme(monkeypatch):
    monkeypatch.setattr(curves, "MOST_POINTS", 10)
    loss = [1.0] * 100
    loss[41], loss[42], loss[7] = 50.0, 0.5, math.nan
    single = SingleUpdates(list(range(1, 101)), loss, [float(n) for n in range(100)], 0.0)
    band, not_finite = curves._band(single, lambda updates: {"updates": list(updates)})
    assert (band.group, len(band.low), max(band.high), min(band.low)) == (10, 10, 50.0, 0.5)
    assert not_finite == [8]


def test_training_that_two_runs_share_is_listed_once(home):
    run = choose(home.client, ["0abc", "1abd"])[0]
    parent = home.client.create_run(
        "0", start_time=1, tags={"glassformer.pipeline": "shared", "glassformer.run": "2" * 32}
    )
    (child,) = home.client.search_runs(
        ["0"], f"tags.`mlflow.parentRunId` = '{run.info.run_id}' AND tags.`glassformer.node` = 'pretrain'"
    )
    tags = {"glassformer.node": "pretrain", "glassformer.step": "pretrain", "mlflow.parentRunId": parent.info.run_id}
    home.client.create_run("0", tags=tags | {"glassformer.cached": "true", "glassformer.made_by": child.info.run_id})
    (training,) = trainings_of(home, "shared", "0abc")
    assert training.runs == [0, 1]
    assert training.band is not None, "of the run that made it: its log of updates is here"
