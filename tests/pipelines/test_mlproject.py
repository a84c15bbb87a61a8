"""MLproject, the steps and the fields of their Configs agree."""

import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from pipelines import mlproject
from pipelines.graph import config_class
from pipelines.launch import as_text
from steps.contract import StepConfig
from steps.step import STEPS, load_step

ROOT = Path(__file__).resolve().parents[2]


def test_the_committed_file_is_the_generated_one():
    assert (ROOT / "MLproject").read_text() == mlproject.text(), "run `make mlproject`"


def test_entry_points_are_files_and_their_parameters_fields():
    entry_points = yaml.safe_load((ROOT / "MLproject").read_text())["entry_points"]
    assert set(entry_points) == {"main", *STEPS}
    for step in STEPS:
        assert (ROOT / "steps" / step / "__main__.py").is_file()
        assert set(entry_points[step]["parameters"]) == set(config_class(step).model_fields)
        assert issubclass(config_class(step), StepConfig)
        assert load_step(step).purpose.count("->") == 1, "the first line names inputs and output"


def test_every_parameter_says_what_it_is():
    for step in STEPS:
        for name, field in config_class(step).model_fields.items():
            assert field.description, f"{step}.{name}"


@pytest.mark.parametrize(
    "module", ["pipelines.__main__", "artifacts.__main__", *(f"steps.{step}.config" for step in STEPS)]
)
def test_help_and_plan_load_nothing_heavy(module):
    code = (
        f"import sys, {module}\n"
        "heavy = {'mlflow', 'torch', 'pandas', 'sklearn', 'pyarrow', 'numpy', 'sentencepiece', 'datasets', 'opentelemetry'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    answer = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "[]"


@pytest.mark.parametrize(
    "command", [["pipelines"], ["pipelines", "run"], ["artifacts"], *([f"steps.{step}"] for step in STEPS)]
)
def test_every_command_has_help(command):
    answer = subprocess.run([sys.executable, "-m", *command, "--help"], cwd=ROOT, capture_output=True, text=True)
    assert answer.returncode == 0
    assert "usage: python -m" in answer.stdout


def test_values_on_a_command_line_are_read_back_as_they_were():
    for folders in ([], ["a"], ["a,b", "c d"]):
        config = config_class("evaluate")(corpus="c", checkpoint="k", rivals=folders)
        text = as_text(config.model_dump(mode="json")["rivals"])
        assert config_class("evaluate")(corpus="c", checkpoint="k", rivals=text) == config
    assert as_text([]) == "", "MLproject's default"
