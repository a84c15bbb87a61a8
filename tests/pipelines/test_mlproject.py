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


def test_committed_mlproject_matches_generated_text():
    assert (ROOT / "MLproject").read_text() == mlproject.text(), "run `make mlproject`"


def test_entry_points_match_steps_and_their_config_fields():
    entry_points = yaml.safe_load((ROOT / "MLproject").read_text())["entry_points"]
    assert set(entry_points) == {"main", *STEPS}
    for step in STEPS:
        assert (ROOT / "steps" / step / "__main__.py").is_file()
        assert set(entry_points[step]["parameters"]) == set(config_class(step).model_fields)
        assert issubclass(config_class(step), StepConfig)
        assert load_step(step).purpose.count("->") == 1, "the first line names inputs and output"


def test_every_parameter_has_description():
    for step in STEPS:
        for name, field in config_class(step).model_fields.items():
            assert field.description, f"{step}.{name}"


@pytest.mark.parametrize(
    "module", ["pipelines.__main__", "artifacts.__main__", *(f"steps.{step}.config" for step in STEPS)]
)
def test_command_modules_import_no_heavy_packages(module):
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


def test_list_values_round_trip_through_command_line_text():
    for folders in ([], ["a"], ["a,b", "c d"]):
        config = config_class("evaluate")(corpus="c", checkpoint="k", rivals=folders)
        text = as_text(config.model_dump(mode="json")["rivals"])
        assert config_class("evaluate")(corpus="c", checkpoint="k", rivals=text) == config
    assert as_text([]) == "", "MLproject's default"
