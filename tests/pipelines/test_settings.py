"""The value of a setting is text, and the field that takes it reads it: by `--set`, by `-P`, in a file, by a step's command line."""

import shlex
from pathlib import Path

import pytest

from artifacts.errors import UserError
from pipelines import graph, mlproject
from pipelines.options import check_single, split
from steps import command_line

TEXTS = [
    "no", "on", "off", "yes", "null", "~", "true", "True", "1e3", "010", "0x10", "1_000", "12:30", "2024-01-31", "1.50", "a: b",
    "[x]", "{}", "{a: 1}", "data/run #2/*.csv", "CC BY 4.0 # see LICENSE", "'quoted'", '"quoted"', "&a", "*a", "!x", "- a", "-data.csv",
    "--help", "a=b", "é \U0001f600", "$HOME", "`x`", "%s {source}", "\\n", "",
]  # fmt: skip


def license_of(*settings, pipeline="classify"):
    return graph.load(pipeline, settings)[0].nodes["prepare_data"].config.get("license")


@pytest.mark.parametrize("text", TEXTS)
def test_text_field_takes_set_value_verbatim(text):
    assert license_of(f"prepare_data.license={text}") == text


@pytest.mark.parametrize("text", TEXTS)
def test_text_field_takes_mlflow_parameter_verbatim(text):
    assert from_mlflow("prepare_data", license=text).license == text
    assert (
        command_line.parse("prepare_data", "", graph.config_class("prepare_data"), [f"--license={text}"]).license
        == text
    )


def from_mlflow(step, **parameters):
    """The Config of a step that MLflow starts with these parameters, by the shell's own reading of its command."""
    from mlflow.projects._project_spec import EntryPoint

    entry = mlproject.document()["entry_points"][step]
    command = EntryPoint(step, entry["parameters"], entry["command"]).compute_command(parameters, None)
    arguments = shlex.split(command)
    assert arguments[:3] == ["python", "-m", f"steps.{step}"]
    return command_line.parse(step, "", graph.config_class(step), arguments[3:])


@pytest.mark.parametrize(
    "text", ["no", "on", "off", "12:30", "2024-01-31", "010", "1e3", "1.50", "true", "True", "FALSE", "0x10"]
)
def test_text_field_takes_yaml_value_verbatim(tmp_path, text):
    path = tmp_path / "mine.yaml"
    path.write_text(f"extends: classify\nnodes: {{prepare_data: {{config: {{license: {text}}}}}}}\n")
    assert license_of(pipeline=str(path)) == text
    path.write_text(f"extends: classify\neach: {{prepare_data.license: [{text}, other]}}\n")
    assert [one.variant["prepare_data.license"] for one in graph.load(str(path))] == [text, "other"]


@pytest.mark.parametrize("null", ["null", "~", ""])
def test_null_is_refused_for_text_field(tmp_path, null):
    path = tmp_path / "mine.yaml"
    path.write_text(f"extends: classify\nnodes:\n  prepare_data:\n    config:\n      license: {null}\n")
    with pytest.raises(
        UserError, match="license=null: must be text; put it in quotes if the word is meant, '' for none"
    ):
        graph.load(str(path))


NUMBERS = [("010", 10), ("+5", 5), (" 7 ", 7), ("1_000", 1000), ("3.0", 3)]
NO_NUMBERS = ["12:30", "0x10", "0b1", "0o7", "1e3", "no", "null", "", "3.5", "2024-01-31", "٣", "1e999", "nan", "[1]"]


@pytest.mark.parametrize(("text", "value"), NUMBERS)
def test_integer_field_reads_decimal_notation(tmp_path, text, value):
    assert graph.load("docs", [f"pretrain.seed={text}"])[0].nodes["pretrain"].config["seed"] == value
    assert from_mlflow("prepare_data", seed=text).seed == value
    path = tmp_path / "mine.yaml"
    path.write_text(f"extends: docs\nnodes: {{pretrain: {{config: {{seed: {text}}}}}}}\n")
    assert graph.load(str(path))[0].nodes["pretrain"].config["seed"] == value


@pytest.mark.parametrize("text", NO_NUMBERS)
def test_integer_field_refuses_other_values(tmp_path, text):
    with pytest.raises(UserError, match="'pretrain': parameter max_updates=") as raised:
        graph.load("docs", [f"pretrain.max_updates={text}"])
    assert raised.value.exit_code == 2
    with pytest.raises(UserError, match="parameter seed="):
        from_mlflow("prepare_data", seed=text)
    path = tmp_path / "mine.yaml"
    path.write_text(f"extends: docs\nnodes: {{pretrain: {{config: {{max_updates: {text}}}}}}}\n")
    with pytest.raises(UserError, match=r"parameter max_updates=|line 2: 1e999 is beyond"):
        graph.load(str(path))


@pytest.mark.parametrize(("text", "value"), [("1e3", 1000.0), ("2e-3", 0.002), (".5", 0.5), ("010", 10.0)])
def test_float_field_reads_decimal_notation(text, value):
    assert graph.load("docs", [f"pretrain.learning_rate={text}"]) if value <= 1 else True
    assert from_mlflow("pretrain", corpus="c", tokenizer="t", rope_base=text).rope_base == value if value > 1 else True


@pytest.mark.parametrize(
    ("text", "value"), [("yes", True), ("no", False), ("on", True), ("off", False), ("TRUE", True), ("0", False)]
)
def test_boolean_field_accepts_common_words(tmp_path, text, value):
    assert graph.load("docs", [f"finetune.from_scratch={text}"])[0].nodes["finetune"].config["from_scratch"] is value
    path = tmp_path / "mine.yaml"
    path.write_text(f"extends: docs\nnodes: {{finetune: {{config: {{from_scratch: {text}}}}}}}\n")
    assert graph.load(str(path))[0].nodes["finetune"].config["from_scratch"] is value


def test_mapping_setting_follows_same_rules():
    (pipeline,) = graph.load("translate", ["evaluate.options={method: beam, beams: 010, note: no}"])
    assert pipeline.nodes["evaluate"].config["options"] == {"method": "beam", "beams": 10, "note": "no"}


def test_split_separates_settings_in_one_text():
    assert split("finetune.seed=2 pretrain.max_updates=10") == ["finetune.seed=2", "pretrain.max_updates=10"]
    assert split(" prepare_data.source=a b/*.txt  prepare_data.license=CC BY # x ") == [
        "prepare_data.source=a b/*.txt",
        "prepare_data.license=CC BY # x",
    ]
    assert split("prepare_data.source=hf:a/b.c finetune.options={a: 1, b: x=y}") == [
        "prepare_data.source=hf:a/b.c",
        "finetune.options={a: 1, b: x=y}",
    ]
    assert split("") == split("  ") == []


def test_single_set_with_two_settings_is_refused():
    (pipeline,) = graph.load("docs")
    check_single(["prepare_data.license=see x.y=z", "prepare_data.license=a.b=c"], pipeline)
    with pytest.raises(UserError, match="two settings in one; give --set for each"):
        check_single(["prepare_data.license=x finetune.seed=2"], pipeline)


def test_all_errors_are_reported_at_once_without_duplicates(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text("""\
extends: docs
nodes:
  prepare_data: {config: &wrong {seed: soon}}
  pretrain: {config: {<<: *wrong, max_updates: 12:30, dropuot: 0.1}}
  finetune: {config: *wrong, retries: true}
  evaluate: {inputs: {checkpoint: finetun}}
each: {register.alias: [UPPER, lower]}
""")
    with pytest.raises(UserError) as raised:
        graph.load(str(path), ["finetun.seed=1", "seed=2", "evaluate.split=tset"])
    lines = str(raised.value).splitlines()
    expected = [
        "--set seed=2: write node.key=value",
        "finetun.seed: no node 'finetun' in mine; did you mean 'finetune'",
        "mine: nodes 'prepare_data', 'pretrain', 'finetune': parameter seed='soon': ",
        "mine: node 'pretrain': parameter max_updates='12:30': ",
        "mine: node 'pretrain': unknown parameter 'dropuot'; did you mean 'dropout'",
        "mine: node 'finetune': retries must be a whole number",
        "mine: node 'evaluate': input checkpoint: no node 'finetun'",
        "mine: node 'evaluate': parameter split='tset': ",
        "mine: node 'register': parameter alias='UPPER': ",
    ]
    assert len(lines) == len(expected)
    for start in expected:
        assert sum(line.startswith(start) for line in lines) == 1, (start, lines)


def test_parameter_fed_by_node_cannot_be_set():
    with pytest.raises(
        UserError, match="'finetune': parameter checkpoint: node pretrain_halves makes it; change `inputs`"
    ):
        graph.load("docs", ["finetune.checkpoint=elsewhere"])


ABUSE = {
    "each with too many combinations": (
        "extends: docs\neach: {" + ", ".join(f"pretrain.k{i}: [{', '.join('1' * 100)}]" for i in range(3)) + "}",
        "`each` makes 1,000,000 combinations; at most 1,000",
    ),
    "too many nodes": ("nodes: {" + ", ".join(f"n{i}: {{step: prepare_data}}" for i in range(2000)) + "}", "2000 nodes; at most 300"),
    "an alias bomb in nodes": ("nodes:\n  a0: &a0 {config: {x: 1}}\n" + "\n".join(
        f"  a{i}: &a{i} {{config: {{{', '.join(f'k{j}: *a{i - 1}' for j in range(9))}}}}}" for i in range(1, 10)), "aliases written out"),
    "deep nesting in a config": ("nodes: {prepare_data: {config: {license: " + "[" * 3000, "nested more than"),
    "a key twice": ("extends: docs\nnodes: {}\nnodes: {}", "line 3: the key 'nodes' stands twice"),
    "a node twice": ("nodes:\n  prepare_data: {}\n  prepare_data: {config: {seed: 2}}", "line 3: the key 'prepare_data' stands twice"),
    "a parameter twice": ("nodes: {prepare_data: {config: {seed: 1, seed: 2}}}", "the key 'seed' stands twice"),
    "a key that is a number": ("nodes: {1: {step: prepare_data}}", "the key 1 is no text"),
    "extends a list": ("extends: [docs]", "`extends` must be a pipeline's name"),
    "a name no file has": ('extends: "a\\0b.yaml"', "no such file"),
    "a long file": ("description: " + "x" * 300_000, "longer than 256 kB"),
}  # fmt: skip


@pytest.mark.parametrize("kind", ABUSE)
def test_abusive_file_gives_one_line_error(tmp_path, kind):
    text, told = ABUSE[kind]
    (tmp_path / "mine.yaml").write_text(text)
    with pytest.raises(UserError) as raised:
        graph.load(str(tmp_path / "mine.yaml"))
    assert told in str(raised.value)
    assert len(str(raised.value).splitlines()) == 1
    assert len(str(raised.value)) < 600


def test_too_long_extends_chain_is_refused(tmp_path):
    for number in range(40):
        (tmp_path / f"p{number}.yaml").write_text(f"extends: p{number + 1}.yaml")
    with pytest.raises(UserError, match="more than 20 files that extend one another"):
        graph.load(str(tmp_path / "p0.yaml"))


def test_unreadable_or_non_utf8_file_is_refused(tmp_path):
    (tmp_path / "mine.yaml").write_bytes(b"nodes: \xff")
    with pytest.raises(UserError, match="not readable as YAML"):
        graph.load(str(tmp_path / "mine.yaml"))
    (tmp_path / "bom.yaml").write_bytes("\ufeffextends: docs".encode())
    assert graph.load(str(tmp_path / "bom.yaml"))[0].name == "bom"
    (Path(tmp_path) / "folder.yaml").mkdir()
    with pytest.raises(UserError, match="no such file"):
        graph.load(str(tmp_path / "folder.yaml"))
