"""Two pipelines at once on one home: both right, no step done twice, no lock left."""

import pytest

from tests.finished import finished_run

pytestmark = pytest.mark.slow


def test_two_concurrent_runs_do_each_step_once(tmp_path):
    home = finished_run("tiny").cache(tmp_path, ("prepare_data", "pretrain"))
    processes = [home.start("run", "tiny") for _ in range(2)]
    outputs = [process.communicate(timeout=300)[0] for process in processes]
    assert [process.returncode for process in processes] == [0, 0], "\n".join(output[-2000:] for output in outputs)
    made = [path for path in (home.state / "artifacts").glob("*/*") if path.is_dir()]
    assert len(made) == 7, "one artifact a node"
    assert len(home.digests()) == 7
    assert list((home.state / "locks").iterdir()) == []
    for output in outputs:
        assert "glassformer-tiny version 1" in output


def test_fan_out_over_seeds_shares_common_steps(tmp_path):
    home = finished_run("tiny").cache(tmp_path, ("prepare_data", "train_tokenizer"))
    pipeline = tmp_path / "seeds.yaml"
    pipeline.write_text("extends: tiny\neach: {finetune.seed: [1, 2]}\n")
    home.run("run", str(pipeline), "--to", "finetune", "--jobs", "2")
    entries = home.run("plan", str(pipeline))
    assert entries.count("HIT") == 8
    made = [path for path in (home.state / "artifacts" / "checkpoint").iterdir() if path.is_dir()]
    assert len(made) == 3, "pretrained once, fine-tuned twice"
    assert len(list((home.state / "artifacts" / "corpus").iterdir())) == 1
