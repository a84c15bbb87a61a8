"""See gradients vanish: how much of a loss's gradient a recurrent network's state still has so many tokens before.

    python -m models.gradients                                  all cells, a table
    python -m models.gradients --cell rnn,lstm --out FILE.svg   two of them, and the plot (.svg, .png or .pdf)

Each cell is shown as it starts, and once changed: a plain network with its recurrent matrix doubled, whose gradients
explode, and gated ones whose gates keep the state. What is measured, and by which papers: models/torch/recurrent/gradients.py
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from command_line import Parser, fail

LINES: dict[str, dict[str, dict[str, Any]]] = {  # cell -> name of a line -> what is changed
    "rnn": {"RNN": {}, "RNN, recurrent weights doubled": {"gain": 2.0}},
    "lstm": {"LSTM": {}, "LSTM, forget bias 4": {"gate_bias": 4.0}},
    "gru": {"GRU": {}, "GRU, update bias 4": {"gate_bias": 4.0}},
}
_COLOURS = {"rnn": "#d55e00", "lstm": "#0072b2", "gru": "#007a5a"}
_KINDS = (".svg", ".png", ".pdf")
_SHOWN = (0, 1, 2, 5, 10, 20, 50, 100, 200, 500)
_FLOOR = 1e-10  # where the plot ends: no training can tell less from nothing

Found = Mapping[str, tuple[str, list[float]]]  # name of a line -> its cell, norms at the distances 0, 1, ...


def measure(cells: Sequence[str], *, distance: int, width: int, inputs: float, seed: int) -> Found:
    """The lines of these cells."""
    from models.config import ModelConfig
    from models.torch import initialize
    from models.torch.recurrent.cells import Cells
    from models.torch.recurrent.gradients import change, norms

    found = {}
    for cell in cells:
        for name, changes in LINES[cell].items():
            config = ModelConfig(network="recurrent", cell=cell, d_model=width, vocab_size=1)
            made = Cells(config, inputs=width, width=width, layers=1).double()
            initialize(made, config, seed)
            change(made, **changes)
            found[name] = cell, norms(made, distance, inputs=inputs, seed=seed)
    return found


def table(found: Found) -> str:
    """A line of text for each line of the plot."""
    longest = len(next(iter(found.values()))[1])
    places = [place for place in _SHOWN if place < longest]
    width = max(len(name) for name in found)
    head = f"{'tokens before the loss':<{width}} " + " ".join(f"{place:>8}" for place in places)
    rows = [
        f"{name:<{width}} " + " ".join(f"{norms[place]:>8.2g}" for place in places)
        for name, (_, norms) in found.items()
    ]
    return "\n".join([head, *rows])


def plot(found: Found, path: Path) -> None:
    """Draw the lines; the same numbers make the same file."""
    import matplotlib

    matplotlib.use("Agg")
    matplotlib.rcParams["svg.hashsalt"] = "gradients"
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(9, 4.5), layout="constrained")
    try:
        for name, (cell, norms) in found.items():
            changed = name not in ("RNN", "LSTM", "GRU")
            axes.plot(norms, "--" if changed else "-", color=_COLOURS[cell], label=name)
        axes.set_yscale("log")
        axes.set_ylim(bottom=_FLOOR)
        axes.set_xlim(0, len(next(iter(found.values()))[1]) - 1)
        axes.set_xlabel("tokens between the state and the loss")
        axes.set_ylabel("norm of the gradient, over that at 0")
        figure.suptitle("What is left of a gradient on its way back through time, before any training")
        axes.grid(visible=True, alpha=0.25)
        axes.legend(frameon=False, loc="center left", bbox_to_anchor=(1, 0.5))
        figure.savefig(path, dpi=150, metadata={"Date": None} if path.suffix == ".svg" else None)
    finally:
        pyplot.close(figure)


def main(arguments: Sequence[str] | None = None) -> int:
    """Parse the command line, measure, print, draw. Returns the exit code."""
    chosen = _parser().parse_args(arguments)
    found = measure(chosen.cell, distance=chosen.distance, width=chosen.width, inputs=chosen.inputs, seed=chosen.seed)
    print(table(found))
    if chosen.out:
        try:
            plot(found, chosen.out)
        except OSError as error:
            return fail(f"models.gradients: {chosen.out}: {error.strerror}; give --out another place", 1)
        print(f"plot: {chosen.out}")
    return 0


def _parser() -> Parser:
    parser = Parser("python -m models.gradients", __doc__)
    parser.add_argument("--cell", type=_cells, default=list(LINES), metavar="CELLS", help="of rnn,lstm,gru (all)")
    parser.add_argument("--distance", type=_count(1, 1000), default=100, metavar="N", help="tokens (100)")
    parser.add_argument("--width", type=_count(8, 4096), default=128, metavar="N", help="of the state (128)")
    parser.add_argument(
        "--inputs", type=_positive, default=1.0, metavar="STD", help="standard deviation of the inputs (1)"
    )
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="of weights and inputs (0)")
    parser.add_argument("--out", type=_picture, metavar="FILE", help=f"also draw the plot: {', '.join(_KINDS)}")
    return parser


def _cells(text: str) -> list[str]:
    names = text.split(",")
    if not set(names) <= set(LINES):
        raise argparse.ArgumentTypeError(f"{text!r}: cells are {','.join(LINES)}")
    return list(dict.fromkeys(names))


def _positive(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r}: a number above 0")
    return value


def _count(least: int, most: int) -> Any:
    def number(text: str) -> int:
        if not text.isdecimal() or not least <= int(text) <= most:
            raise argparse.ArgumentTypeError(f"{text!r}: a number from {least} to {most}")
        return int(text)

    return number


def _picture(text: str) -> Path:
    if Path(text).suffix not in _KINDS:
        raise argparse.ArgumentTypeError(f"{text!r}: a file that ends with {', '.join(_KINDS)}")
    return Path(text)


if __name__ == "__main__":
    sys.exit(main())
