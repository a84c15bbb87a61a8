"""The program: quick help, and one clear line for every wrong question."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from artifacts.runs import FINISHED, Run
from steps.step import load_step
from tests.spiked import train

pretrain = load_step("pretrain")

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def copied(made, tmp_path):
    shutil.copytree(made[0], tmp_path / "home")
    return tmp_path / "home"


def test_help_has_examples_and_loads_no_heavy_packages():
    code = (
        "import sys, runpy; sys.argv = ['why', '--help']\n"
        "try: runpy.run_module('tasks.why', run_name='__main__')\n"
        "finally: print(sorted({'torch', 'pandas', 'numpy', 'pyarrow', 'mlflow', 'psutil'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert "python -m tasks.why --run 3f2a --at 1234" in done.stdout
    assert done.stdout.rstrip().endswith("[]")


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--run", "nothere"], "--run nothere: no such run in "),
        (["--run", "nothere"], "the newest: finished0000, earlier00000"),
        (["--run", "earlier"], "run earlier00000: no training in it kept a record"),
        (["--node", "evaluate"], "run finished0000 has no node 'evaluate' so far; it has finetune"),
        (["--at", "91"], "--at 91: no such update; recorded: finetune 1 to 90"),
        (["--at", "0"], "'0' is no number from 1 on"),
        (["--at", "ten"], "'ten' is no number from 1 on"),
        (["--metric", "accuracy"], "--metric accuracy: known for each update are loss, gradient_norm, seconds"),
        (
            ["--nod", "finetune"],
            "unrecognized arguments: --nod; did you mean 'node'?; see python -m tasks.why --help",
        ),
    ],
)
def test_invalid_arguments_give_one_line_error_and_exit_code_2(ask, words, told):
    code, out, err = ask(*words)
    assert (code, out) == (2, "")
    assert told in err
    assert err.startswith("tasks.why: ")
    assert err.count("\n") == 1


def test_home_without_runs_is_reported(ask, tmp_path):
    assert ask(home=tmp_path)[::2] == (
        2,
        f"tasks.why: {tmp_path}: no run yet; `python -m pipelines run docs` makes one\n",
    )


def test_ambiguous_run_prefix_is_refused(ask, copied):
    Run.start(copied, "finish" + "1" * 26, "tiny", "").end(FINISHED)
    code, _, err = ask("--run", "finish", home=copied)
    assert code == 2
    assert "2 runs begin so: finished0000, finish111111" in err


def test_worst_spike_is_chosen_and_ambiguous_update_needs_node(ask, made, copied):
    run = Run.start(copied, "both" + "0" * 28, "tiny", "")
    train(copied, run, "pretrain", made[1], step=pretrain, max_updates=15)
    train(copied, run, "finetune", made[1])
    run.nodes["prepare_data"] = {"path": made[1]["corpus"].path.relative_to(made[0]).as_posix()}
    run.end(FINISHED)
    assert json.loads(ask("--json", home=copied)[1])["node"] == "finetune"
    assert json.loads(ask("--json", "--at", "80", home=copied)[1])["node"] == "finetune", "the one that has it"
    code, _, err = ask("--at", "12", home=copied)
    assert (code, err) == (2, "tasks.why: update 12 is in finetune, pretrain: say which with --node\n")
    assert "update 12 of pretrain" in ask("--at", "12", "--node", "pretrain", home=copied)[1]
    code, _, err = ask("--node", "prepare_data", home=copied)
    assert code == 2
    assert "prepare_data: no training: it made a corpus; trainings of this run: finetune, pretrain" in err


def test_short_training_without_spike_error_suggests_at_option(ask, made, copied):
    run = Run.start(copied, "short" + "0" * 27, "tiny", "")
    train(copied, run, "finetune", made[1], max_updates=8)
    run.end(FINISHED)
    code, _, err = ask(home=copied)
    assert code == 2
    assert "too few updates to tell a spike from the start (recorded: finetune 8); name one with --at" in err
    assert ask("--at", "8", home=copied)[0] == 0


def test_missing_corpus_still_reports_row_ids(ask, copied, made):
    shutil.rmtree(copied / "artifacts" / "corpus")
    told = copied / next((copied / "artifacts" / "checkpoint").glob("*/sidecars/training.json"))
    about = json.loads(told.read_text())
    about["inputs"]["corpus"]["path"] = str(copied / "artifacts" / "corpus" / "gone")
    told.write_text(json.dumps(about))
    code, out, err = ask(home=copied)
    assert code == 1
    assert err.startswith(f"tasks.why: the corpus {made[1]['corpus'].digest[:12]} is gone")
    assert err.count("\n") == 1
    assert "rows.jsonl:132" in out
    assert "their texts are not known" in out
    missing = json.loads(ask("--json", home=copied)[1])
    assert missing["missing"] in err
    assert missing["rows"][0]["text"] is None


def test_missing_artifact_or_update_log_is_reported(ask, copied):
    (made,) = (copied / "artifacts" / "checkpoint").glob("*")
    (made / "sidecars" / "updates.parquet").unlink()
    assert "finetune: trained by an earlier version, which kept no record" in ask(home=copied)[2]
    shutil.rmtree(made)
    code, _, err = ask("--node", "finetune", home=copied)
    assert code == 2
    assert f"finetune: its artifact {made} is gone (removed by `python -m artifacts gc`?)" in err


def test_training_without_run_record_is_found_by_artifact(ask, copied):
    shutil.rmtree(next((copied / "runs").glob("finished*")))
    code, out, _ = ask("--run", "finished", home=copied)
    assert code == 0
    assert "update 82 of finetune" in out
