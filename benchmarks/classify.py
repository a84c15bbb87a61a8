"""Quality of `classify` with only source and columns set, compared with the better of its baselines.

    python -m benchmarks.classify [trec trec_random sst2 sst2_random docstrings] [--data ../shared/data] [--keep FOLDER]

    trec            5,952 questions, 6 classes, the published test of 500
    trec_random     the same questions, split at random
    sst2            67,349 phrases of film reviews, 2 classes; GLUE's development set of 872 sentences is the test
    sst2_random     the phrases alone, split at random: phrases of one sentence stand in train and test
    docstrings      12,000 docstrings of four installed libraries, their names masked, split at random

Each runs the whole pipeline in a home of its own: seconds are those of all steps. TREC and SST-2 are read from --data.
Scores depend on the data and the number of threads alone, seconds on the machine: the load next to them shows how busy it was.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

from benchmarks.results import FOLDER, keep

ROOT = Path(__file__).resolve().parent.parent
_LIBRARIES, _ROWS = "scipy,sqlalchemy,sympy,torch", 3000  # rows of each
_SHORTEST, _LONGEST = 60, 4000  # characters of a docstring
_MINUTES = 15  # the bar: of the steps together, on two cores that do nothing else


def main() -> None:
    """Run the data sets that are asked for, and keep their figures with those of earlier runs."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0], allow_abbrev=False)
    parser.add_argument("names", nargs="*", default=list(SETTINGS), help=", ".join(SETTINGS))
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared" / "data", help="folder of trec/ and sst2/")
    parser.add_argument("--keep", type=Path, help="folder for the homes of the runs, in place of one that is removed")
    parser.add_argument(
        "--set", action="append", default=[], dest="settings", help="node.key=value, for trying others out"
    )
    options = parser.parse_args()
    if unknown := [name for name in options.names if name not in SETTINGS]:
        parser.error(f"no data set {unknown[0]!r}; known: {', '.join(SETTINGS)}")
    with tempfile.TemporaryDirectory() as temporary:
        for name in options.names:
            home = (options.keep or Path(temporary)) / name
            home.mkdir(parents=True, exist_ok=True)
            found = run(name, options.data.resolve(), home, options.settings)
            print(json.dumps(found, indent=2))
            if not options.settings:
                record(name, found)


def settings_of(name: str, data: Path, home: Path) -> list[str]:
    """Source and columns, and nothing else."""
    if name == "docstrings":
        return [f"source={docstrings(home / 'docstrings.jsonl')}"]
    return [setting.format(data=data) for setting in SETTINGS[name]]


SETTINGS: dict[str, list[str]] = {
    "trec": ["source={data}/trec/trec.csv", "text_column=question", "label_column=type", "split_column=split"],
    "trec_random": ["source={data}/trec/trec.csv", "text_column=question", "label_column=type"],
    "sst2": ["train={data}/sst2/train.tsv", "test={data}/sst2/validation.tsv", "text_column=sentence"],
    "sst2_random": ["source={data}/sst2/train.tsv", "text_column=sentence"],
    "docstrings": [],
}


def docstrings(file: Path) -> Path:
    """A JSONL of docstrings with `text` and `label`: the same number of each library, drawn and in an order by a fixed seed."""
    from steps.prepare_data.docstrings import read
    from telemetry import Observe

    if file.exists():
        return file
    texts: dict[str, list[str]] = defaultdict(list)
    for item in read(_LIBRARIES, 1, Observe.silent()):
        label, text = getattr(item, "label", None), getattr(item, "text", "")
        if label and len(text) >= _SHORTEST:
            texts[label].append(text[:_LONGEST])
    drawn = random.Random(1)
    rows = [{"text": text, "label": label} for label in sorted(texts) for text in drawn.sample(texts[label], _ROWS)]
    drawn.shuffle(rows)
    file.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    return file


def run(name: str, data: Path, home: Path, more: list[str]) -> dict[str, Any]:
    """Run the pipeline; scores of the model and its baselines, and seconds."""
    settings = [f"prepare_data.{setting}" for setting in settings_of(name, data, home)] + more
    environment = {
        **os.environ,
        "GLASSFORMER_HOME": str(home / "var"),
        "MLFLOW_TRACKING_URI": f"sqlite:///{home}/mlflow.db",
    }
    command = [sys.executable, "-m", "pipelines", "run", "classify"]
    started = time.monotonic()
    subprocess.run(
        [*command, *(part for one in settings for part in ("--set", one))], cwd=ROOT, env=environment, check=True
    )
    seconds = time.monotonic() - started
    scores = json.loads(_newest(home / "var" / "artifacts" / "report").joinpath("scores.json").read_text())
    costs = {
        path.parent.parent.name: json.loads(path.read_text())
        for path in (home / "var").glob("artifacts/*/*/sidecars/cost.json")
    }
    return {
        "rows": scores["rows"],
        "seconds": round(seconds),
        "cpu_seconds": round(sum(c["cpu_seconds"] for c in costs.values())),
        "load": round(os.getloadavg()[1], 1),
        "metrics": scores["metrics"],
        "baselines": scores["baselines"],
    }


def _newest(folder: Path) -> Path:
    return max((path for path in folder.iterdir() if path.is_dir()), key=lambda path: path.stat().st_mtime)


def record(name: str, found: dict[str, Any]) -> None:
    """Keep the figures of one data set, next to those of the others."""
    file = FOLDER / "classify.json"
    kept = json.loads(file.read_text())["figures"] if file.exists() else []
    mine = f"classify, {name}: "
    order = [f"classify, {one}: " for one in SETTINGS]
    figures = [one for one in kept if not one["what"].startswith(mine)] + figures_of(mine, found)
    figures.sort(key=lambda one: next(place for place, start in enumerate(order) if one["what"].startswith(start)))
    keep("classify", "python -m benchmarks.classify", figures)


def figures_of(start: str, result: dict[str, Any]) -> list[dict[str, Any]]:
    """Macro F1 and accuracy next to the better baseline, and the seconds."""
    figures: list[dict[str, Any]] = []
    rivals = {name: each for name, each in result["baselines"].items() if "pretraining" not in name}
    for metric in ("macro_f1", "accuracy"):
        best = max(rivals, key=lambda name: rivals[name][metric]["value"])
        rival, ahead = rivals[best][metric], rivals[best][metric]["ahead"]
        figures.append(
            {
                "what": f"{start}{metric.replace('_', ' ').replace('f1', 'F1')} on {result['rows']:,} rows; "
                f"{best} has {rival['value']:.3f}, "
                f"difference {ahead['value']:+.3f} [{ahead['low']:+.3f}, {ahead['high']:+.3f}]",
                "value": round(result["metrics"][metric]["value"], 3),
                "unit": "",
                "bar": "not surely worse than the baseline",
                "ok": ahead["high"] >= 0,
            }
        )
    figures.append(
        {
            "what": f"{start}CPU seconds of all steps (load of the machine meanwhile {result['load']})",
            "value": result["cpu_seconds"],
            "unit": "s",
            "bar": f"at most {2 * 60 * _MINUTES} (a quarter of an hour of two cores)",
            "ok": result["cpu_seconds"] <= 2 * 60 * _MINUTES,
        }
    )
    return figures


if __name__ == "__main__":
    main()
