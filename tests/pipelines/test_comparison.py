"""`compare`: runs side by side, from their records alone."""

import pytest

from artifacts import atomic
from artifacts.runs import Run
from artifacts.store import Store
from pipelines.__main__ import main

PARTS = {
    "code": {},
    "parameters": {"seed": 1},
    "inputs": {},
    "files": {},
    "packages": {"numpy": "2.4"},
    "python": "CPython 3.11",
}


@pytest.fixture
def home(tmp_path, monkeypatch):
    """Two runs: the second pretrained with another seed and another numpy, and failed after that."""
    monkeypatch.setenv("GLASSFORMER_HOME", str(tmp_path))
    records = {"a" * 64: PARTS, "b" * 64: PARTS | {"parameters": {"seed": 2}, "packages": {"numpy": "2.5"}}}
    for key, parts in records.items():
        atomic.write_json(tmp_path / "records" / "pretrain" / f"{key}.json", {"step": "pretrain", "parts": parts})
    for number, (key, digest) in enumerate(zip(records, ("11", "22"), strict=True)):
        run = Run.start(Store.default().root, f"{number}abc", "tiny", "")
        run.started_at = float(number)
        run.nodes = {"pretrain": {"state": "made", "digest": digest * 8, "fingerprint": key}}
        if number == 0:
            run.nodes["evaluate"] = {"state": "made", "digest": "33" * 8, "fingerprint": "c" * 64}
        run.end("FINISHED")
    return tmp_path


def test_compare_names_artifacts_and_reasons(home, capsys):
    assert main(["compare"]) == 0
    lines = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
    assert lines[0] == "run 0abc 1abc"
    assert "pretrain 111111111111 222222222222" in lines
    assert lines[lines.index("0abc -> 1abc") + 1 :] == [
        "evaluate: only in 0abc",
        "pretrain: parameter pretrain.seed: 1 -> 2",
        "pretrain: package numpy: 2.4 -> 2.5",
    ]


def test_compare_of_equal_runs_reports_no_difference(home, capsys):
    assert main(["compare", "0a", "0a"]) == 0
    assert capsys.readouterr().out.endswith("nothing differs\n")


@pytest.mark.parametrize(
    ("words", "told"),
    [(["0a"], "0a: give a second run"), (["0a", "x"], "x: no runs have an id that begins so")],
)
def test_compare_refuses_missing_or_unknown_run(home, capsys, words, told):
    assert main(["compare", *words]) == 2
    assert capsys.readouterr().err.startswith(told)
