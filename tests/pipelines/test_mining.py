"""Document mining from end to end: the pipelines `tiny_tokens` and `tiny_search`, and the models they register, asked."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from pipelines import graph
from tasks.lengths import COLUMNS
from tests.finished import finished_run

TINY = Path(__file__).parent
TEXTS = ["Sum over an axis.\n\nParameters\n----------\naxis : int, default=None\n    The `axis`.", ""]


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize(
    ("pipeline", "cached", "score", "rivals", "headings"),
    [
        (
            "tiny_tokens",
            3,
            "score     entity F1",
            ("patterns", "spans seen in training", "without pretraining"),
            ("Kinds", "Confusion", "Marked texts", "Worst errors", "Attention"),
        ),
        (
            "tiny_search",
            0,
            "score     mrr at 10",
            ("BM25", "TF-IDF"),
            ("Ranks", "Queries", "Worst queries", "Near texts", "Map", "Attention"),
        ),
    ],
)
def test_mining_pipelines_register_models_that_answer(tmp_path, pipeline, cached, score, rivals, headings):
    path = f"tests/pipelines/{pipeline}.yaml"
    home = finished_run("tiny").cache(tmp_path, ("prepare_data", "train_tokenizer", "pretrain"))
    output = home.run("run", path)
    assert output.count("  cached  ") == cached
    assert score in output
    for rival in rivals:
        assert rival in output
    plan = home.plan(path)
    assert {entry["state"] for entry in plan.values()} == {"HIT"}
    (page,) = home.state.glob("artifacts/report/*/sidecars/report.html")
    for heading in headings:
        assert f">{heading}</h2>" in page.read_text(), heading
    answers = _asked(home, f"glassformer-{pipeline.replace('_', '-')}", tmp_path)
    if pipeline == "tiny_tokens":
        assert [set(answer) for answer in answers] == [{"prediction", "probability", *COLUMNS}] * 2
        assert json.loads(answers[1]["prediction"]) == []
    else:
        assert [len(answer["prediction"]) for answer in answers] == [32, 32]


def _asked(home, model, folder):
    """The answers of a registered model, with pickle forbidden."""
    (folder / "input.json").write_text(
        json.dumps({"dataframe_split": {"columns": ["text"], "data": [[t] for t in TEXTS]}})
    )
    command = [sys.executable, "-m", "mlflow", "models", "predict", "-m", f"models:/{model}@challenger",
               "-i", str(folder / "input.json"), "-t", "json", "--env-manager", "local"]  # fmt: skip
    environment = home.environment | {"MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false"}
    answer = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=300)
    assert answer.returncode == 0, answer.stderr[-3000:]
    return json.loads(answer.stdout[answer.stdout.index("{") :])["predictions"]


@pytest.mark.parametrize(
    ("pipeline", "other"),
    [("tokens", "docs"), (TINY / "tiny_tokens.yaml", "tiny")],
)
def test_pretraining_nodes_match_other_pipeline(pipeline, other):
    """So that it is a hit for whoever has run one of them."""
    mine, others = graph.load(str(pipeline))[0].nodes, graph.load(other)[0].nodes
    for node in ("prepare_data", "train_tokenizer", "pretrain"):
        assert mine[node].checked_config() == others[node].checked_config()
        assert mine[node].inputs == others[node].inputs
