"""The command `glassformer`: runs the module behind a command as `python -m MODULE` does.

Nothing of ours is loaded before the command is known, so that `glassformer --help` and completion answer at once.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Collection, Sequence

from glassformer import PROJECT
from glassformer.commands import COMMANDS, GROUPS, Command, use_command_names


def main(arguments: Sequence[str] | None = None) -> int:
    """Find the command and run it. Returns the exit code, unless the module behind it exits itself."""
    sys.path.insert(0, str(PROJECT))  # before other packages that may have the names of ours
    if "_ARGCOMPLETE" in os.environ:
        from glassformer import completion

        return completion.answer(run)
    words = list(sys.argv[1:] if arguments is None else arguments)
    if not words or words[0] in ("-h", "--help", "help"):
        print(_help())
        return 0 if words else 2
    if words[0] == "--version":
        print(f"glassformer {_version()}")
        return 0
    return run(*words)


def run(name: str, *words: str) -> int:
    """Run one command in this process."""
    command = COMMANDS.get(name)
    if command is None:
        return _fail_unknown("command", name, COMMANDS)
    if name == "step":
        from steps.step import STEPS

        if not words or words[0] in ("-h", "--help"):
            print(f"usage: glassformer step STEP [--help] ...\n\nsteps: {', '.join(STEPS)}")
            return 0 if words else 2
        if words[0] not in STEPS:
            return _fail_unknown("step", words[0], STEPS)
        command, words = Command(f"steps.{words[0]}", ""), words[1:]
    name_programs(name, command)
    sys.argv = [name, *command.words, *words]
    import runpy

    try:
        runpy.run_module(command.module, run_name="__main__", alter_sys=True)
    except BrokenPipeError:  # `| head` has read enough
        from command_line import discard_output

        discard_output()
    return 0


def name_programs(name: str, command: Command) -> None:
    """Let every parser that is made from now on name the program as it was called: usage, examples, errors."""
    from command_line import Parser

    inner = f"glassformer {' '.join(command.words)}"

    def rename(text: str) -> str:
        shown = use_command_names(text)
        return f"glassformer {name}" if command.words and shown == inner else shown

    Parser.rename = staticmethod(rename)


def _help() -> str:
    lines = ["usage: glassformer COMMAND ...", "", "Train transformers you can see through.", ""]
    for group, commands in GROUPS.items():
        lines += [f"{group}:", *(f"  {name:12} {command.purpose}" for name, command in commands.items()), ""]
    lines += [
        "Each command is a module: `glassformer COMMAND --help` shows its options. Our state (artifacts, logs, telemetry) lies",
        "in var/ of the checkout, or of the current folder where Glassformer was installed as a package; or where",
        "GLASSFORMER_HOME says.",
    ]
    return "\n".join(lines)


def _fail_unknown(kind: str, name: str, known: Collection[str]) -> int:
    from command_line import fail, nearest

    return fail(f"glassformer: no {kind} {name!r}{nearest(name, known)}", 2)


def _version() -> str:
    import tomllib

    project: dict[str, str] = tomllib.loads((PROJECT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return project["version"]


if __name__ == "__main__":
    sys.exit(main())
