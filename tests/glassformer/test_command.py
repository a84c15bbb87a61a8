"""The command `glassformer`: its help, the programs behind it, their exit codes, and completion."""

import os
import re
import subprocess
import sys

import pytest

from artifacts.home import CHECKOUT
from glassformer.commands import COMMANDS, use_command_names
from pipelines.graph import available
from steps.step import STEPS

TAKES_A_WORD = {"step": ["step", "pretrain"]}


def glassformer(*words, folder=CHECKOUT, **environment):
    return subprocess.run(
        [sys.executable, "-m", "glassformer", *words],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"PYTHONPATH": str(CHECKOUT), **environment},
    )


def test_help_lists_every_command_without_heavy_imports():
    program = (
        "import sys; from glassformer.__main__ import main; code = main(['--help']);"
        "print({'numpy', 'pydantic', 'mlflow', 'torch', 'yaml'} & set(sys.modules), code)"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=CHECKOUT, capture_output=True, text=True, check=True)
    *lines, last = done.stdout.splitlines()
    assert last == "set() 0"
    assert {line.split()[0] for line in lines if re.match(r"  \w", line)} == set(COMMANDS)


@pytest.mark.parametrize("name", COMMANDS)
def test_command_help_uses_the_command_name(name):
    words = TAKES_A_WORD.get(name, [name])
    done = glassformer(*words, "--help")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"usage: glassformer {' '.join(words)} ")
    assert use_command_names(done.stdout) == done.stdout, "names a program by its module"


def test_module_names_are_replaced_by_command_names():
    assert use_command_names("python -m pipelines run docs") == "glassformer run docs"
    assert use_command_names("python -m pipelines show docs") == "glassformer graph docs"
    assert use_command_names("python -m tasks.why --run 3f2a") == "glassformer why --run 3f2a"
    assert use_command_names("python -m steps.pretrain --help") == "glassformer step pretrain --help"
    assert use_command_names("python -m artifacts gc --yes") == "glassformer artifacts gc --yes"
    assert use_command_names("python -m benchmarks.launch") == "python -m benchmarks.launch"


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["plann", "tiny"], "glassformer: no command 'plann'; did you mean 'plan'?"),
        (["step", "pretran"], "glassformer: no step 'pretran'; did you mean 'pretrain'?"),
        (["step", "xyzzy"], f"glassformer: no step 'xyzzy'; known: {', '.join(STEPS)}"),
    ],
)
def test_unknown_command_or_step_error_suggests_known_names(words, told):
    done = glassformer(*words)
    assert (done.returncode, done.stdout, done.stderr) == (2, "", f"{told}\n")


def test_missing_command_prints_the_help():
    assert glassformer().returncode == 2
    assert glassformer().stdout == glassformer("--help").stdout
    assert re.fullmatch(r"glassformer \d+\.\d+\.\d+\n", glassformer("--version").stdout)


def test_exit_codes_and_errors_match_the_module():
    done = glassformer("plan", "tiny", "--set", "nothing")
    module = subprocess.run(
        [sys.executable, "-m", "pipelines", "plan", "tiny", "--set", "nothing"],
        cwd=CHECKOUT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (module.returncode, module.stderr)
    done = glassformer("graph", "--nothing")
    assert (done.returncode, done.stderr.endswith("see glassformer graph --help\n")) == (2, True)


def test_sources_are_relative_to_the_calling_folder(tmp_path):
    (tmp_path / "mine.csv").write_text("text,topic\n" + "a text of some length that is kept,one\n" * 3)
    home = {"GLASSFORMER_HOME": str(tmp_path / "var")}
    settings = ["--set", "prepare_data.source=*.csv", "--set", "prepare_data.label_column=topic"]
    done = glassformer("plan", "classify", *settings, folder=tmp_path, **home)
    assert done.returncode == 0, done.stderr
    assert "mine.csv" not in done.stderr


def completions(line, tmp_path):
    told = tmp_path / "told"
    done = glassformer(
        _ARGCOMPLETE="1",
        _ARGCOMPLETE_IFS="\n",
        _ARGCOMPLETE_STDOUT_FILENAME=str(told),
        COMP_LINE=line,
        COMP_POINT=str(len(line)),
        COMP_TYPE="9",
    )
    assert done.returncode == 0, done.stderr
    return [word.strip() for word in told.read_text().split("\n")]


def test_completion_offers_commands_options_steps_and_pipelines(tmp_path):
    pytest.importorskip("argcomplete")
    assert set(completions("glassformer ", tmp_path)) >= set(COMMANDS)
    assert completions("glassformer pl", tmp_path) == ["plan"]
    assert set(completions("glassformer graph ", tmp_path)) >= set(available())
    assert completions("glassformer run tiny --dry", tmp_path) == ["--dry-run"]
    assert completions("glassformer predict --opt", tmp_path) == ["--option"]
    assert set(completions("glassformer step ", tmp_path)) >= set(STEPS)
    assert completions("glassformer step pretrain --max_up", tmp_path) == ["--max_updates"]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_shell_completion_code_calls_glassformer(shell):
    pytest.importorskip("argcomplete")
    done = glassformer("completion", shell)
    assert done.returncode == 0
    assert "glassformer" in done.stdout
    assert "_ARGCOMPLETE" in done.stdout


def test_bash_registers_the_completion_code(tmp_path):
    pytest.importorskip("argcomplete")
    code = tmp_path / "code"
    code.write_text(glassformer("completion", "bash").stdout)
    done = subprocess.run(
        ["bash", "-c", f". {code}; complete -p glassformer"], capture_output=True, text=True, check=True
    )
    assert "_python_argcomplete" in done.stdout
