"""Parity: how far the answers of two frameworks with the same weights are apart.

A model is served by PyTorch. One that another framework trained is therefore asked in both before it is registered: what was validated
along its training is what will answer.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from models.chance import generator_of
from models.devices import Compute
from tasks.model import Model, load_model
from tasks.token_cache import examples_of
from training.batches import in_order
from training.frameworks import prepare

if TYPE_CHECKING:
    from pathlib import Path

    from artifacts.checkpoint import Checkpoint
    from artifacts.corpus import Corpus
    from models.network import Network
    from models.question import Question
    from tasks.task import Task
    from telemetry import Observe

ROWS = 16  # of the split, evenly taken
LARGEST = 1e-4  # of the differences between logits that float32 explains
_BATCH_TOKENS = 2048


def compare_frameworks(
    task: Task, model: Model, checkpoint: Checkpoint, corpus: Corpus, split: str, root: Path, observe: Observe
) -> dict[str, Any] | None:
    """The framework that trained a checkpoint, and the largest difference of its logits (of vectors, for retrieval) from those of `model`,
    the same in PyTorch on the CPU; null, if one is no number.

    None for what PyTorch trained. TrainingError if the other framework is not installed.
    """
    framework = checkpoint.framework
    if framework == "torch":
        return None
    prepare(framework, root)
    other = load_model(checkpoint, Compute(framework=framework))
    return {"framework": framework, "rows": ROWS} | _differences(
        task, model, other.network, corpus, split, root, observe
    )


def _differences(
    task: Task, model: Model, other: Network, corpus: Corpus, split: str, root: Path, observe: Observe
) -> dict[str, Any]:
    examples = examples_of(task, corpus, model.tokenizer, split, model.settings, model.config, root, observe).spread(
        ROWS
    )
    largest, answers = [0.0], 0
    for rows in in_order(examples, _BATCH_TOKENS):
        random = generator_of(0, int(rows[0]))
        question = task.ask(model.config, model.settings, examples.batch(rows), random, training=False)
        ours, theirs = (_answer(task, network, model, question) for network in (model.network, other))
        largest.append(float(np.abs(ours - theirs).max(initial=0.0)))
        answers += len(ours)
    found = float(np.max(largest))  # no number, if any of them is none
    return {"answers": answers, "largest_difference": found if np.isfinite(found) else None}


def _answer(task: Task, network: Network, model: Model, question: Question) -> np.ndarray[Any, np.dtype[np.float32]]:
    if task.objective(model.settings).name == "contrast":
        return network.vectors(question.inputs)
    return network.logits(question)
