"""The gate: who becomes champion; and the alias that moves, in a store of its own."""

import pytest

from artifacts import Output, durable
from steps.contract import UserError
from steps.promote import Candidate, Config, gate, run
from telemetry import Observe
from tests.mlflow_home import own_store
from tests.small_training import Recording


@pytest.mark.parametrize(
    ("candidate", "champion", "promoted", "reason"),
    [
        (Candidate(1, "macro_f1", 0.1), None, True, "there was no champion"),
        (
            Candidate(2, "macro_f1", 0.7),
            Candidate(1, "macro_f1", 0.6),
            True,
            "0.7000, the champion version 1 has 0.6000",
        ),
        (Candidate(2, "macro_f1", 0.6), Candidate(1, "macro_f1", 0.6), False, "0.6000"),
        (Candidate(2, "macro_f1", 0.5), Candidate(1, "macro_f1", 0.6), False, "0.5000"),
        (Candidate(2, "macro_f1", float("nan")), Candidate(1, "macro_f1", 0.6), False, "nan"),
        (Candidate(1, "macro_f1", 0.6), Candidate(1, "macro_f1", 0.6), False, "version 1 is the champion already"),
        (Candidate(2, "accuracy", 0.9), Candidate(1, "macro_f1", 0.6), False, "measured by macro_f1"),
        (Candidate(2, "accuracy", 0.9), Candidate(1, "", float("nan")), False, "measured by nothing"),
    ],
)
def test_a_higher_primary_metric_wins(candidate, champion, promoted, reason):
    decision = gate(candidate, champion)
    assert decision.promote is promoted
    assert reason in decision.reason


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        yield own_store(tmp_path_factory.mktemp("mlflow"), patch)


def version(store, root, number, score):
    """A registered version with that score, and the artifact that `register` would have made of it."""
    if number == 1:
        store.create_registered_model(root.name)
    tags = {"glassformer.metric": "macro_f1", "glassformer.score": repr(score)}
    made = store.create_model_version(root.name, str(root), tags=tags)
    assert int(made.version) == number
    output = Output("model_version", root / f"work{number}", root=root)
    durable.write_json(output.file("version.json"), {"name": root.name, "score": score})
    durable.write_json(output.sidecar("registered.json"), {"name": root.name, "version": number})
    return output.commit()


def promote(made):
    """Run the step; what it said."""
    observe = Recording()
    run(Config(version=str(made.path)), {"version": made}, None, observe)
    ((_, told),) = observe.of("model.promoted")
    return told


def champion(store, root):
    return int(store.get_model_version_by_alias(root.name, "champion").version)


def test_the_alias_moves_to_the_better_version_and_stays_otherwise(store, tmp_path):
    first = version(store, tmp_path, 1, 0.5)
    assert f"{tmp_path.name} version 1 is now champion: there was no champion" in promote(first)
    assert "stays version 1: version 1 is the champion already" in promote(first)

    worse = version(store, tmp_path, 2, 0.4)
    assert "champion of" in promote(worse)
    assert champion(store, tmp_path) == 1

    better = version(store, tmp_path, 3, 0.6)
    assert "version 3 is now champion: macro_f1 0.6000, the champion version 1 has 0.5000" in promote(better)
    assert champion(store, tmp_path) == 3
    assert "stays version 3" in promote(first)


def test_a_version_that_is_gone_is_named(store, tmp_path):
    made = version(store, tmp_path, 1, 0.5)
    store.delete_model_version(tmp_path.name, "1")
    with pytest.raises(UserError, match="version 1 is not in the registry any more; run the pipeline"):
        run(Config(version=str(made.path)), {"version": made}, None, Observe.silent())
