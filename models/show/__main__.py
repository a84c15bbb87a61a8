"""Describe a network: modules, shapes, parameters, FLOPs, memory.

examples:
  python -m models.show                                        the presets there are, a line each
  python -m models.show bert                                   a preset, with its paper's vocabulary
  python -m models.show llama --set num_kv_heads=8 --length 4096
  python -m models.show bert --diff modern-encoder             what changed between two
  python -m models.show bert --diff bert --set norm=pre        what one choice changes (--set is of the second)
  python -m models.show var/artifacts/checkpoint/NAME          a trained network
  python -m models.show t5 --json                              for a program

Exit codes: 0 shown, 2 no such preset, field or folder, or a network that cannot be.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from typing import Any

from command_line import Parser, fail, number, show
from models.show import catalogue, difference, text
from models.show.flops import TRAINING, terms, totals
from models.show.memory import needs
from models.show.subject import HEADS, PARTS, Choice, ShowError, Subject, find
from models.show.tree import tree


def main(arguments: Sequence[str] | None = None) -> int:
    """Parse the command line and print the requested view. Returns the exit code."""
    try:
        shown = _answer(_parser().parse_args(arguments))
    except ShowError as error:
        return fail(f"models.show: {error}", 2)
    show(shown)
    return 0


def _parser() -> Parser:
    parser = Parser("python -m models.show", __doc__)
    parser.add_argument("name", nargs="?", default="", metavar="PRESET", help="a preset, or a checkpoint's folder")
    parser.add_argument("--set", dest="settings", nargs="+", action="extend", default=[], metavar="FIELD=VALUE",
                        help="change choices of the preset")  # fmt: skip
    parser.add_argument("--vocab_size", type=number, metavar="N", help="tokens (default: the paper's, else 8192)")
    parser.add_argument("--part", default="", choices=PARTS, help="(default: the paper's)")
    parser.add_argument("--head", default="", choices=HEADS, help="what stands on it (default: the part's usual one)")
    parser.add_argument("--labels", type=number, default=0, metavar="N", help="classes of a classifier")
    parser.add_argument(
        "--length", type=number, default=0, metavar="N", help="tokens of a sequence (default: max_length, 512 at most)"
    )
    parser.add_argument("--batch", type=number, default=1, metavar="N", help="sequences kept at a time (default: 1)")
    parser.add_argument("--diff", default="", metavar="PRESET2", help="what changes from PRESET to this one")
    parser.add_argument("--json", action="store_true", help="for a program")
    return parser


def _answer(options: argparse.Namespace) -> str:
    if not options.name:
        if options.diff or options.settings:
            raise ShowError("--diff and --set need a preset before them: python -m models.show PRESET --diff PRESET2")
        rows = catalogue.rows()
        return json.dumps(rows, indent=2) if options.json else catalogue.text(rows, text.style())
    choice = Choice(_settings(options), options.part, options.head, options.labels)
    if options.diff:
        return _difference(options, choice)
    subject = find(options.name, choice)
    length = _length(options, subject)
    root, found, needed = tree(subject), terms(subject, length), needs(subject, length, options.batch)
    if not options.json:
        return text.whole(subject, root, found, needed, length, text.style())
    forward = totals(found)
    about: dict[str, Any] = {
        "name": subject.name, "headline": subject.headline, "part": subject.part, "head": subject.head,
        "config": subject.config.model_dump(), "parameters": subject.count, "published": subject.published,
        "tree": root.as_json(), "length": length, "batch": options.batch,
        "flops": {"terms": [vars(term) for term in found], "forward": forward,
                  "training": {kind: TRAINING * value for kind, value in forward.items()}},
        "memory": [vars(need) for need in needed],
    }  # fmt: skip
    return json.dumps(about, indent=2)


def _difference(options: argparse.Namespace, choice: Choice) -> str:
    """Differences of two presets or checkpoints. Other options apply to the second, the vocabulary size to both."""
    shared = {key: value for key, value in choice.settings.items() if key == "vocab_size"}
    pair = find(options.name, Choice(shared, choice.part, choice.head, choice.labels)), find(options.diff, choice)
    trees = tree(pair[0]), tree(pair[1])
    if options.json:
        return json.dumps(difference.as_json(pair, trees), indent=2)
    length = min(_length(options, one) for one in pair)
    return "\n".join(difference.text(pair, trees, length, text.style()))


def _settings(options: argparse.Namespace) -> dict[str, str]:
    settings = dict[str, str]()
    for setting in options.settings:
        name, equals, value = setting.partition("=")
        if not equals or not value:
            raise ShowError(f"--set {setting}: give FIELD=VALUE, as in --set d_model=256")
        settings[name.strip()] = value.strip()
    if options.vocab_size:
        settings["vocab_size"] = str(options.vocab_size)
    return settings


def _length(options: argparse.Namespace, subject: Subject) -> int:
    return int(options.length or min(subject.config.max_length, 512))


if __name__ == "__main__":
    sys.exit(main())
