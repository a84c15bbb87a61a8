"""Task heads.

Devlin et al. 2019, "BERT" (arXiv 1810.04805): section 3.1, task 1 (masked LM), and section 3.2 (fine-tuning).

Shapes: B batch, T length, D d_model, E width of the token vectors, V vocabulary, M positions, C classes.
"""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp
from flax import nnx
from jax import Array

from models.config import ModelConfig
from models.flax.dropout import dropout
from models.flax.layers import Linear, parameter
from models.flax.position_wise import gelu, norm

_LOWEST = float(jnp.finfo(jnp.float32).min)
_SHORTEST = 1e-12  # length below which a vector is not made one of length 1, as PyTorch's `normalize` has it


class MaskedLMHead(nnx.Module):
    """logits = Norm(GELU(h W + b)) E^T + c, with E the token embedding (tied: Press and Wolf 2017, arXiv 1608.05859).

    It takes the vectors of masked positions alone: the product with E is the most expensive operation of the model, and the
    other 85 % of positions have no part in the loss.
    """

    def __init__(self, config: ModelConfig) -> None:
        width = config.d_embedding or config.d_model
        self.dense = Linear(config.d_model, width, bias=config.bias)
        self.norm = norm(config, width)
        self.bias = parameter(config.vocab_size)

    def __call__(self, hidden: Array, embedding: Array) -> Array:
        """[M, D], and the embedding [V, E] -> logits [M, V]."""
        return self.norm(gelu(self.dense(hidden))) @ embedding.T + self.bias[...]


class LMHead(nnx.Module):
    """logits = h E^T, or h W^T where input and output matrices are two, plus a bias where `output_bias` has one.

    T5 divides h by sqrt(D) before a tied matrix.
    """

    def __init__(self, config: ModelConfig) -> None:
        tied = config.tie_embeddings
        self.scale = 1 / math.sqrt(config.d_model) if config.scale_logits else 1.0
        self.projection = (
            Linear(config.d_model, config.d_embedding, bias=False) if config.d_embedding and tied else None
        )
        self.bias = parameter(config.vocab_size) if config.output_bias else None
        self.output = None if tied else Linear(config.d_model, config.vocab_size, bias=False)

    def __call__(self, hidden: Array, embedding: Array) -> Array:
        """[..., D], and the embedding [V, E] -> logits [..., V]."""
        if self.output is not None:
            logits = self.output(hidden)
        else:
            hidden = hidden * self.scale
            logits = (hidden if self.projection is None else self.projection(hidden)) @ embedding.T
        return logits if self.bias is None else logits + self.bias[...]


class Classifier(nnx.Module):
    """logits = tanh(p W + b) U + c, with p the sequence's vectors pooled by `pooling`.

    BERT takes the vector of [CLS]. The mean learns quicker where little or no pretraining has taught [CLS] to gather
    the sequence (Reimers and Gurevych 2019, arXiv 1908.10084, table 6, compares mean, max and [CLS]).

    Classifiers of images have no hidden layer, logits = p U + c: so it is in He et al. 2016 (section 3.3), in CCT (section
    3.3) and where ViT is fine-tuned (section 3.1).
    """

    def __init__(self, config: ModelConfig, num_labels: int, *, hidden: bool = True) -> None:
        self.dropout, self.pooling = config.dropout, config.pooling
        self.pool = sequence_pool(config)
        self.dense = Linear(config.d_model, config.d_model) if hidden else None
        self.output = Linear(config.d_model, num_labels)

    def __call__(self, memory: Array, attention_mask: Array | None, rngs: nnx.Rngs | None = None) -> Array:
        """[B, T, D] -> [B, C]; padding has no part in it."""
        pooled = pool(memory, attention_mask, self.pool or self.pooling)
        if self.dense is not None:
            pooled = dropout(jnp.tanh(self.dense(pooled)), self.dropout, rngs)
        return self.output(pooled)


class SequencePool(nnx.Module):
    """softmax(x g)^T x: each vector of a sequence counts as much as it says itself.

    Hassani et al. 2021, "CCT" (arXiv 2104.05704), section 3.3, equations 1 to 3.
    """

    def __init__(self, config: ModelConfig) -> None:
        self.score = Linear(config.d_model, 1)

    def __call__(self, memory: Array, attention_mask: Array | None = None) -> Array:
        """[B, T, D] -> [B, D]."""
        return jnp.einsum("bt,btd->bd", self.weights(memory, attention_mask), memory)

    def weights(self, memory: Array, attention_mask: Array | None = None) -> Array:
        """Weight of each vector, [B, T]; each row sums to 1, padding has weight 0."""
        scores = self.score(memory)[..., 0]
        return jax.nn.softmax(scores if attention_mask is None else jnp.where(attention_mask, scores, _LOWEST), -1)


class TokenClassifier(nnx.Module):
    """logits = h W + c, of each vector by itself (Devlin et al. 2019, section 5.3, without the CRF)."""

    def __init__(self, config: ModelConfig, num_tags: int) -> None:
        self.dropout = config.dropout
        self.output = Linear(config.d_model, num_tags)

    def __call__(self, memory: Array, rngs: nnx.Rngs | None = None) -> Array:
        """[..., D] -> [..., C]."""
        return self.output(dropout(memory, self.dropout, rngs))


class EmbeddingHead(nnx.Module):
    """One vector of length 1 for a sequence: what `pooling` says (the mean: Reimers and Gurevych 2019, arXiv 1908.10084,
    section 3), projected where `projection` gives a width. Products of two such vectors are their cosines."""

    def __init__(self, config: ModelConfig, projection: int = 0) -> None:
        self.pooling = config.pooling
        self.pool = sequence_pool(config)
        self.projection = Linear(config.d_model, projection, bias=False) if projection else None

    def __call__(self, memory: Array, attention_mask: Array | None) -> Array:
        """[B, T, D] -> [B, E]; padding has no part in it."""
        pooled = pool(memory, attention_mask, self.pool or self.pooling)
        vector = pooled if self.projection is None else self.projection(pooled)
        # The root of a number that may be 0 has no gradient: the bound is within it.
        return vector / jnp.sqrt(jnp.maximum(jnp.square(vector).sum(-1, keepdims=True), _SHORTEST**2))


def sequence_pool(config: ModelConfig) -> SequencePool | None:
    """The learned weights of `pooling: sequence`; the other ways have no parameters."""
    return SequencePool(config) if config.pooling == "sequence" else None


def pool(memory: Array, attention_mask: Array | None, how: str | SequencePool) -> Array:
    """One vector for a sequence: [B, T, D] -> [B, D]. `how`: mean, cls (the first), max or last, padding left out; or learned."""
    if isinstance(how, SequencePool):
        return how(memory, attention_mask)
    if how == "cls":
        return memory[:, 0]
    if attention_mask is None:
        return {"mean": memory.mean(1), "max": memory.max(1), "last": memory[:, -1]}[how]
    if how == "last":
        return memory[jnp.arange(len(memory)), attention_mask.sum(1) - 1]
    if how == "max":
        return jnp.where(attention_mask[..., None], memory, _LOWEST).max(1)
    weight = attention_mask[..., None].astype(memory.dtype)  # [B, T, 1]
    return (memory * weight).sum(1) / weight.sum(1)
