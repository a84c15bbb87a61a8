"""Time the gate takes beyond asking the two models: bootstrap, slices and records on 10,000 rows of made-up classes.

    python -m benchmarks.gate [--rows 10000] [--labels 30]

The answers are drawn, so that no model has to be asked: what is timed is all that the gate does with answers.
"""

from __future__ import annotations

import argparse
import csv
import json
import random
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.results import keep

_WORDS = 40  # of a text
_TEST_SHARE = 0.2


def main() -> None:
    """Make the rows, time the gate, keep the figure."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0], allow_abbrev=False)
    parser.add_argument("--rows", type=int, default=10_000, help="rows of the test split")
    parser.add_argument("--labels", type=int, default=30)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        case = make_case(Path(folder), options.rows, options.labels)
        seconds = time_checks(case)
    for name, taken in seconds.items():
        print(f"  {name:12} {taken:6.2f} s")
    total = sum(seconds.values())
    rows = len(case.questions)
    print(f"{total:.1f} s on {rows:,} rows beyond asking the models")
    command = "python -m benchmarks.gate"
    what = f"the gate on {round(rows, -3):,} rows, beyond asking the models"
    keep(
        "gate",
        command,
        [{"what": what, "value": round(total, 1), "unit": "s", "bar": "at most 30 s", "ok": total <= 30}],
    )


def make_case(root: Path, rows: int, labels: int) -> Any:
    """A case: a corpus with so many rows of test, and two models' drawn answers."""
    import numpy as np
    import pandas as pd

    from artifacts import Output
    from artifacts.corpus import Corpus
    from artifacts.store import Store
    from steps.prepare_data.config import Config
    from steps.prepare_data.run import run
    from steps.promote.check_context import Case, Side
    from steps.promote.model_process import Contender
    from steps.promote.policy import Policy
    from tasks import load
    from telemetry import Observe

    draw, words = random.Random(1), [f"word{number}" for number in range(5000)]
    source = root / "rows.csv"
    with source.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["text", "label"])
        for number in range(int(rows / _TEST_SHARE)):
            writer.writerow([" ".join(draw.choices(words, k=_WORDS)), f"label{number % labels:02}"])
    output = Output("corpus", root / "work", step="prepare_data", root=root)
    chosen = Config(source=str(source), label_column="label", test_share=_TEST_SHARE, threads=2)
    run(chosen, {}, output, Observe.silent())
    corpus, task = Corpus(output.commit()), load("classification")
    questions = task.questions(corpus, "test", {"labels": corpus.labels})
    random_of, sides = np.random.default_rng(1), []
    (root / "version" / "artifacts" / "checkpoint").mkdir(parents=True)
    (root / "version" / "code").mkdir()
    (root / "version" / "model.py").write_text("# stands for a version")
    lineage = json.dumps([["corpus", corpus.artifact.digest, "prepare_data"], ["checkpoint", "c", "finetune"]])
    for number, right in (("2", 0.82), ("1", 0.80)):
        hit = random_of.random(len(questions)) < right
        other = random_of.choice(corpus.labels, len(questions))
        answers = pd.DataFrame(
            {
                "prediction": np.where(hit, questions["expected"], other),
                "probability": random_of.uniform(0.6, 1, len(questions)),
            }
        )
        who = Contender("m", number, "", {"glassformer.lineage": lineage}, root / "version")
        sides.append(Side(who, answers, task.statistics(questions, answers), _Drawn(answers)))
    return Case(task, Policy(), "macro_f1", corpus, questions, *sides, Store(root), Observe.silent())


class _Drawn:
    """Answers at once: its time is the models', not the gate's."""

    def __init__(self, answers: Any) -> None:
        self._answers = answers

    def answer(self, questions: Any, column: str, options: Any) -> Any:
        return self._answers.iloc[: len(questions)].reset_index(drop=True)

    def seconds(self, rows: Any) -> list[float]:
        return [0.01] * len(rows)


def time_checks(case: Any) -> dict[str, float]:
    """Seconds of the bootstrap and of each check."""
    from steps.promote.bootstrap import difference
    from steps.promote.checks import CHECKS

    policy, seconds = case.policy, {}
    started = time.perf_counter()
    statistics = case.candidate.statistics, case.champion.statistics
    difference(case.task, case.metric, statistics, policy.samples, policy.confidence, policy.seed)
    seconds["bootstrap"] = time.perf_counter() - started
    for check in CHECKS:
        started = time.perf_counter()
        check(case)
        seconds[check.__name__] = time.perf_counter() - started
    return seconds


if __name__ == "__main__":
    main()
