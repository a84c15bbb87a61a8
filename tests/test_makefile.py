"""What the commands of the Makefile start, with a stub in place of the environment."""

import os
import shutil
import subprocess

import pytest

from tests.pipeline_home import ROOT


@pytest.fixture
def make(tmp_path):
    """Runs make in a folder that holds the Makefile and an environment whose programs print their arguments."""
    shutil.copy(ROOT / "Makefile", tmp_path)
    (tmp_path / "deploy").mkdir()
    (tmp_path / "deploy" / "setup.sh").write_text("exit 3\n")
    (tmp_path / "requirements.lock").write_text("")
    programs = tmp_path / "bin"
    programs.mkdir()
    for name in ("python", "mlflow"):
        (programs / name).write_text('#!/bin/sh\nprintf "<%s>\\n" "$@"\n')
        (programs / name).chmod(0o755)
    (tmp_path / "ready").write_text("")

    def run(*arguments):
        environment = {
            name: value for name, value in os.environ.items() if name not in ("MAKEFLAGS", "SET", "PIPELINE")
        }
        done = subprocess.run(
            ["make", "--no-print-directory", "BIN=./bin", "READY=ready", *arguments],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            check=True,
        )
        return done.stdout.replace("<", "").replace(">", "").splitlines()

    return run


def test_run_passes_all_settings_as_one_argument(make):
    assert make("run") == ["-m", "pipelines", "run", "docs", "--promote"]
    settings = 'finetune.seed=2 prepare_data.source=data/run #2/it\'s "*".csv prepare_data.license=`CC` \\ ; (x)'
    assert make("run", "PIPELINE=tiny", f"SET={settings}") == [
        "-m", "pipelines", "run", "tiny", "--promote", "--settings", settings,
    ]  # fmt: skip
    assert make("plan", "SET=finetune.seed=2") == ["-m", "pipelines", "plan", "docs", "--settings", "finetune.seed=2"]


def test_doubled_dollar_in_settings_becomes_one_dollar(make):
    assert make("run", "SET=prepare_data.license=5 $$ a copy")[-1] == "prepare_data.license=5 $ a copy"


def test_ui_has_one_worker(make):
    assert " ".join(make("ui")).endswith("--workers 1")
