"""Ask a trained model.

examples:
  python -m tasks.predict var/artifacts/checkpoint/3f2a… "Return the sum of the elements"
  python -m tasks.predict 3f2a "Return the sum" --option method=sample --option top_p=0.9
  python -m tasks.predict 3f2a --file notes.txt            the whole file is one text
  python -m tasks.predict 3f2a --format json < texts.txt   each line is one; one JSON object each comes back
  python -m tasks.predict 3f2a --rows notes.csv --format csv   each row's column `text`, or the lines of a .jsonl
  python -m tasks.predict models:/glassformer-docs@champion "Return the sum" --option top_k=3
  python -m tasks.predict 3f2a cat.png dog.png             a model of images takes their files

MODEL is a checkpoint's folder, a model that MLflow downloaded, how a checkpoint's digest begins, or a registered version
(models:/NAME@ALIAS, models:/NAME/VERSION). Classes are shown in a table with their probabilities; texts that a model writes as they
stand, and while they are written on a terminal.
Exit codes: 0 answered; 1 the model's files are damaged or not there; 2 a wrong question; 75 the registry does not answer.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from artifacts import ArtifactError
from artifacts.store import Store
from command_line import Parser, discard_output, fail
from models.devices import DEVICES, PRECISIONS, Compute
from tasks.lengths import answer_as_frame
from tasks.predict import PredictError, inputs
from tasks.predict.answers import FORMATS, Writer
from tasks.predict.checkpoint_lookup import checkpoint_of
from tasks.predict.inputs import Question
from training.errors import TrainingError

if TYPE_CHECKING:
    from tasks.model import Model
    from tasks.task import Task


def _parser() -> Parser:
    parser = Parser("python -m tasks.predict", __doc__)
    parser.add_argument(
        "model", metavar="MODEL", help="a checkpoint's folder, how its digest begins, or models:/NAME@ALIAS"
    )
    parser.add_argument("texts", metavar="TEXT", nargs="*", help="what is asked (default: each line of standard input)")
    parser.add_argument("--file", action="append", default=[], metavar="F", help="a file whose whole text is asked")
    parser.add_argument(
        "--option", action="append", default=[], metavar="NAME=VALUE", help="of the task: of decoding, say"
    )
    parser.add_argument(
        "--rows", action="append", default=[], metavar="F", help="a .csv or .jsonl whose rows are asked"
    )
    parser.add_argument(
        "--device", choices=DEVICES, default="auto", help="default: auto, cuda where there is one, else cpu"
    )
    parser.add_argument(
        "--precision", choices=PRECISIONS, default="auto", help="default: auto, bfloat16 on a CUDA device that has it"
    )
    parser.add_argument("--format", choices=FORMATS, help="default: table for classes, text for what a model writes")
    parser.add_argument("--json", action="store_const", const="json", dest="format", help="the same as --format json")
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Parse the command line, ask and print. Returns the exit code."""
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]  # text streams, in a program
    try:
        chosen = _parser().parse_intermixed_args(arguments)
        options = dict(_option(text) for text in chosen.option)
        compute = _compute(chosen)
        checkpoint = checkpoint_of(chosen.model, Store.default())
        # Loaded only now: --help and a wrong word answer at once.
        from tasks import load
        from tasks.model import load_model
        from tasks.task import checked_options

        task = load(checkpoint.task)
        checked_options(task.name, task.PredictOptions, options)
        questions = _questions(chosen, task)
        writer = Writer(chosen.format or ("table" if task.endpoint in ("classify", "images") else "text"), task.input)
        model = load_model(checkpoint, compute)
        for some in questions:
            _answer(task, model, some, options, writer)
        if note := writer.note():
            print(f"tasks.predict: {note}", file=sys.stderr)
    except PredictError as error:
        return fail(f"tasks.predict: {error}", error.code)
    except TrainingError as error:
        return fail(f"tasks.predict: {error}", 2)
    except ArtifactError as error:
        return fail(f"tasks.predict: {error}", 1)
    except KeyboardInterrupt:
        return fail("tasks.predict: stopped", 130)
    except BrokenPipeError:  # `| head` has read enough
        discard_output()
    return 0


def _compute(chosen: argparse.Namespace) -> Compute:
    try:
        return Compute.of(chosen.device, chosen.precision)
    except ValueError as error:
        raise PredictError(f"--device {chosen.device} --precision {chosen.precision}: {error}") from None


def _questions(chosen: argparse.Namespace, task: Task) -> Iterator[list[Question]]:
    """All inputs, some at a time."""
    if not (chosen.texts or chosen.file or chosen.rows):
        return inputs.lines(sys.stdin, task.input, 1 if sys.stdin.isatty() else inputs.TOGETHER)
    questions = inputs.questions_from(chosen.texts, chosen.file, task.input)
    rows = [one for path in chosen.rows for one in inputs.rows_of(path, task.input)]
    return iter([part for part in (questions, rows) if part])


def _answer(task: Task, model: Model, questions: Sequence[Question], options: dict[str, Any], writer: Writer) -> None:
    """Print the answers to some inputs: on a terminal in pieces, as far as the task makes them so."""
    if not sys.stdout.isatty() or writer.form != "text":
        _print(task, model, questions, options, writer)
        return
    for one in questions:
        pieces = task.stream(model, one.content, **options)
        if pieces is None:
            _print(task, model, [one], options, writer)
            continue
        for piece in pieces:
            print(piece, end="", flush=True)
        print(flush=True)


def _print(task: Task, model: Model, questions: Sequence[Question], options: dict[str, Any], writer: Writer) -> None:
    answers = answer_as_frame(task, model, [one.content for one in questions], options).to_dict("records")
    for line in writer.lines(questions, answers):
        print(line, flush=True)


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


if __name__ == "__main__":
    sys.exit(main())
