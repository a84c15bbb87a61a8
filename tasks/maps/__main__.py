"""Look at the attention of a trained model.

examples:
  python -m tasks.maps CHECKPOINT "Return the sum of the elements over an axis."
  python -m tasks.maps CHECKPOINT "Return the [MASK] of the elements." --out maps.svg
  python -m tasks.maps CHECKPOINT "3 mars 2021" --of memory --out alignment.svg
  python -m tasks.maps CHECKPOINT "Return the sum." --layers 1,4 --heads 2

CHECKPOINT is a folder that pretrain or finetune made (`python -m artifacts list`), or a registered model's copy of one.
It prints what each head does mostly; --out draws the maps as well. Exit codes: 0 success, 2 no such checkpoint or part.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from artifacts import ArtifactError
from command_line import Parser, fail
from tasks.maps import MapsError

if TYPE_CHECKING:
    from tasks.maps.attention_maps import Maps


def main(arguments: Sequence[str] | None = None) -> int:
    """Parse the command line, look and tell. Returns the exit code."""
    from training.errors import TrainingError

    try:
        options = _parser().parse_args(arguments)
        print(_answer(options))
    except (MapsError, ArtifactError, TrainingError) as error:
        return fail(f"tasks.maps: {error}", 2)
    except OSError as error:
        return fail(f"tasks.maps: {error.filename}: {error.strerror or error}", 2)
    return 0


def _parser() -> Parser:
    parser = Parser("python -m tasks.maps", __doc__)
    parser.add_argument("checkpoint", type=Path, metavar="CHECKPOINT", help="a trained network's folder")
    parser.add_argument("text", metavar="TEXT", help="what it reads; [MASK] stands for a word that is taken out")
    parser.add_argument("--out", type=Path, metavar="FILE.svg", help="draw the maps")
    parser.add_argument(
        "--of",
        dest="part",
        default="",
        metavar="PART",
        help="encoder, decoder or memory: a decoder's looks at the source (default: the last it has)",
    )
    parser.add_argument("--target", default="", metavar="TEXT", help="what a decoder writes (default: its own answer)")
    parser.add_argument("--layers", type=_places, metavar="N,…", help="counted from 1 (default: all, 4 at most)")
    parser.add_argument("--heads", type=_places, metavar="N,…", help="counted from 1 (default: all, 4 at most)")
    parser.add_argument("--tokens", type=int, default=24, metavar="N", help="of the text, from its start (default: 24)")
    return parser


def _answer(options: argparse.Namespace) -> str:
    if options.out and options.out.suffix != ".svg":
        raise MapsError(f"--out {options.out}: pictures are SVG; name it .svg")
    if options.tokens < 3:
        raise MapsError(f"--tokens {options.tokens}: at least 3")
    from artifacts.checkpoint import Checkpoint
    from tasks.maps.attention_maps import compute_maps
    from tasks.maps.picture import svg
    from tasks.model import load_model

    maps = compute_maps(
        load_model(Checkpoint(options.checkpoint)), options.text, options.part, options.target, options.tokens
    )
    output = _describe(maps)
    if options.out:
        layers = _select(options.layers, len(maps.layers), "--layers")
        heads = _select(options.heads, min(len(layer) for layer in maps.layers), "--heads")
        options.out.parent.mkdir(parents=True, exist_ok=True)
        text = options.text if len(options.text) <= 60 else f"{options.text[:59]}…"
        names = {"encoder": "encoder", "decoder": "decoder", "memory": "decoder, at the source"}
        options.out.write_text(svg(maps, layers, heads, f"{names[maps.part]}: {text}"), encoding="utf-8")
        output += f"\n{options.out}"
    return output


def _describe(maps: Maps) -> str:
    """A line a head: its habit, and its strongest look."""
    from tasks.maps.habits import habit

    lines = [f"{maps.part}: {len(maps.layers)} layers, tokens {' '.join(map(_word, maps.columns))}"]
    for layer, weights in enumerate(maps.layers, 1):
        for head, one in enumerate(weights, 1):
            row, column = divmod(int(one.argmax()), one.shape[1])
            most = f"{_word(maps.rows[row])} looks at {_word(maps.columns[column])} {one[row, column]:.0%}"
            does = str(habit(one, maps.rows, maps.columns))
            lines.append(f"  layer {layer}, head {head}   {does:18} strongest: {most}")
    return "\n".join(lines)


def _word(name: str) -> str:
    return name.strip() or "␣"


def _select(chosen: list[int] | None, count: int, option: str) -> list[int]:
    wrong = [place for place in chosen or [] if place > count]
    if wrong:
        raise MapsError(f"{option} {wrong[0]}: there are {count}")
    return [place - 1 for place in chosen] if chosen else list(range(min(count, 4)))


def _places(text: str) -> list[int]:
    parts = text.split(",")
    if not all(part.isdecimal() and int(part) for part in parts):
        raise argparse.ArgumentTypeError(f"{text!r} is no list of numbers from 1 on")
    return [int(part) for part in parts]


if __name__ == "__main__":
    sys.exit(main())
