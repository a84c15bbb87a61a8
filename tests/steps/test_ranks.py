"""Ranks of the real programs: started by a step, and by torchrun."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from steps.pretrain.config import Config
from tests.small_corpus import make_corpus, make_tokenizer

ROOT = Path(__file__).resolve().parents[2]
TORCHRUN = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2")


@pytest.fixture(scope="module")
def arguments(tmp_path_factory):
    root = tmp_path_factory.mktemp("inputs")
    corpus = make_corpus(root)
    inputs = {"corpus": str(corpus.path), "tokenizer": str(make_tokenizer(root, corpus).path)}
    tiny = {"d_model": 16, "d_ff": 32, "num_heads": 2, "num_layers": 1, "max_length": 32, "max_updates": 40,
            "batch_tokens": 256, "checkpoint_every": 4, "validation_rows": 20}  # fmt: skip
    return [f"--{name}={value}" for name, value in (inputs | tiny).items()]


def start(home, arguments, *before, **options):
    environment = os.environ | {"GLASSFORMER_HOME": str(home), "MLFLOW_TRACKING_URI": f"sqlite:///{home}.db"}
    command = [sys.executable, *before, "-m", "steps.pretrain", *arguments, *(f"--{k}={v}" for k, v in options.items())]
    return subprocess.Popen(
        command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def digest(process):
    """Digest of the checkpoint whose folder the process prints."""
    out, errors = process.communicate(timeout=300)
    assert process.returncode == 0, errors[-3000:]
    (folder,) = (line for line in out.splitlines() if line.startswith("/"))
    return json.loads((Path(folder) / "manifest.json").read_text())["digest"]


def test_ranks_must_divide_shards():
    with pytest.raises(ValueError, match="ranks=3 does not divide shards=4"):
        Config(corpus="c", ranks=3)
    with pytest.raises(ValueError, match="power of two, got 6"):
        Config(corpus="c", shards=6)


def test_ranks_are_no_part_of_a_fingerprint():
    assert Config.execution_fields() == {"ranks"}


@pytest.fixture(scope="module")
def alone(tmp_path_factory, arguments):
    """The digest of the checkpoint that one process makes."""
    return digest(start(tmp_path_factory.mktemp("alone") / "home", arguments))


@pytest.mark.slow
def test_torchrun_makes_the_checkpoint_of_one_process(tmp_path, arguments, alone):
    assert digest(start(tmp_path / "torchrun", arguments, *TORCHRUN)) == alone


@pytest.mark.slow
def test_lost_rank_is_named_and_training_goes_on_with_another_number(tmp_path, arguments, alone):
    process = start(tmp_path / "work", arguments, ranks=2)
    until = time.monotonic() + 120
    while not list(tmp_path.glob("work/**/update-00000004")):
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < until, "no checkpoint"
        time.sleep(0.02)
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    (rank,) = (int(child) for child in children if b"steps.ranks" in Path(f"/proc/{child}/cmdline").read_bytes())
    os.kill(rank, signal.SIGKILL)
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 75
    assert "pretrain: rank 1 of 2 ended by signal 9; run again, with any number of ranks, to go on" in errors
    assert "Traceback" not in errors
    assert digest(start(tmp_path / "work", arguments, ranks=4)) == alone
    assert not list(tmp_path.glob("work/**/update-*")), "nothing of a finished training stays"


@pytest.mark.slow
def test_torchrun_with_a_number_that_does_not_divide_shards_is_refused(tmp_path, arguments):
    process = start(tmp_path / "work", [*arguments, "--shards=1"], *TORCHRUN)
    _, errors = process.communicate(timeout=120)
    assert process.returncode != 0
    assert "2 processes do not divide shards=1" in errors
