"""Losses of a question, each written once, for training, evaluation and the loss of single rows.

An objective gives terms [N] and the row of the batch that each belongs to; their sum, divided by the number of answers wanted, is the
loss of the batch. Answers and rows that only fill a shape (`models/shapes.py`) have terms of 0.

Shapes: B rows, T length, E width of a vector, M answers, C choices, N terms.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import tensorflow as tf

from models.question import Objective
from models.shapes import Fitted
from models.tensorflow.dropout import is_training
from models.tensorflow.task_network import TaskNetwork


class Batch(NamedTuple):
    """A fitted question's arrays as tensors."""

    inputs: dict[str, tf.Tensor]
    places: tf.Tensor  # [M]
    labels: tf.Tensor  # [M]
    rows: tf.Tensor  # [M]
    weights: tf.Tensor  # [M], 1 for an answer, 0 for padding
    more: dict[str, tf.Tensor]

    @classmethod
    def of(cls, fitted: Fitted) -> Batch:
        """The tensors of a question, on the device in whose scope this is called."""
        arrays = (fitted.inputs, fitted.places, fitted.labels, fitted.rows, fitted.weights, fitted.more)
        return cls(*tf.nest.map_structure(tf.convert_to_tensor, arrays))


class Terms(NamedTuple):
    """Terms of a loss, in nats."""

    each: tf.Tensor  # [N]
    rows: tf.Tensor  # [N], the row that each is of


ObjectiveFunction = Callable[[TaskNetwork, Batch], Terms]


def choices(network: TaskNetwork, batch: Batch, *, label_smoothing: float = 0.0) -> Terms:
    """Cross-entropy of the label among the choices, at each place; smoothed in training alone, so that a validation loss is the
    cross-entropy itself (Szegedy et al. 2016, arXiv 1512.00567, section 7)."""
    logits = network.logits(batch.inputs, batch.places)
    each = cross_entropy(logits, batch.labels, label_smoothing if is_training() else 0.0)
    return Terms(each * batch.weights, batch.rows)


@dataclass(frozen=True)
class Contrast:
    """InfoNCE, -log exp(q_i d_i / t) / sum_j exp(q_i d_j / t): which of the batch's documents is the query's own.

    Van den Oord et al. 2018, arXiv 1807.03748, equation 4; with the other rows of the batch as negatives (Henderson et al.
    2017, arXiv 1705.00652, section 4.4) and SimCSE's temperature (Gao et al. 2021, arXiv 2104.08821, equation 1).
    `symmetric`: the mean of that and of the same from the documents' side (CLIP: arXiv 2103.00020, figure 3).

    Queries are the targets; `more` has `kinds` [B, K], numbers of a row's texts: rows with an equal one are no negatives of each other.
    """

    temperature: float
    symmetric: bool

    def __call__(self, network: TaskNetwork, batch: Batch) -> Terms:
        inputs, kinds, weights = batch.inputs, batch.more["kinds"], batch.more["row_weights"]
        documents = network.vectors({name: inputs[name] for name in ("input_ids", "attention_mask")})
        queries = network.vectors({"input_ids": inputs["target_ids"], "attention_mask": inputs["target_mask"]})
        own = tf.range(kinds.shape[0])
        alike = tf.reduce_any(kinds[:, None] == kinds, -1) | (weights == 0)[:, None] | (weights == 0)
        scores = tf.matmul(queries, documents, transpose_b=True) / self.temperature
        scores = tf.where(alike & (own[:, None] != own), scores.dtype.min, scores)
        loss = cross_entropy(scores, own)
        if self.symmetric:
            loss = (loss + cross_entropy(tf.transpose(scores), own)) / 2
        return Terms(loss * weights, own)


def cross_entropy(logits: tf.Tensor, labels: tf.Tensor, smoothing: float = 0.0) -> tf.Tensor:
    """-sum_c q_c log p_c, with q = (1 - s) of the label, and s / C of each choice: [M, C], [M] -> [M]."""
    each = tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits)
    if not smoothing:
        return each
    return (1 - smoothing) * each - smoothing * tf.reduce_mean(tf.nn.log_softmax(logits), -1)


def function_of(objective: Objective, label_smoothing: float = 0.0) -> ObjectiveFunction:
    """The function of an objective, its options given. ValueError for one that only PyTorch's networks have."""
    if objective.name == "contrast":
        return Contrast(**objective.options)
    if objective.name == "choices":
        return lambda network, batch: choices(network, batch, label_smoothing=label_smoothing)
    raise ValueError(f"framework=tensorflow does not have the loss {objective.name}: set framework=torch, which has it")


def sum_by_row(terms: Terms, batch_size: int) -> tf.Tensor:
    """[B]: the terms of each row, added up."""
    return tf.math.unsorted_segment_sum(terms.each, terms.rows, batch_size)
