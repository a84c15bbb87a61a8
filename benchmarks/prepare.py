"""prepare_data with ten times the rows: peak memory and rows a second.

    python -m benchmarks.prepare [--few 100000] [--many 1000000]

Rows are made up by seed: about 30 words drawn as a language draws them (Zipf), one in 20 a copy of an earlier row, one in
20 nearly so. Each size is prepared in a process of its own; its peak memory is what the system measured.
"""

from __future__ import annotations

import argparse
import json
import random
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from itertools import accumulate
from pathlib import Path

from benchmarks.results import keep

_WORDS = 50_000
_LETTERS = "etaoinshrdlucmfwypvbgkqjxz"


def write_rows(path: Path, rows: int, seed: int = 1) -> None:
    """A JSON-lines file of made-up rows, streamed to disk; some repeat one of the last thousand."""
    draw = random.Random(seed)
    words = ["".join(draw.choices(_LETTERS, k=draw.randint(2, 9))) for _ in range(_WORDS)]
    weights = list(accumulate(1 / (rank + 3) for rank in range(_WORDS)))
    recent: list[str] = []
    with path.open("w") as file:
        for number in range(rows):
            text, kind = " ".join(draw.choices(words, cum_weights=weights, k=draw.randint(15, 45))), draw.random()
            if recent and kind < 0.05:
                text = draw.choice(recent)
            elif recent and kind < 0.1:
                text = f"{draw.choice(recent)} {draw.choice(words)}"
            recent = [*recent[-999:], text] if number % 50 == 0 else recent
            row = {"text": text, "label": f"class{number % 20}", "group": f"page{number // 8}"}
            file.write(json.dumps(row) + "\n")


def child(source: Path, home: Path) -> None:
    """Prepare a file, and print seconds, peak bytes and what came of the rows."""
    from artifacts import Output
    from steps.step import load_step

    prepare_data = load_step("prepare_data")
    from telemetry import Observe

    config = prepare_data.Config(
        source=str(source), label_column="label", group_column="group", max_rows_per_label=0, threads=1
    )
    started = time.perf_counter()
    output = Output("corpus", home / "work" / "corpus", step="prepare_data", root=home)
    prepare_data.run(config, {}, output, Observe.silent())
    corpus = output.commit()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    print(json.dumps({"seconds": time.perf_counter() - started, "peak": peak, "counts": dict(corpus.counts)}))


def measure(rows: int) -> dict[str, float]:
    """Seconds and peak bytes of one fresh process that prepares so many rows."""
    folder = Path(tempfile.mkdtemp(prefix="glassformer-"))
    try:
        write_rows(folder / "rows.jsonl", rows)
        command = [
            sys.executable,
            "-m",
            "benchmarks.prepare",
            "--child",
            str(folder / "rows.jsonl"),
            str(folder / "home"),
        ]
        answer = subprocess.run(command, capture_output=True, text=True, check=False)
        if answer.returncode:
            sys.exit(answer.stderr)
        figures = json.loads(answer.stdout.splitlines()[-1])
    finally:
        shutil.rmtree(folder)
    print(
        f"{rows:,} rows: {figures['seconds']:.1f} s, {rows / figures['seconds']:,.0f} rows/s, peak {figures['peak'] / 1e6:.0f} MB"
    )
    return {"rows_per_second": rows / figures["seconds"], "peak": figures["peak"]}


def main() -> None:
    """Measure both sizes and keep their ratios."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0], allow_abbrev=False)
    parser.add_argument("--few", type=int, default=100_000, help="rows of the small run")
    parser.add_argument("--many", type=int, default=1_000_000, help="rows of the large run")
    parser.add_argument("--child", nargs=2, type=Path, metavar=("SOURCE", "HOME"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        child(*options.child)
        return
    few, many = measure(options.few), measure(options.many)
    memory, speed = many["peak"] / few["peak"], many["rows_per_second"] / few["rows_per_second"]
    sizes, default = (
        f"{options.many:,} rows against {options.few:,}",
        (options.few, options.many) == (100_000, 1_000_000),
    )
    figures = [
        {"what": f"prepare_data, peak memory, {sizes}", "value": round(memory, 3),
         "unit": "x", "bar": "at most 1.3 x", "ok": memory <= 1.3},
        {"what": f"prepare_data, rows a second, {sizes}", "value": round(speed, 3),
         "unit": "x", "bar": "at least 0.8 x", "ok": speed >= 0.8},
    ]  # fmt: skip
    if default:
        keep("prepare", "python -m benchmarks.prepare", figures)
    else:  # a trial's figures are shown and not kept
        print(json.dumps(figures, indent=2))


if __name__ == "__main__":
    main()
