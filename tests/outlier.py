"""A training in which a row's loss is a thousand times as large as it should be."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from models.question import Question
from models.torch.objectives import Terms
from tests.small_training import Hooked, backend
from training.batches import Batch

BAD = "row13"
SPIKE: dict[str, Any] = {"spike": 3.0, "max_updates": 32}


class Outlier(Hooked):
    """A backend to which the shard with the bad row is a spike, whichever rank computes it."""

    def __init__(self, **_: Any) -> None:
        chosen = backend()
        super().__init__(chosen, lambda *_: None)
        plain = chosen._objective

        def objective(network: Any, question: Question) -> Terms:
            terms = plain(network, question)
            return Terms(terms.each * 1e3, terms.rows) if "bad" in question.more else terms

        chosen._objective = objective

    def ask(self, batch: Batch, random: np.random.Generator, *, training: bool) -> Question:
        question = super().ask(batch, random, training=training)
        return replace(question, more={"bad": np.ones(len(batch.ids))}) if training and BAD in batch.ids else question
