"""`compare`: runs side by side in the terminal."""

import pytest

from pipelines.__main__ import main


def lines_of(capsys, *words):
    assert main(["compare", *words]) == 0
    return [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]


def test_compare_shows_newest_two_runs_with_newest_first(home, capsys):
    lines = lines_of(capsys)
    assert lines[0] == "run 1abd0000 0abc0000"
    assert lines[1] == "pipeline tiny tiny"
    assert "state done done" in lines


def test_compare_shows_parameters_that_differ_without_inputs(home, capsys):
    lines = lines_of(capsys, "0abc", "1abd")
    assert "pretrain.seed 2 1" in lines
    assert not any(line.startswith("pretrain.corpus") for line in lines)


def test_compare_shows_scores_with_intervals(home, capsys):
    lines = lines_of(capsys)
    assert "macro F1: this model - 0.5000 [0.4500, 0.5500]" in lines
    assert "macro F1: majority class - 0.1000" in lines


def test_compare_shows_outcome_time_and_artifact_of_nodes(home, capsys):
    (line,) = [line for line in lines_of(capsys) if line.startswith("pretrain made")]
    assert line.count("12.0 s") == 2
    assert [line for line in lines_of(capsys) if line.startswith("evaluate - made")]


def test_compare_shows_losses_at_the_same_update(home, capsys):
    lines = lines_of(capsys)
    table = lines[lines.index("pretrain: training / validation loss at the same updates") + 1 :]
    readings = {line.split(" updates ")[0]: line.split(" updates ")[1] for line in table[:6]}
    assert list(readings) == ["30", "70", "100", "130", "170", "200"]
    assert readings["100"] == "2.5225 / - 2.0450 / 2.5000"  # means of updates 91 to 100
    assert readings["130"] == "2.3725 / - -"  # the older one had ended


def test_compare_shows_losses_at_the_same_tokens(home, capsys):
    lines = lines_of(capsys, "0abc", "1abd", "--over", "tokens")
    assert "10,000 tokens 2.5225 / - 2.0450 / 2.5000" in lines


def test_compare_names_reasons_from_the_oldest_run(home, capsys):
    lines = lines_of(capsys)
    assert lines[lines.index("0abc0000 -> 1abd0000") + 1 :] == [
        "pretrain: parameter pretrain.corpus: /a -> /b",
        "pretrain: parameter pretrain.seed: 1 -> 2",
        "evaluate: only in 0abc0000",
    ]


def test_compare_accepts_ids_of_mlflow_names_and_latest(home, capsys):
    old = next(run for key, run in home.mlflow.items() if key.startswith("0abc"))
    assert lines_of(capsys, old[:12], "latest")[0] == lines_of(capsys, "tiny", old)[0] == "run 1abd0000 0abc0000"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["0a"], "0a: give a second run"),
        (["0abc", "zz"], "zz: no run of sqlite:///"),
        (["0abc", "it's"], "it's: no run of sqlite:///"),
        (["latest", "tiny"], "latest and tiny are one run, tiny 2023-11-1"),
        (["0abc", "1abd", "--html", "/nowhere/page.html"], "--html /nowhere/page.html: there is no folder /nowhere"),
    ],
)
def test_compare_refuses_missing_or_unknown_runs_in_one_line(home, capsys, words, message):
    assert main(["compare", *words]) == 2
    error = capsys.readouterr().err
    assert error.startswith(message)
    assert error.count("\n") == 1
