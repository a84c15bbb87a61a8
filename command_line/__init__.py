"""The command line of every program: one parser, one line for a mistake, the nearest known word. It loads argparse alone."""

from __future__ import annotations

import argparse
import atexit
import os
import sys
import threading
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from typing import Any, NoReturn


class Parser(argparse.ArgumentParser):
    """A parser whose help is a program's docstring: its first paragraph above the options, the rest below them.

    A mistake ends the program with one line and exit code 2. Options are not abbreviated; so are those of its commands.
    """

    # How the user calls programs that our texts call `python -m MODULE`
    rename: Callable[[str], str] = staticmethod(str)

    def __init__(self, prog: str | None = None, docstring: str | None = "", **settings: Any) -> None:
        purpose, _, more = (docstring or "").partition("\n\n")
        chosen = {"description": purpose, "epilog": more, "allow_abbrev": False, **settings}
        super().__init__(prog, formatter_class=argparse.RawDescriptionHelpFormatter, **chosen)
        self.prog = self.rename(self.prog)
        self.description, self.epilog = self.rename(self.description or ""), self.rename(self.epilog or "")

    def parse_args(self, args: Any = None, namespace: Any = None) -> Any:
        """The options. An unknown one is an error that names the nearest one."""
        return self._complete(args, *self.parse_known_args(args, namespace))

    def parse_intermixed_args(self, args: Any = None, namespace: Any = None) -> Any:
        """The same, where options may stand between the words."""
        return self._complete(args, *self.parse_known_intermixed_args(args, namespace))

    def error(self, message: str) -> NoReturn:
        """End the program."""
        sys.exit(fail(f"{self.prog.removeprefix('python -m ')}: {message}; see {self.prog} --help", 2))

    def _complete(self, args: Sequence[str] | None, options: argparse.Namespace, unknown: Sequence[str]) -> Any:
        if unknown:
            self._command(sys.argv[1:] if args is None else args)._refuse(unknown)
        return options

    def _refuse(self, unknown: Sequence[str]) -> NoReturn:
        # Their values are not shown: what is unknown may be a secret.
        names = [word.partition("=")[0] for word in unknown if word.startswith("-")]
        known = [name[2:] for action in self._actions for name in action.option_strings if name.startswith("--")]
        hint = nearest(names[0].lstrip("-"), known) if names else "; give each value by its option"
        self.error(f"unrecognized arguments: {' '.join(names) or '(no option before them)'}{hint}")

    def _command(self, args: Sequence[str]) -> Parser:
        """The parser of the chosen command, or this one if there are no commands."""
        for action in self._actions:
            if isinstance(action, argparse._SubParsersAction):
                return next((action.choices[word]._command(args) for word in args if word in action.choices), self)
        return self


def nearest(wrong: str, known: Collection[str]) -> str:
    """`; did you mean 'X'?` for the nearest of the known names, else a list of them."""
    import difflib

    close = difflib.get_close_matches(wrong, known, n=1, cutoff=0.5)
    return f"; did you mean {close[0]!r}?" if close else f"; known: {', '.join(known)}"


def number(text: str) -> int:
    """A whole number from 1 on, as the type of an option."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no number from 1 on")
    return int(text)


def fail(line: str, code: int) -> int:
    """Print an error without credentials. Returns the exit code."""
    from redaction import redact

    print(redact(line), file=sys.stderr)
    return code


def show(text: str) -> None:
    """Print a program's answer. A character that the terminal lacks, or a reader that has enough (`| head`), is no error."""
    sys.stdout.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]  # a text stream, in a program
    try:
        print(text, flush=True)
    except BrokenPipeError:
        discard_output()


def discard_output() -> None:
    """Let nothing more reach a reader that has gone: the interpreter's end would find a fault in it."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def leave(code: int) -> NoReturn:
    """End this process with what was registered for its end, and without taking its modules apart: after PyTorch that takes
    a second of a core."""
    threading._shutdown()  # type: ignore[attr-defined]  # waits for threads, pools' included, as Python does first
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):  # nobody reads it any more, or it is closed
            stream.flush()
    os._exit(code)
