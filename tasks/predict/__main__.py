"""Ask a trained model.

examples:
  python -m tasks.predict var/artifacts/checkpoint/3f2a… "Return the sum of the elements"
  python -m tasks.predict 3f2a "Return the sum" --option method=sample --option top_p=0.9
  python -m tasks.predict 3f2a --file notes.txt            the whole file is one text
  python -m tasks.predict 3f2a --json < texts.txt          each line is one; one JSON object each comes back
  python -m tasks.predict 3f2a cat.png dog.png             a model of images takes their files

MODEL is a checkpoint's folder, a model that MLflow downloaded, or how a checkpoint's digest begins. What a model that
makes sequences says is shown while it is made, if it is shown on a terminal.
Exit codes: 0 answered; 1 the model's files are damaged; 2 a wrong question.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from artifacts import ArtifactError
from artifacts.store import Store
from tasks.predict import PredictError, inputs
from tasks.predict.finding import checkpoint_of
from tasks.predict.inputs import Asked
from training.errors import TrainingError

if TYPE_CHECKING:
    from tasks.model import Model
    from tasks.task import Task


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> Any:
        raise PredictError(f"{message}; see {self.prog} --help")


def _parser() -> argparse.ArgumentParser:
    about, _, more = (__doc__ or "").partition("\n\n")
    parser = _Parser(
        prog="python -m tasks.predict", description=about, allow_abbrev=False, epilog=more,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    parser.add_argument("model", metavar="MODEL", help="a checkpoint's folder, or how its digest begins")
    parser.add_argument("texts", metavar="TEXT", nargs="*", help="what is asked (default: each line of standard input)")
    parser.add_argument("--file", action="append", default=[], metavar="F", help="a file whose whole text is asked")
    parser.add_argument(
        "--option", action="append", default=[], metavar="NAME=VALUE", help="of the task: of decoding, say"
    )
    parser.add_argument("--json", action="store_true", help="one JSON object a line for each input")
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Parse the command line, ask and print. Returns the exit code."""
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]  # text streams, in a program
    try:
        chosen = _parser().parse_intermixed_args(arguments)
        options = dict(_option(text) for text in chosen.option)
        checkpoint = checkpoint_of(chosen.model, Store.default())
        # Loaded only now: --help and a wrong word answer at once.
        from tasks import load
        from tasks.model import load_model
        from tasks.task import checked_options

        task = load(checkpoint.task)
        checked_options(task.name, task.PredictOptions, options)
        asked: Iterator[list[Asked]] = iter([inputs.given(chosen.texts, chosen.file, task.input)])
        if not chosen.texts and not chosen.file:
            asked = inputs.lines(sys.stdin, task.input, 1 if sys.stdin.isatty() else inputs.TOGETHER)
        model = load_model(checkpoint)
        for some in asked:
            _answer(task, model, some, options, as_json=chosen.json)
    except (PredictError, TrainingError) as error:
        return _told(str(error), 2)
    except ArtifactError as error:
        return _told(str(error), 1)
    except KeyboardInterrupt:
        return _told("stopped", 130)
    except BrokenPipeError:  # `| head` has read enough; what is left goes nowhere, so that the end finds no fault
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 0


def _answer(task: Task, model: Model, asked: Sequence[Asked], options: dict[str, Any], *, as_json: bool) -> None:
    """Print the answers to some inputs: on a terminal in pieces, as far as the task makes them so."""
    if sys.stdout.isatty() and not as_json:
        for one in asked:
            pieces = task.stream(model, one.content, **options)
            if pieces is None:
                _print(task, model, [one], options, as_json=False)
                continue
            for piece in pieces:
                print(piece, end="", flush=True)
            print(flush=True)
    else:
        _print(task, model, asked, options, as_json=as_json)


def _print(task: Task, model: Model, asked: Sequence[Asked], options: dict[str, Any], *, as_json: bool) -> None:
    answers = task.predict(model, [one.content for one in asked], **options)
    for one, row in zip(asked, answers.to_dict("records"), strict=True):
        if as_json:
            print(json.dumps({task.input: one.name, **row}, ensure_ascii=False, default=_plain), flush=True)
        else:
            print(row["prediction"], flush=True)


def _plain(value: Any) -> Any:
    """A number or array of numpy as JSON has it."""
    return value.tolist()


def _option(text: str) -> tuple[str, Any]:
    """`name=value`, the value as YAML has it: a number, true, a word."""
    import yaml

    name, equals, value = text.partition("=")
    if not equals:
        raise PredictError(f"--option {text}: write name=value, for instance method=beam")
    try:
        return name.strip(), yaml.safe_load(value)
    except yaml.YAMLError:
        return name.strip(), value


def _told(message: str, code: int) -> int:
    print(f"tasks.predict: {message}", file=sys.stderr)
    return code


if __name__ == "__main__":
    sys.exit(main())
