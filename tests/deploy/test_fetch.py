"""`python -m deploy.fetch`: a version's files on this disk, or one line that says why not."""

import pytest

import tests.small_corpus as small
from deploy import fetch
from tasks.predict.__main__ import main as predict
from tests.registered import home, registered


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """A registry with version 1 of `kept`, the challenger."""
    with home(tmp_path_factory, 90) as (client, root, patch, made):
        tuned = small.train(root, "finetune", made, from_scratch=True, max_updates=2)
        registered(client, root, patch, {**made, "checkpoint": tuned}, "kept")
        yield client, root


def test_alias_and_version_number_fetch_the_same_usable_folder(world, capsys):
    _, root = world
    folders = set()
    for uri in ("models:/kept@challenger", "models:/kept/1", "models:/kept/1"):
        assert fetch.main([uri]) == 0
        folders.add(capsys.readouterr().out.strip())
    assert folders == {str(root / "serving" / "kept" / "1")}
    assert predict(["models:/kept@challenger", "apple", "--format", "json"]) == 0
    assert '"prediction"' in capsys.readouterr().out


@pytest.mark.parametrize(
    ("uri", "code", "told"),
    [
        (
            "models:/kept@champion",
            1,
            "kept has no alias champion; `python -m steps.promote --model kept` promotes a version",
        ),
        ("models:/kept/7", 1, "models:/kept/7: this version is not in the registry any more"),
        ("models:/other@champion", 1, "other: no such model in the registry"),
        ("models:/kept", 2, "give models:/NAME@ALIAS or models:/NAME/VERSION"),
        ("models:/kept/latest", 2, "give models:/NAME@ALIAS or models:/NAME/VERSION"),
        ("models:/../1", 1, "'..' is no name of a registered model"),
        ("kept@champion", 2, "give models:/NAME@ALIAS"),
    ],
)
def test_missing_model_or_invalid_uri_fails_with_one_line(world, capsys, uri, code, told):
    assert fetch.main([uri]) == code
    shown = capsys.readouterr()
    assert (shown.out, shown.err.count("\n")) == ("", 1)
    assert told in shown.err


def test_changed_files_are_fetched_again_and_a_registry_outage_is_reported(world, capsys, monkeypatch, tmp_path):
    _, root = world
    assert fetch.main(["models:/kept/1"]) == 0
    weights = root / "serving" / "kept" / "1" / "artifacts" / "checkpoint" / "weights.safetensors"
    as_registered = weights.read_bytes()
    weights.write_bytes(as_registered[:-1] + bytes([as_registered[-1] ^ 1]))
    assert fetch.main(["models:/kept/1"]) == 0
    assert weights.read_bytes() == as_registered
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/none.db")
    assert fetch.main(["models:/kept/1"]) == 75
    assert "the registry does not answer: " in capsys.readouterr().err
