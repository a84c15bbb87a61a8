"""Trainings as a pipeline's driver and a step's wrapper leave them in a home; in one, a row has a wrong label."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

from artifacts import Artifact, Output, atomic
from artifacts.runs import Run
from artifacts.store import Store
from steps import handoff
from steps.step import load_step
from telemetry import Observe
from tests.prepared import prepare
from tests.small_corpus import WORDS, make_tokenizer

finetune = load_step("finetune")

BAD = "cloud copper candle castle"  # how the row begins that says "a" and is of "c"
SMALL = {"d_model": 16, "d_ff": 32, "num_heads": 2, "num_layers": 1, "max_length": 32, "dropout": 0.0,
         "batch_tokens": 256, "evaluate_every": 20, "checkpoint_every": 20, "log_every": 10, "validation_rows": 20}  # fmt: skip


def data(home: Path) -> dict[str, Artifact]:
    """A corpus of three topics that are easily told apart, but for one row; and its tokenizer."""
    draw, rows = random.Random(0), []
    for place in range(240):
        label = "abc"[place % 3]
        text = " ".join(draw.choice(WORDS[label].split()) for _ in range(12))
        rows.append({"text": f"{text} {place}", "label": label})
    rows[131] = {"text": f"{BAD} \u202ecanyon cedar comet coral\ncloud copper candle castle", "label": "a"}
    source = home / "rows.jsonl"
    source.write_text("".join(json.dumps(row) + "\n" for row in rows))
    shares = {"validation_share": 0.15, "test_share": 0.1}
    corpus = prepare(home, source, label_column="label", near_duplicate_threshold=1, seed=3, **shares)
    return {"corpus": corpus, "tokenizer": make_tokenizer(home, corpus, vocab_size=300)}


def train(
    home: Path,
    run: Run,
    node: str,
    inputs: dict[str, Artifact],
    *,
    step: Any = finetune,
    dies: Any = None,
    **changes: Any,
) -> Artifact:
    """As the driver and the wrapper do it: the node's file, its log, its work folder, its artifact; `dies` ends it early."""
    name = step.name
    options = (
        SMALL | ({"from_scratch": True, "max_updates": 90, "learning_rate": 0.01} if step is finetune else {}) | changes
    )
    config = step.Config(**{key: str(value.path) for key, value in inputs.items()}, **options)
    fingerprint = f"{name}-{atomic.digest_of(options)[:12]}"
    handoff.Task("tiny", run.id, node, name, fingerprint, {}, False, f"{run.folder}/{node}.json").write()
    output = Output("checkpoint", Store(home).work(fingerprint), step=name, parents=dict(inputs), root=home)
    observe = Observe.open(
        "glassformer", pipeline="tiny", run=run.id, step=name, node=node, outbox=home / "outbox", terminal=False,
        log_file=home / "logs" / run.id / f"{node}.jsonl",
    )  # fmt: skip
    run.trace_id = observe.trace_id
    try:
        with observe.span("step"):
            observe.log("step.started", f"{name} started\x1b[2J")
            if dies:
                dies(observe)
            step.run(config, inputs, output, observe)
        atomic.write_json(output.sidecar("made_by.json"), {"run": run.id, "trace_id": observe.trace_id})
        artifact = output.commit()
        run.nodes[node] = {"state": "made", "path": Store(home).path_of(artifact), "digest": artifact.digest}
        Store(home).forget_work(fingerprint)
    finally:
        observe.close()
        run.save()
    return artifact


def dying_at(update_of_death: int) -> Any:
    """An Observe ends the process as it is told of this update: after the update, before the checkpoint that follows."""

    def dies(observe: Observe) -> None:
        plain = observe.metric

        def metric(name: str, value: float, *, update: int | None = None, **attributes: str) -> None:
            if update == update_of_death:
                raise KeyboardInterrupt
            plain(name, value, update=update, **attributes)

        observe.metric = metric  # type: ignore[method-assign]

    return dies
