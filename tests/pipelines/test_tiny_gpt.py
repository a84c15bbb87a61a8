"""A language model from docstrings to a registered version, as a user makes one, and what it says then."""

import json

import pytest

from tests.finished import finished_run

pytestmark = pytest.mark.slow
TINY_GPT = "tests/pipelines/tiny_gpt.yaml"
NODES = ["prepare_data", "train_tokenizer", "pretrain", "evaluate", "register"]


@pytest.fixture(scope="module")
def ran(tmp_path_factory):
    whole = finished_run(TINY_GPT)
    return whole.copy(tmp_path_factory.mktemp("tiny_gpt")), whole.output


def test_run_output_shows_scores_and_version(ran):
    _, output = ran
    for told in ("score     bits per byte", "bytes by frequency", "6-gram of bytes", "gzip", "LZMA",
                 "glassformer-tiny-gpt version 1 (challenger, champion)", "report.html"):  # fmt: skip
        assert told in output, told
    assert "Traceback" not in output


def test_plan_after_run_hits_every_node(ran):
    home, _ = ran
    plan = home.plan(TINY_GPT)
    assert list(plan) == NODES
    assert {entry["state"] for entry in plan.values()} == {"HIT"}
    missed = home.plan(TINY_GPT, "--set", "evaluate.options={method: beam}")
    assert [node for node, entry in missed.items() if entry["state"] == "MISS"] == ["evaluate", "register"]


def test_the_checkpoint_answers_from_the_command_line(ran):
    home, _ = ran
    digest = home.digests(TINY_GPT)["pretrain"]
    output = home.run(digest[:12], "Return the", "--json", "--option", "method=sample", module="tasks.predict")
    answer = json.loads(output.splitlines()[-1])
    assert answer["text"] == "Return the"
    assert answer["prediction"]


def test_lm_pipeline_requires_own_source(ran):
    home, _ = ran
    output = home.run("run", "lm", expect=2)
    assert "source 'your/texts/*.txt': no such file; give a path or glob" in output
    assert "Traceback" not in output
