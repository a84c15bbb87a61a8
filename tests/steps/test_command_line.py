"""A step's options, from its Config: errors that name the parameter, and help that names units and bounds."""

import re
from typing import Literal

import pytest
from pydantic import Field

from artifacts.errors import UserError
from pipelines.launch import as_text
from steps import command_line
from steps.contract import Folders, Options, StepConfig, ThreadedConfig, artifact, options, task


class Config(StepConfig):
    corpus: str = artifact("corpus", "Corpus to read")
    scratch: str = artifact("checkpoint", "Checkpoint to compare with", optional=True)
    rivals: Folders = artifact("checkpoint", "Others to compare with", many=True)
    task: str = task("classification")
    learning_rate: float = Field(0.001, gt=0, le=1, description="Highest learning rate")
    kind: Literal["unigram", "bpe"] = Field("unigram", description="Kind of model")
    from_scratch: bool = Field(False, description="Without the pretrained weights")


def parse(*arguments):
    return command_line.parse("finetune", "Fine-tune.", Config, arguments)


def test_parser_reads_every_kind_of_value():
    config = parse("--corpus", "c", "--learning_rate", "1e-4", "--from_scratch", "true", "--kind", "bpe")
    assert (config.corpus, config.scratch, config.learning_rate, config.from_scratch) == ("c", "", 1e-4, True)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "parameter 'corpus' is missing: Corpus to read"),
        (["--corpus", "c", "--learning_rate", "fast"], "parameter learning_rate='fast': .*number"),
        (["--corpus", "c", "--learning_rate", "2"], "parameter learning_rate=2: .*less than or equal to 1"),
        (["--corpus", "c", "--kind", "word"], "parameter kind='word': .*'unigram' or 'bpe'"),
        (["--corpus", "c", "--learning_rate", "nan"], "parameter learning_rate"),
    ],
)
def test_invalid_parameter_error_is_one_line_with_exit_code_2(arguments, message):
    with pytest.raises(UserError, match=message) as raised:
        parse(*arguments)
    assert raised.value.exit_code == 2
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--corpus", "c", "--learning_rat", "1"], "--learning_rat; did you mean 'learning_rate'?"),
        (["--corpus", "c", "hunter2"], "(no option before them); give each value by its option"),
    ],
)
def test_unknown_option_error_is_one_line_with_exit_code_2(arguments, told, capsys):
    with pytest.raises(SystemExit) as ended:
        parse(*arguments)
    line = f"steps.finetune: unrecognized arguments: {told}; see python -m steps.finetune --help\n"
    assert (ended.value.code, capsys.readouterr().err) == (2, line)


def test_error_names_all_invalid_parameters_at_once():
    with pytest.raises(UserError) as raised:
        parse("--learning_rate", "fast", "--kind", "word", "--from_scratch", "perhaps")
    told = str(raised.value)
    for problem in ("'corpus' is missing", "learning_rate='fast'", "kind='word'", "from_scratch='perhaps'"):
        assert problem in told
    assert "\n" not in told


class Union(StepConfig):
    threshold: float | Literal["off"] = Field(0.8, description="Above which texts are the same")


def test_union_field_error_names_the_parameter_once():
    with pytest.raises(UserError, match=r"^parameter threshold='of': .*number.* or .*'off'") as raised:
        command_line.parse("prepare_data", "Prepare.", Union, ["--threshold", "of"])
    assert str(raised.value).count("threshold") == 1
    assert command_line.parse("prepare_data", "Prepare.", Union, ["--threshold", "off"]).threshold == "off"


class Asked(StepConfig):
    options: Options = options()


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("{method: no, size: 010, at: 12:30, rate: 1e-5}", {"method": "no", "size": 10, "at": "12:30", "rate": 1e-5}),
        ('{"rate": 1e-05, "face": "\\ud83d\\ude00"}', {"rate": 1e-5, "face": "\U0001f600"}),
        ("", {}),
        ("{}", {}),
    ],
)
def test_options_are_parsed_and_round_trip(text, value):
    config = command_line.parse("evaluate", "Evaluate.", Asked, ["--options", text])
    assert config.options == value
    assert command_line.parse("evaluate", "Evaluate.", Asked, ["--options", as_text(config.options)]) == config


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("{a: 1, a: 2}", "'a' stands twice"),
        ('{"a": 1, "a": 2}', "'a' stands twice"),
        ("{1: x}", "the key 1 is no text"),
        ('{"a": NaN}', "NaN is no number"),
        ("{a: 1e999}", "1e999 is beyond"),
        ("[" * 5000, "write a mapping"),
        ('{"a":' * 5000, "write a mapping"),
        ("5", "valid dictionary"),
        ("{a: &a [*a]}", "refers to a part that contains it"),
    ],
)
def test_invalid_options_error_is_one_line(text, told):
    with pytest.raises(UserError, match=re.escape(told)) as raised:
        command_line.parse("evaluate", "Evaluate.", Asked, ["--options", text])
    assert "\n" not in str(raised.value)
    assert len(str(raised.value)) < 700


@pytest.mark.parametrize(("text", "threads"), [("3", 3), ("003", 3), (" 4 ", 4)])
def test_threads_are_parsed_as_decimal(text, threads):
    assert ThreadedConfig(threads=text).threads == threads
    assert ThreadedConfig(threads="00").threads == ThreadedConfig().threads
    with pytest.raises(ValueError, match="threads"):
        ThreadedConfig(threads="")


def test_help_names_bounds_defaults_and_examples(capsys):
    with pytest.raises(SystemExit) as ended:
        parse("--help")
    shown = " ".join(capsys.readouterr().out.split())
    assert ended.value.code == 0
    assert "Highest learning rate (above 0, at most 1, default: 0.001)" in shown
    assert "--corpus FOLDER" in shown
    assert "mlflow run . -e finetune" in shown


def test_config_lists_artifact_inputs_and_modules():
    assert Config.artifact_inputs() == {"corpus": "corpus", "scratch": "checkpoint", "rivals": "checkpoint"}
    assert Config.required_inputs() == {"corpus"}
    assert Config.inputs_with_many() == {"rivals"}
    assert Config.chosen_modules() == {"task": "tasks.{}.task"}


def test_zero_threads_resolve_to_the_number_used():
    assert ThreadedConfig().threads >= 1
    assert ThreadedConfig(threads=0).threads == ThreadedConfig(threads="0").threads == ThreadedConfig().threads
    assert ThreadedConfig(threads=3).threads == 3


@pytest.mark.parametrize(
    ("text", "folders"), [("", ()), ("a", ("a",)), ("a, b/c,", ("a", "b/c")), ('["a,b", "c"]', ("a,b", "c"))]
)
def test_multi_folder_input_accepts_comma_list_or_json_list(text, folders):
    assert parse("--corpus", "c", "--rivals", text).rivals == folders


def test_multi_folder_input_has_one_entry_per_folder():
    config = Config.with_inputs({"corpus": "c", "rivals.0": "a", "rivals.1": "b"}, learning_rate=0.1)
    assert config == parse("--corpus", "c", "--rivals", "a,b", "--learning_rate", "0.1")
    assert config.given_inputs() == {
        "corpus": ("c", "corpus"),
        "rivals.0": ("a", "checkpoint"),
        "rivals.1": ("b", "checkpoint"),
    }


@pytest.mark.parametrize(("text", "message"), [("[a", "folders with commas between"), ('["a", ""]', "rivals.1")])
def test_invalid_folder_list_is_rejected(text, message):
    with pytest.raises(UserError, match=message):
        parse("--corpus", "c", "--rivals", text)


def test_help_shows_multi_folder_inputs(capsys):
    with pytest.raises(SystemExit):
        parse("--help")
    assert "--rivals FOLDER,... Others to compare with (default: (empty))" in " ".join(capsys.readouterr().out.split())
