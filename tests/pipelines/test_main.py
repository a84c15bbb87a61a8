"""The command line: a mistake is one line on stderr and exit code 2, before anything runs."""

import subprocess
import sys

import pytest

from pipelines.__main__ import main
from tests.pipeline_home import ROOT, Home


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["run", "tiny", "--set", "pretrain.seeed=1"], "unknown parameter 'seeed'; did you mean 'seed'"),
        (["run", "tiny", "--set", "pretrain.dropout=2"], "parameter dropout=2"),
        (["run", "tyni"], "no pipeline 'tyni'; did you mean 'tiny'"),
        (["run", "tiny", "--from", "fintune"], "--from fintune: no such node in tiny; did you mean 'finetune'"),
        (["run", "tiny", "--force", "all"], "--force all: no such node"),
        (["run", "tiny", "--jobs", "0"], "--jobs 0: must be at least 1"),
        (["run"], "required: pipeline"),
        (["plan", "tiny", "--jason"], "unrecognized arguments: --jason"),
        (["walk"], "invalid choice: 'walk'"),
    ],
)
def test_invalid_arguments_give_one_line_error(tmp_path, arguments, told):
    home = Home(tmp_path)
    done = subprocess.run(
        [sys.executable, "-m", "pipelines", *arguments], cwd=ROOT, env=home.environment, capture_output=True, text=True
    )
    assert done.returncode == 2
    assert told in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert done.stdout == ""
    assert not home.state.exists(), "nothing ran"


def test_missing_source_is_reported_before_running(tmp_path):
    home = Home(tmp_path)
    output = home.run("run", "tiny", "--set", f"prepare_data.source={tmp_path}/none*.csv", expect=2)
    assert "no such file; give a path or glob" in output
    assert "Traceback" not in output


@pytest.mark.parametrize("command", ["", "run", "plan", "show", "list", "runs"])
def test_help_has_examples_of_the_command_and_exit_codes(command, capsys):
    with pytest.raises(SystemExit) as ended:
        main([*([command] if command else []), "--help"])
    assert ended.value.code == 0
    _, _, after = capsys.readouterr().out.partition("\nexamples:\n")
    examples, _, codes = after.partition("\n\nexit codes:\n")
    assert examples
    assert all(
        line.startswith(f"  python -m pipelines {command}".rstrip() + " ") or line.split()[-1] == command
        for line in examples.splitlines()
    )
    assert [line.split()[0].rstrip(",") for line in codes.splitlines()] == ["0", "1", "2", "75", "130"]
