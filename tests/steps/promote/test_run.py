"""The step as a whole, with versions that were really trained, evaluated and registered, in a store of its own."""

import json
import shutil
from pathlib import Path

import pytest

import tests.small_corpus as small
from artifacts.errors import UserError
from steps.promote import questions
from steps.promote.config import Config
from steps.promote.history import History
from steps.promote.run import run
from tests.registered import home, registered
from tests.small_training import Recording


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """A registry with two versions of one model: 1 has learnt little, 2 a lot."""
    with home(tmp_path_factory, rows=900) as (client, root, patch, made):
        patch.setenv("GLASSFORMER_USER", "ann")
        versions = [
            registered(
                client,
                root,
                patch,
                {**made, "checkpoint": small.train(root, "finetune", made, from_scratch=True, **options)},
                "gated",
            )
            for options in ({"max_updates": 12}, {"max_updates": 100, "learning_rate": 0.01})
        ]
        yield client, root, versions


POLICY = {
    "baseline": None,
    "samples": 500,
    "latency": {"requests": 10},
    "robustness_rows": 30,
    "slices": {"samples": 100},
}


def promote(client, patch, version=None, **options):
    """Run the step in a run of its own; what it said, and that run."""
    run_id = client.create_run("0").info.run_id
    patch.setenv("MLFLOW_RUN_ID", run_id)
    observe, inputs = Recording(), {"version": version} if version else {}
    if not options.get("rollback"):
        options = {"gate": POLICY, **({"version": str(version.path)} if version else {"model": "gated"})} | options
    run(Config(**options), inputs, None, observe)
    return observe, run_id


def said(observe):
    ((_, told),) = observe.of("model.promoted")
    return told


def test_promotion_refusal_override_and_rollback_move_the_champion(world, monkeypatch, capsys, tmp_path):
    client, _, (weak, _) = world
    history = History(client, "gated")

    observe, _ = promote(client, monkeypatch, weak, gate={**POLICY, "baseline": {}})
    assert said(observe).startswith("champion of gated stays without a version: baselines: macro F1 ")
    assert "of TF-IDF + logistic regression's" in said(observe)
    assert history.alias_version() == ""

    observe, run_id = promote(client, monkeypatch, weak)
    assert said(observe) == "gated version 1 is now champion: there was no champion, and all that is required holds"
    assert observe.metrics["gate.decision"] == [(None, 1.0)]
    assert history.alias_version() == "1"
    assert {file.path for file in client.list_artifacts(run_id, "gate")} == {"gate/evidence.json", "gate/gate.html"}
    assert client.get_model_version("gated", "1").tags["glassformer.gate"] == "promote"

    observe, _ = promote(client, monkeypatch, weak)
    assert said(observe) == "champion of gated stays version 1: version 1 is the champion already"
    assert "gate.decision" not in observe.metrics

    # The challenger, by its alias: surely better.
    observe, better = promote(client, monkeypatch)
    assert said(observe).startswith("gated version 2 is now champion: macro F1 +0.")
    assert "significantly better by more than 0" in said(observe)
    evidence = json.loads(Path(client.download_artifacts(better, "gate/evidence.json", str(tmp_path))).read_text())
    assert (evidence["champion"], evidence["candidate"]["version"], evidence["by"]) == ("1", "2", "ann")
    assert evidence["difference"]["low"] > 0
    assert evidence["metrics"]["candidate"]["macro_f1"] > evidence["metrics"]["champion"]["macro_f1"]
    found = {one["check"]: one["verdict"] for one in evidence["findings"]}
    assert found == {
        "unchanged": "passed", "lineage": "passed", "licence": "failed", "leaks": "passed", "round_trip": "passed",
        "agreement": "told", "slices": "told", "latency": "told", "size": "told", "calibration": "passed",
        "robustness": found["robustness"],
    } | {"slices": found["slices"]}  # fmt: skip
    page = Path(client.download_artifacts(better, "gate/gate.html", str(tmp_path))).read_text()
    for title in (
        "Decision",
        "Scores",
        "Checks",
        "Bootstrap",
        "Won",
        "Lost",
        "Latency",
        "Calibration",
        "Models",
        "Policy",
    ):
        assert f">{title}</h2>" in page, title

    observe, _ = promote(client, monkeypatch, candidate="1")
    assert said(observe).startswith("champion of gated stays version 2: ")
    assert observe.metrics["gate.decision"] == [(None, 0.0)]
    assert client.get_model_version("gated", "1").tags["glassformer.gate"] == "refuse"

    # Against the gate: possible, with a reason, by whom the policy lets, and to be seen.
    with pytest.raises(UserError, match="ann may not override this gate; its policy lets bob"):
        promote(client, monkeypatch, candidate="1", override="urgent", gate=POLICY | {"overriders": ["bob"]})
    observe, against = promote(client, monkeypatch, candidate="1", override="urgent")
    assert observe.of("model.promoted")[0][0] == "warning"
    assert said(observe).startswith("gated version 1 is now champion, against the gate (urgent): ")
    assert observe.metrics["gate.decision"] == [(None, 3.0)]
    page = Path(client.download_artifacts(against, "gate/gate.html", str(tmp_path))).read_text()
    assert "version 1 promoted against the gate" in page
    assert 'class="decision bad"' in page

    observe, _ = promote(client, monkeypatch, rollback="gated")
    assert observe.of("model.rolled_back") == [
        ("warning", "gated version 2 is champion again, in place of 1: rolled back")
    ]
    assert history.alias_version() == "2"
    assert [(one.kind, one.before, one.to, one.by) for one in history.decisions()] == [
        ("promote", "", "1", "ann"),
        ("promote", "1", "2", "ann"),
        ("override", "2", "1", "ann"),
        ("rollback", "1", "2", "ann"),
    ]

    assert questions.list_history(client, history) == 0
    told = capsys.readouterr().out
    assert told.index("rollback") < told.index("override") < told.index("promote")
    assert "urgent (the gate: " in told
    assert questions.explain(client, history) == 0
    told = capsys.readouterr().out
    corpus = client.get_model_version("gated", "2").tags["glassformer.corpus"]
    for part in (
        "gated: version 2 is champion",
        "rollback, by ann, in place of 1",
        "promote, by ann, in place of 1",
        "significantly better by more than 0",
        f"made from   corpus {corpus} by prepare_data",
    ):
        assert part in told
    assert questions.verify(client, history) == 0
    assert "alias, 4 decisions, their evidence and the champion's artifacts agree" in capsys.readouterr().out


def test_verify_names_alias_evidence_and_checkpoint_mismatches(world, monkeypatch, capsys, tmp_path):
    client, _, (weak, _) = world
    history = History(client, "gated")
    if not history.champion():
        promote(client, monkeypatch, weak)
    champion = history.champion()

    client.set_registered_model_alias("gated", "champion", "1" if champion == "2" else "2")
    assert questions.verify(client, history) == 1
    assert f"by the history it is version {champion}" in capsys.readouterr().out
    observe, _ = promote(client, monkeypatch, candidate=champion)
    assert observe.of("alias.reconciled")[0][0] == "warning"
    assert history.alias_version() == champion

    decision = next(one for one in history.decisions() if one.evidence)
    run_id = decision.evidence.removeprefix("runs:/").partition("/")[0]
    file = Path(client.get_run(run_id).info.artifact_uri.removeprefix("file://")) / "gate" / "evidence.json"
    whole = file.read_bytes()
    file.write_bytes(whole.replace(b"ann", b"bob"))
    assert questions.verify(client, history) == 1
    assert (
        f"gate/evidence.json, the evidence of decision {decision.number}, was changed since" in capsys.readouterr().out
    )
    file.write_bytes(whole)

    import mlflow

    weights = (
        Path(mlflow.artifacts.download_artifacts(f"models:/gated/{champion}"))
        / "artifacts/checkpoint/weights.safetensors"
    )
    whole = weights.read_bytes()
    weights.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    try:
        assert questions.verify(client, history) == 1
        assert f"version {champion}: its checkpoint was changed since it was registered" in capsys.readouterr().out
    finally:
        weights.write_bytes(whole)
    assert questions.verify(client, history) == 0


def test_errors_name_unusable_candidates(world, monkeypatch, tmp_path):
    client, root, _ = world
    for options, words in (
        ({"model": "nobody"}, "nobody: no such registered model"),
        ({"candidate": "77"}, "gated version 77 is not in the registry any more; run the pipeline"),
        ({"candidate": "nightly"}, "gated: no version has the alias nightly"),
    ):
        with pytest.raises(UserError, match=words):
            promote(client, monkeypatch, **options)
    with pytest.raises(UserError, match="nobody: no such registered model"):
        promote(client, monkeypatch, rollback="nobody")
    made = client.create_model_version("gated", "somewhere", tags={"glassformer.task": "classification"})
    with pytest.raises(UserError, match="was not registered by Glassformer"):
        promote(client, monkeypatch, candidate=str(made.version))
    client.set_registered_model_alias("gated", "foreign", made.version)
    observe, _ = promote(client, monkeypatch, candidate="1", alias="foreign")
    assert said(observe).startswith("foreign of gated stays version ")
    assert "the champion cannot answer: gated version 3 was not registered by Glassformer" in said(observe)
    observe, _ = promote(client, monkeypatch, candidate="1", alias="foreign", override="it is no model of ours")
    assert client.get_model_version_by_alias("gated", "foreign").version == 1
    client.delete_model_version("gated", made.version)

    moved = tmp_path / "corpus"
    shutil.move(root / "artifacts" / "corpus", moved)
    try:
        with pytest.raises(UserError, match=r"is not in .*: run its pipeline here, or give corpus=FOLDER"):
            promote(client, monkeypatch, candidate="1" if History(client, "gated").champion() != "1" else "2")
    finally:
        shutil.move(moved, root / "artifacts" / "corpus")


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({}, "give version=FOLDER, model=NAME or rollback=NAME, one of them"),
        ({"version": "a", "model": "b"}, "one of them"),
        ({"model": "b", "gate": {"minimum_gain": 0.1, "margin": 0.1}}, "not both"),
        (
            {"model": "b", "gate": {"latency": {"p51": 2}}},
            "latency.p51: Extra inputs are not permitted; see steps/promote/policy.py",
        ),
        ({"model": "b", "candidate": "Version 3"}, "candidate"),
    ],
)
def test_a_wrong_config_is_refused(given, words):
    with pytest.raises(ValueError, match=words):
        Config(**given)
