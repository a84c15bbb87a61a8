"""The parser of all programs: one line for a mistake, which names the nearest option and hides values."""

import subprocess
import sys

import pytest

from artifacts.home import CHECKOUT
from command_line import Parser, nearest, number


def parser():
    made = Parser("python -m tea", "Read the tea leaves.\n\nexamples:\n  python -m tea brew --leaves 3\n")
    commands = made.add_subparsers(required=True)
    brew = commands.add_parser("brew", docstring="Brew it.\n\nexamples:\n  none\n")
    brew.add_argument("--leaves", type=number)
    brew.add_argument("--kettle")
    commands.add_parser("pour").add_argument("cup", nargs="*")
    return made


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (
            ["brew", "--leafs", "3"],
            "tea brew: unrecognized arguments: --leafs; did you mean 'leaves'?; see python -m tea brew --help",
        ),
        (
            ["brew", "--token=hunter2"],
            "tea brew: unrecognized arguments: --token; known: help, leaves, kettle; see python -m tea brew --help",
        ),
        (
            ["brew", "--xyz", "hunter2"],
            "tea brew: unrecognized arguments: --xyz; known: help, leaves, kettle; see python -m tea brew --help",
        ),
        (
            ["brew", "hunter2"],
            "tea brew: unrecognized arguments: (no option before them); give each value by its option; see python -m tea brew --help",
        ),
        (
            ["brew", "--lea", "3"],
            "tea brew: unrecognized arguments: --lea; did you mean 'leaves'?; see python -m tea brew --help",
        ),
        (
            ["brew", "--leaves", "0"],
            "tea brew: argument --leaves: '0' is no number from 1 on; see python -m tea brew --help",
        ),
        ([], "tea: the following arguments are required: {brew,pour}; see python -m tea --help"),
    ],
)
def test_usage_error_is_one_line_with_exit_code_2(words, told, capsys):
    with pytest.raises(SystemExit) as ended:
        parser().parse_args(words)
    out, err = capsys.readouterr()
    assert (ended.value.code, out, err) == (2, "", f"{told}\n")


def test_usage_error_hides_credentials(capsys):
    with pytest.raises(SystemExit):
        parser().parse_args(["brew", "--leaves", "https://user:hunter2@example.org"])
    assert "hunter2" not in capsys.readouterr().err


def test_options_are_accepted_between_positional_arguments():
    made = Parser("tea")
    made.add_argument("cups", nargs="*")
    made.add_argument("--milk", action="store_true")
    chosen = made.parse_intermixed_args(["a", "--milk", "b"])
    assert (chosen.cups, chosen.milk) == (["a", "b"], True)
    with pytest.raises(SystemExit):
        made.parse_intermixed_args(["a", "--silk", "b"])


def test_help_prints_the_docstring(capsys):
    for words, start, end in (
        ([], "Read the tea leaves.", "python -m tea brew --leaves 3\n"),
        (["brew"], "Brew it.", "\n  none\n"),
    ):
        with pytest.raises(SystemExit):
            parser().parse_args([*words, "--help"])
        out = capsys.readouterr().out
        assert out.startswith(f"usage: {' '.join(['python -m tea', *words])} ")
        assert start in out
        assert out.endswith(end)


def test_nearest_suggests_similar_name_or_lists_known_ones():
    assert nearest("tranin", ["train", "test"]) == "; did you mean 'train'?"
    assert nearest("xyzzy", ["train", "test"]) == "; known: train, test"


def test_output_survives_any_character_and_a_closed_pipe():
    program = "from command_line import show; show('ä\\n' * 100_000)"
    done = subprocess.run(
        f'PYTHONIOENCODING=ascii {sys.executable} -c "{program}" | head -1',
        shell=True,
        cwd=CHECKOUT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert (done.stdout, done.stderr) == ("\\xe4\n", "")


def test_importing_command_line_loads_no_heavy_modules():
    program = "import sys; before = set(sys.modules); import command_line; print(*sorted(set(sys.modules) - before))"
    loaded = subprocess.run([sys.executable, "-c", program], cwd=CHECKOUT, capture_output=True, text=True, check=True)
    assert not {"redaction", "difflib", "artifacts", "pydantic"} & set(loaded.stdout.split())
