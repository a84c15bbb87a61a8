"""Losses of a question, each written once, for training, evaluation and the loss of single rows.

An objective gives terms [N] and the row of the batch that each belongs to; their sum, divided by the number of answers wanted, is the
loss of the batch. Terms of padding are 0.

Shapes: B rows, T length, E width of a vector, M answers, C choices, N terms.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx
from jax import Array

from models.flax.batch import Batch
from models.flax.task_network import TaskNetwork
from models.question import Objective

_LOWEST = float(jnp.finfo(jnp.float32).min)


class Terms(NamedTuple):
    """Terms of a loss, in nats."""

    each: Array  # [N]
    rows: Array  # [N], the row that each is of


ObjectiveFunction = Callable[[TaskNetwork, Batch, nnx.Rngs | None], Terms]  # `rngs` are given in training alone


def cross_entropy(logits: Array, labels: Array, smoothing: float = 0.0) -> Array:
    """[M]: -sum_c q_c log p_c, with q the label, of which a share is spread over all choices (Szegedy et al. 2016, arXiv 1512.00567,
    section 7)."""
    nats = -jax.nn.log_softmax(logits)
    of_labels = jnp.take_along_axis(nats, labels[:, None], 1)[:, 0]
    return (1 - smoothing) * of_labels + smoothing * nats.mean(-1) if smoothing else of_labels


@dataclass(frozen=True)
class Choices:
    """Cross-entropy of the label among the choices, at each place; smoothed in training alone, so that a validation loss is the
    cross-entropy itself."""

    label_smoothing: float = 0.0

    def __call__(self, network: TaskNetwork, batch: Batch, rngs: nnx.Rngs | None = None) -> Terms:
        logits = network.logits(batch.inputs, batch.places, rngs=rngs)
        smoothing = self.label_smoothing if rngs is not None else 0.0
        return Terms(batch.weights * cross_entropy(logits, batch.labels, smoothing), batch.rows)


@dataclass(frozen=True)
class Contrast:
    """InfoNCE, -log exp(q_i d_i / t) / sum_j exp(q_i d_j / t): which of the batch's documents is the query's own.

    Van den Oord et al. 2018, arXiv 1807.03748, equation 4; with the other rows of the batch as negatives (Henderson et al.
    2017, arXiv 1705.00652, section 4.4) and SimCSE's temperature (Gao et al. 2021, arXiv 2104.08821, equation 1).
    `symmetric`: the mean of that and of the same from the documents' side (CLIP: arXiv 2103.00020, figure 3).

    Its terms are of a whole batch, of all shards together. Queries are the targets; `more` has `kinds` [B, K], numbers of a row's texts:
    rows with an equal one are no negatives of each other. Padding is a negative of no row.
    """

    temperature: float
    symmetric: bool

    def __call__(self, network: TaskNetwork, batch: Batch, rngs: nnx.Rngs | None = None) -> Terms:
        inputs, kinds, real = batch.inputs, batch.more["kinds"], batch.more["row_weights"]
        documents = network.vectors(inputs, rngs)
        queries = network.vectors({"input_ids": inputs["target_ids"], "attention_mask": inputs["target_mask"]}, rngs)
        own = jnp.arange(len(kinds))
        others = (kinds[:, None] == kinds[None]).any(-1) | (real[:, None] * real[None] == 0)
        others &= ~jnp.eye(len(own), dtype=bool)
        scores = jnp.where(others, _LOWEST, queries @ documents.T / self.temperature)
        loss = cross_entropy(scores, own)
        return Terms(real * ((loss + cross_entropy(scores.T, own)) / 2 if self.symmetric else loss), own)


def function_of(objective: Objective) -> ObjectiveFunction:
    """The function of an objective, its options given. ValueError for one that Flax does not have."""
    if objective.name == "contrast":
        return Contrast(**objective.options)
    if objective.name == "choices":
        return Choices(**objective.options)
    raise ValueError(f"framework=flax has no objective {objective.name}; set framework=torch, which has it")


def sum_by_row(terms: Terms, rows: int) -> Array:
    """[B]: the terms of each row, added up."""
    return jax.ops.segment_sum(terms.each, terms.rows, rows)
