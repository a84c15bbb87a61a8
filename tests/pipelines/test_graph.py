"""Pipelines are checked whole before anything runs: one line that names what is wrong and the nearest right name."""

import re

import pytest

from artifacts.errors import UserError
from pipelines import graph


@pytest.fixture
def write(tmp_path):
    def write(text, name="mine.yaml"):
        path = tmp_path / name
        path.write_text(text)
        return str(path)

    return write


def fails(source, message, *settings):
    with pytest.raises(UserError, match=message) as raised:
        graph.load(source, settings)
    assert raised.value.exit_code == 2
    lines = str(raised.value).splitlines()
    assert len(lines) == len(set(lines)) == max(1, sum(bool(re.search(message, line)) for line in lines)), lines


@pytest.mark.parametrize("name", graph.available())
def test_shipped_pipelines_are_valid_and_at_most_50_lines(name):
    pipeline = graph.load(name)[0]
    assert list(pipeline.nodes)
    assert pipeline.description
    assert len((graph.FOLDER / f"{name}.yaml").read_text().splitlines()) <= 50


def test_docs_pipeline_has_eight_nodes():
    assert list(graph.load("docs")[0].nodes) == [
        "prepare_data", "train_tokenizer", "pretrain", "pretrain_halves", "finetune", "finetune_scratch", "evaluate",
        "register",
    ]  # fmt: skip


def test_extends_changes_and_removes_nodes(write):
    path = write(
        "extends: docs\nnodes:\n  finetune: {config: {seed: 7}}\n  finetune_scratch: false\n"
        "  evaluate: {inputs: {scratch: finetune}}\n"
    )
    nodes = graph.load(path)[0].nodes
    assert "finetune_scratch" not in nodes
    assert nodes["finetune"].config["seed"] == 7
    assert nodes["finetune"].inputs["checkpoint"] == "pretrain_halves", "what is not changed stays"
    assert nodes["evaluate"].inputs["scratch"] == "finetune"


def test_extends_accepts_file_in_same_folder(write):
    write("nodes: {prepare_data: {config: {seed: 3}}}", "base.yaml")
    assert graph.load(write("extends: base.yaml\n"))[0].nodes["prepare_data"].config == {"seed": 3}


def test_set_changes_one_parameter():
    nodes = graph.load("docs", ["finetune.clip=0.5", "prepare_data.source=a b/*.txt"])[0].nodes
    assert nodes["finetune"].config["clip"] == 0.5
    assert "clip" not in nodes["finetune_scratch"].config
    assert nodes["prepare_data"].config["source"] == "a b/*.txt"


def test_each_gives_every_combination(write):
    path = write("extends: tiny\neach: {finetune.seed: [1, 2], pretrain.seed: [5, 6]}\n")
    assert [dict(p.variant) for p in graph.load(path)] == [
        {"finetune.seed": a, "pretrain.seed": b} for a in (1, 2) for b in (5, 6)
    ]


def test_before_and_after_list_connected_nodes():
    pipeline = graph.load("docs")[0]
    assert pipeline.before("pretrain") == {"prepare_data", "train_tokenizer", "pretrain"}
    assert pipeline.after("finetune") == {"finetune", "evaluate", "register"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("nodes: {prepare_dat: {}}", "node 'prepare_dat': unknown step 'prepare_dat'; did you mean 'prepare_data'"),
        ("nodes: {prepare_data: {confg: {}}}", "unknown key 'confg'; did you mean 'config'"),
        ("nodes: {prepare_data: {config: {sorce: docs}}}", "unknown parameter 'sorce'; did you mean 'source'"),
        ("nodes: {prepare_data: {config: {seed: soon}}}", "parameter seed='soon': .*integer"),
        ("nodes: {prepare_data: {config: {test_share: 2}}}", "parameter test_share=2: .*less than 0.5"),
        ("nodes: {prepare_data: {}, train_tokenizer: {}}", "input 'corpus' .corpus. is not given"),
        ("nodes: {train_tokenizer: {inputs: {corpus: prepare}}}", "no node 'prepare'"),
        ("nodes: {prepare_data: {inputs: {corpus: x}}}", "has no input 'corpus'"),
        (
            "nodes: {prepare_data: {}, a: {step: train_tokenizer, inputs: {corpus: b}}, b: {step: train_tokenizer, inputs: {corpus: a}}}",
            "takes a corpus, [ab] makes a tokenizer",
        ),
        (
            "nodes: {d: {step: prepare_data}, t: {step: train_tokenizer, inputs: {corpus: d}}, "
            "a: {step: finetune, inputs: {corpus: d, tokenizer: t, checkpoint: b}}, "
            "b: {step: finetune, inputs: {corpus: d, tokenizer: t, checkpoint: a}}}",
            "feed each other in a circle: a, b",
        ),
        ("nodes: [1]", "`nodes` must map"),
        ("nodes: {1x: {step: prepare_data}}", "an id is made of"),
        ("just text", "not a mapping"),
        ("nodes: {prepare_data: {retries: -1}}", "retries must be a whole number"),
        ("nodes: {a: [", "not readable as YAML"),
        ("", "empty"),
        ("extends: dosc\n", "no pipeline 'dosc'; did you mean 'docs'"),
        ("extends: tiny\neach: {finetune.seed: 3}\n", "`each` must map"),
    ],
)
def test_invalid_pipeline_gives_one_line_error(write, text, message):
    fails(write(text), message)


def test_unknown_names_are_reported():
    fails("dcs", "no pipeline 'dcs'; did you mean 'docs'")
    fails("nowhere/mine.yaml", "nowhere/mine.yaml: no such file")
    fails("docs", "no node 'finetun' in docs; did you mean 'finetune'", "finetun.seed=1")
    fails("docs", "write node.key=value", "seed=1")
    fails("docs", "unknown parameter 'learning_rat'; did you mean 'learning_rate'", "finetune.learning_rat=1")


def test_circular_extends_is_refused(write):
    write("extends: b.yaml", "a.yaml")
    fails(write("extends: a.yaml", "b.yaml"), "goes round in a circle")


RIVALS = """\
extends: docs
nodes:
  finetune_other: {step: finetune, inputs: {corpus: prepare_data, checkpoint: pretrain}}
  evaluate: {inputs: {rivals: [finetune_other, finetune_scratch]}}
"""


def test_list_input_connects_each_listed_node(write):
    pipeline = graph.load(write(RIVALS))[0]
    evaluate = pipeline.nodes["evaluate"]
    assert list(evaluate.inputs.items())[-2:] == [("rivals.0", "finetune_other"), ("rivals.1", "finetune_scratch")]
    assert list(pipeline.nodes).index("finetune_other") < list(pipeline.nodes).index("evaluate")
    assert pipeline.before("evaluate") >= {"finetune_other", "finetune_scratch"}
    assert pipeline.after("finetune_other") == {"finetune_other", "evaluate", "register"}
    assert evaluate.config_with({**dict.fromkeys(evaluate.inputs, "x"), "rivals.1": "y"}).rivals == ("x", "y")
    assert "rivals" not in evaluate.checked_config()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("rivals: [finetune_othr]", "input rivals.0: no node 'finetune_othr'; did you mean 'finetune_other'"),
        ("rivals: [finetune, finetune]", "input rivals: finetune is in the list twice"),
        ("rivals: [finetune, prepare_data]", "input rivals.1 takes a checkpoint, prepare_data makes a corpus"),
        ("checkpoint: [finetune]", "input checkpoint takes one node, not a list"),
        ("rivals: {a: finetune}", "no node"),
        ("rival: [finetune]", "has no input 'rival'; did you mean 'rivals'"),
    ],
)
def test_invalid_list_input_gives_one_line_error(write, change, message):
    fails(write(RIVALS.replace("rivals: [finetune_other, finetune_scratch]", change)), message)
