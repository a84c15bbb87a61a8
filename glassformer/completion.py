"""Completion of `glassformer` in bash, zsh and fish.

examples:
  eval "$(glassformer completion bash)"          in ~/.bashrc
  eval "$(glassformer completion zsh)"           in ~/.zshrc, after compinit
  glassformer completion fish | source           in ~/.config/fish/config.fish

The shell asks the program itself at each TAB, by argcomplete, so that the options are always those of the installed version.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable
from typing import Any

from command_line import Parser, fail
from glassformer.commands import COMMANDS

_MISSING = "completion needs the package argcomplete: pip install 'glassformer[completion]'"


def main() -> int:
    """Print the code of a shell. Returns the exit code."""
    parser = Parser("glassformer completion", __doc__)
    parser.add_argument("shell", choices=("bash", "zsh", "fish"))
    shell = parser.parse_args().shell
    try:
        import argcomplete
    except ModuleNotFoundError:
        return fail(_MISSING, 1)
    print(argcomplete.shellcode(["glassformer"], shell=shell))
    return 0


def answer(run: Callable[..., int]) -> int:
    """Answer the shell, which asks by environment variables; argcomplete ends the process in the command that `run` starts."""
    try:
        import argcomplete
        from argcomplete.lexers import split_line
    except ModuleNotFoundError:
        return 1
    line, point = os.environ["COMP_LINE"], int(os.environ["COMP_POINT"])
    words = split_line(line, point)[3]
    name = words[1] if len(words) > 1 else ""
    if name not in COMMANDS or (name == "step" and len(words) == 2):
        argcomplete.autocomplete(_names(name), always_complete_options=False)
        return 0
    _ask_the_next_parser()
    command = COMMANDS[name]
    given = ("--help",) if name != "step" else tuple(words[2:3])
    if command.words:  # the module's parser reads its own word in place of ours
        inner = " ".join(command.words)
        os.environ["COMP_LINE"] = line.replace(name, inner, 1)
        os.environ["COMP_POINT"] = str(point + len(inner) - len(name))
    else:  # its words begin after ours
        os.environ["_ARGCOMPLETE"] = str(int(os.environ["_ARGCOMPLETE"]) + (2 if name == "step" else 1))
    return run(name, *given)


def _names(current: str) -> argparse.ArgumentParser:
    """A parser that knows the commands alone, and the steps where they are wanted."""
    parser = argparse.ArgumentParser(prog="glassformer")
    parser.add_argument("--version", action="store_true")
    commands = parser.add_subparsers()
    for name, command in COMMANDS.items():
        parser_of_it = commands.add_parser(name, help=command.purpose)
        if name == current == "step":
            from steps.step import STEPS

            parser_of_it.add_argument("step", choices=STEPS)
    return parser


def _ask_the_next_parser() -> None:
    """Let the first parser that reads a command line complete it: the module's own, whatever it is called there."""
    import argcomplete

    original = argparse.ArgumentParser.parse_known_args

    def complete(self: argparse.ArgumentParser, *_: Any, **__: Any) -> Any:
        argparse.ArgumentParser.parse_known_args = original  # type: ignore[method-assign]
        for parser in _with_commands(self):
            for action in parser._actions:
                if action.dest == "pipeline":
                    action.completer = _pipelines  # type: ignore[attr-defined]
        argcomplete.autocomplete(self, always_complete_options=False)

    argparse.ArgumentParser.parse_known_args = complete  # type: ignore[method-assign]


def _with_commands(parser: argparse.ArgumentParser) -> list[argparse.ArgumentParser]:
    parsers = [parser]
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            parsers += action.choices.values()
    return parsers


def _pipelines(prefix: str, **_: Any) -> list[str]:
    from argcomplete.completers import FilesCompleter

    from pipelines.graph import available

    return [*available(), *FilesCompleter(("yaml", "yml"))(prefix)]


if __name__ == "__main__":
    sys.exit(main())
