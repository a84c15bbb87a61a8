"""Task heads.

Devlin et al. 2019, "BERT" (arXiv 1810.04805): section 3.1, task 1 (masked LM), and section 3.2 (fine-tuning).

Shapes: B batch, T length, D d_model, E width of the token vectors, V vocabulary, M positions, C classes.
"""

from __future__ import annotations

import math

import tensorflow as tf

from models.config import ModelConfig
from models.tensorflow.dropout import dropout
from models.tensorflow.module import Linear, Module, linear
from models.tensorflow.position_wise import norm

_SHORTEST = 1e-12  # norm of a vector that is divided by its norm; PyTorch's default


class MaskedLMHead(Module):
    """logits = Norm(GELU(h W + b)) E^T + c, with E the token embedding (tied: Press and Wolf 2017, arXiv 1608.05859).

    It takes the vectors of masked positions alone: the product with E is the most expensive operation of the model, and the
    other 85 % of positions have no part in the loss.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        width = config.d_embedding or config.d_model
        self.dense = Linear(config.d_model, width, bias=config.bias)
        self.norm = norm(config, width)
        self.bias = tf.Variable(tf.zeros([config.vocab_size]))

    def __call__(self, hidden: tf.Tensor, embedding: tf.Tensor) -> tf.Tensor:
        """[M, D], and the embedding [V, E] -> logits [M, V]."""
        return linear(self.norm(tf.nn.gelu(self.dense(hidden))), embedding, self.bias)


class LMHead(Module):
    """logits = h E^T, or h W^T where input and output matrices are two, plus a bias where `output_bias` has one.

    T5 divides h by sqrt(D) before a tied matrix.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        tied, width = config.tie_embeddings, config.d_model
        self.scale = 1 / math.sqrt(width) if config.scale_logits else 1.0
        self.projection = Linear(width, config.d_embedding, bias=False) if config.d_embedding and tied else None
        self.bias = tf.Variable(tf.zeros([config.vocab_size])) if config.output_bias else None
        self.output = None if tied else Linear(width, config.vocab_size, bias=False)

    def __call__(self, hidden: tf.Tensor, embedding: tf.Tensor) -> tf.Tensor:
        """[..., D], and the embedding [V, E] -> logits [..., V]."""
        if self.output is not None:
            return linear(hidden, self.output.weight, self.bias)
        hidden = hidden * self.scale
        return linear(hidden if self.projection is None else self.projection(hidden), embedding, self.bias)


class Classifier(Module):
    """logits = tanh(p W + b) U + c, with p the sequence's vectors pooled by `pooling`.

    BERT takes the vector of [CLS]. The mean learns quicker where little or no pretraining has taught [CLS] to gather
    the sequence (Reimers and Gurevych 2019, arXiv 1908.10084, table 6, compares mean, max and [CLS]).

    Classifiers of images have no hidden layer, logits = p U + c: so it is in He et al. 2016 (section 3.3), in CCT (section
    3.3) and where ViT is fine-tuned (section 3.1).
    """

    def __init__(self, config: ModelConfig, num_labels: int, *, hidden: bool = True) -> None:
        super().__init__()
        self.dropout, self.pooling = config.dropout, config.pooling
        self.pool = sequence_pool(config)
        self.dense = Linear(config.d_model, config.d_model) if hidden else None
        self.output = Linear(config.d_model, num_labels)

    def __call__(self, memory: tf.Tensor, attention_mask: tf.Tensor | None) -> tf.Tensor:
        """[B, T, D] -> [B, C]; padding has no part in it."""
        pooled = pool(memory, attention_mask, self.pool or self.pooling)
        if self.dense is not None:
            pooled = dropout(tf.tanh(self.dense(pooled)), self.dropout)
        return self.output(pooled)


class SequencePool(Module):
    """softmax(x g)^T x: each vector of a sequence counts as much as it says itself.

    Hassani et al. 2021, "CCT" (arXiv 2104.05704), section 3.3, equations 1 to 3.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.score = Linear(config.d_model, 1)

    def __call__(self, memory: tf.Tensor, attention_mask: tf.Tensor | None = None) -> tf.Tensor:
        """[B, T, D] -> [B, D]."""
        scores = tf.squeeze(self.score(memory), -1)
        if attention_mask is not None:
            scores = tf.where(attention_mask, scores, scores.dtype.min)
        return tf.einsum("bt,btd->bd", tf.nn.softmax(scores), memory)


class TokenClassifier(Module):
    """logits = h W + c, of each vector by itself (Devlin et al. 2019, section 5.3, without the CRF)."""

    def __init__(self, config: ModelConfig, num_tags: int) -> None:
        super().__init__()
        self.dropout = config.dropout
        self.output = Linear(config.d_model, num_tags)

    def __call__(self, memory: tf.Tensor) -> tf.Tensor:
        """[..., D] -> [..., C]."""
        return self.output(dropout(memory, self.dropout))


class EmbeddingHead(Module):
    """One vector of length 1 for a sequence: pooled as `pooling` says (the mean: Reimers and Gurevych 2019, arXiv 1908.10084,
    section 3), projected where `projection` gives a width. Products of two such vectors are their cosines."""

    def __init__(self, config: ModelConfig, projection: int = 0) -> None:
        super().__init__()
        self.pooling = config.pooling
        self.pool = sequence_pool(config)
        self.projection = Linear(config.d_model, projection, bias=False) if projection else None

    def __call__(self, memory: tf.Tensor, attention_mask: tf.Tensor | None) -> tf.Tensor:
        """[B, T, D] -> [B, E]; padding has no part in it."""
        pooled = pool(memory, attention_mask, self.pool or self.pooling)
        return tf.math.l2_normalize(
            pooled if self.projection is None else self.projection(pooled), -1, epsilon=_SHORTEST**2
        )


def sequence_pool(config: ModelConfig) -> SequencePool | None:
    """The learned weights of `pooling: sequence`; the other ways have no parameters."""
    return SequencePool(config) if config.pooling == "sequence" else None


def pool(memory: tf.Tensor, attention_mask: tf.Tensor | None, how: str | SequencePool) -> tf.Tensor:
    """One vector for a sequence: [B, T, D] -> [B, D]. `how`: mean, cls (the first), max or last, padding left out; or learned.

    As with PyTorch, a row needs a token: `models.shapes.fit` gives one to rows of padding.
    """
    if isinstance(how, SequencePool):
        return how(memory, attention_mask)
    if how == "cls":
        return memory[:, 0]
    if attention_mask is None:
        attention_mask = tf.ones(memory.shape[:2], tf.bool)
    weight = tf.cast(attention_mask, memory.dtype)[..., None]  # [B, T, 1]
    if how == "last":
        return tf.gather(memory, tf.reduce_sum(tf.cast(attention_mask, tf.int32), 1) - 1, batch_dims=1)
    if how == "max":
        return tf.reduce_max(tf.where(attention_mask[..., None], memory, memory.dtype.min), 1)
    return tf.reduce_sum(memory * weight, 1) / tf.reduce_sum(weight, 1)
