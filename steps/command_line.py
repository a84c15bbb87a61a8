"""A step's command line, made from its Config: one option a field, `--help` with units, ranges and an example."""

from __future__ import annotations

import argparse
import itertools
import os
import re
import types
import typing
from collections.abc import Sequence
from typing import Any

from pydantic import ValidationError
from pydantic.fields import FieldInfo

from artifacts.errors import UserError
from command_line import Parser, nearest
from redaction import redact
from steps.contract import StepConfig
from telemetry import log_lines

LOG_FORMAT = "log format"  # no name that a Config's field can have
EXIT_CODES = """\
exit codes:
  0         done
  1         an error, named in one line
  2         a wrong configuration; nothing was started
  75        a temporary error, such as a tracking server that is away: run the same command later
  130, 143  interrupted by Ctrl-C or SIGTERM: run the same command to resume"""
_BOUNDS = {"ge": "at least", "gt": "above", "le": "at most", "lt": "below"}


def parse(step: str, purpose: str, config: type[StepConfig], arguments: Sequence[str]) -> StepConfig:
    """Read a Config from the command line. UserError (exit 2) names every wrong parameter and its valid values."""
    values = vars(_parser(step, purpose, config).parse_args(arguments))
    choose_log_format(values.pop(LOG_FORMAT))
    try:
        return config(**{name: value for name, value in values.items() if value is not None})
    except ValidationError as error:
        raise UserError("; ".join(problems_in(error, config)), 2) from None


def add_log_format(parser: argparse.ArgumentParser) -> None:
    """`--log-format`, which every command has that runs something."""
    parser.add_argument(
        "--log-format",
        choices=[*log_lines.FORMATS, ""],
        default="",
        metavar="|".join(log_lines.FORMATS),
        dest=LOG_FORMAT,
        help=f"of the log on standard error (default: ${log_lines.VARIABLE}, else auto: text, in colours on a terminal)",
    )


def choose_log_format(form: str) -> None:
    """Let this process and its children write their log in a form; an empty one leaves it as it is."""
    if form:
        os.environ[log_lines.VARIABLE] = form


def problems_in(error: ValidationError, config: type[StepConfig]) -> list[str]:
    """All errors of a config, each a sentence that names the parameter and its valid values."""
    found: dict[str, list[str]] = {}
    for problem in error.errors():
        # A field that takes this or that has a problem with each: one sentence.
        sentence = _sentence(problem, config)
        start, _, rest = sentence.partition(": ")
        texts = found.setdefault(start, [])
        if rest not in texts:
            texts.append(rest)
    return [f"{start}: {' or '.join(texts)}" if any(texts) else start for start, texts in found.items()]


def _sentence(problem: Any, config: type[StepConfig]) -> str:
    # After the field come places in a list, and which type of a union it is that does not fit.
    name = ".".join(map(str, itertools.takewhile(lambda part: not isinstance(part, str), problem["loc"][1:])))
    name = ".".join(filter(None, [str(problem["loc"][0]), name])) if problem["loc"] else "config"
    if problem["type"] == "extra_forbidden":
        return f"unknown parameter {name!r}{nearest(name, config.model_fields)}"
    if problem["type"] == "missing":
        return f"parameter {name!r} is missing: {config.model_fields[name].description}"
    message = " ".join(str(problem["msg"]).removeprefix("Value error, ").split())
    if name == "config":
        return f"parameter {name}: {message}"
    field = config.model_fields.get(name)
    if problem["input"] is None and field and takes_text(field):
        return f"parameter {name}=null: must be text; put it in quotes if the word is meant, '' for none"
    value = problem["input"]
    # Without credentials before it is cut: half of one would not be known as one.
    shown = value if isinstance(value, str) and re.fullmatch(r"[-+.\d]+", value) else str(redact(repr(value)))
    return f"parameter {name}={shown if len(shown) < 200 else f'{shown[:200]}…'}: {message}"


def takes_text(field: FieldInfo) -> bool:
    """Whether any text is a value of this field, or some words are, and no number is."""
    kinds = [field.annotation]
    if isinstance(field.annotation, types.UnionType) or typing.get_origin(field.annotation) is typing.Union:
        kinds = list(typing.get_args(field.annotation))
    return all(kind in (str, type(None)) or typing.get_origin(kind) is typing.Literal for kind in kinds)


def _parser(step: str, purpose: str, config: type[StepConfig]) -> Parser:
    required = [f"--{name} FOLDER" for name in sorted(config.required_inputs())]
    shown = [*([" ".join(required)] if required or not config.examples else []), *config.examples]
    parser = Parser(
        f"python -m steps.{step}",
        f"{purpose}\n\nexamples:\n"
        + "".join(f"  python -m steps.{step} {arguments}".rstrip() + "\n" for arguments in shown)
        + f"  mlflow run . -e {step} --env-manager local"
        + re.sub(r"--(\w+) (\S+)", r" -P \1=\2", shown[0]).replace("  ", " ")
        + f"\n\n{EXIT_CODES}",
    )
    add_log_format(parser)
    for name, field in config.model_fields.items():
        parser.add_argument(f"--{name}", metavar=_metavar(field), help=_help(field).replace("%", "%%"))
    return parser


def _metavar(field: FieldInfo) -> str:
    if isinstance(field.json_schema_extra, dict) and "artifact" in field.json_schema_extra:
        return "FOLDER,..." if field.json_schema_extra.get("many") else "FOLDER"
    annotation = field.annotation
    if typing.get_origin(annotation) is typing.Literal:
        return "|".join(map(str, typing.get_args(annotation)))
    if isinstance(annotation, types.UnionType):
        return "VALUE"
    shown: dict[typing.Any, str] = {int: "N", float: "X", bool: "true|false"}
    return shown.get(annotation, "TEXT")


def _help(field: FieldInfo) -> str:
    bounds = [
        f"{words} {getattr(rule, key)}"
        for rule in field.metadata
        for key, words in _BOUNDS.items()
        if hasattr(rule, key)
    ]
    extra = field.json_schema_extra
    chosen = "the preset's, or " if isinstance(extra, dict) and extra.get("preset") else ""
    default = "(empty)" if field.default in ("", None, ()) else field.default
    shown = "" if field.is_required() else f"default: {chosen}{default}"
    notes = ", ".join(note for note in [*bounds, "required" if field.is_required() else shown] if note)
    return f"{field.description or ''} ({notes})"
