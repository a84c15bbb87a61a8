"""Token ids to vectors: the input of a stack of layers.

The sum of a token's vector, a position's and a segment's (Devlin et al. 2019, section 3), each where the config has it. ALBERT keeps
token vectors small and projects them (Lan et al. 2020, arXiv 1909.11942, section 3.1).

Shapes: B batch, T length, D d_model, E width of the token vectors, V vocabulary.
"""

from __future__ import annotations

import math

import tensorflow as tf

from models.config import ModelConfig
from models.position_tables import sinusoidal
from models.tensorflow.dropout import dropout
from models.tensorflow.module import Linear, Module, Table
from models.tensorflow.position_wise import norm


class TokenTable(Table):
    """A vector for each token. That of padding takes no gradient from here (PyTorch's `padding_idx`)."""

    def __init__(self, config: ModelConfig, width: int) -> None:
        super().__init__(config.vocab_size, width)
        self.padding = config.pad_id

    def __call__(self, places: tf.Tensor) -> tf.Tensor:
        """[...] -> [..., E]."""
        vectors = super().__call__(places)
        return tf.where((places == self.padding)[..., None], tf.stop_gradient(vectors), vectors)


class Embedding(Module):
    """The vectors of tokens at their positions, normed and dropped out as the config says."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        width = config.d_embedding or config.d_model
        self.tokens = TokenTable(config, width)
        if config.positions == "learned":
            self.positions = Table(config.max_length, width)
        if config.token_types:
            self.types = Table(config.token_types, width)
        if config.has_embedding_norm:
            self.norm = norm(config, width)
        if config.d_embedding:
            self.projection = Linear(width, config.d_model)

    def __call__(self, input_ids: tf.Tensor, positions: tf.Tensor, token_types: tf.Tensor | None = None) -> tf.Tensor:
        """[B, T], positions [B or 1, T] and segments [B, T] (None: all 0) -> [B, T, D]."""
        config = self.config
        x = self.tokens(input_ids)
        if config.scale_embeddings:
            x = x * math.sqrt(x.shape[-1])
        if config.positions == "learned":
            x = x + self.positions(positions)
        elif config.positions == "sinusoidal":
            x = x + tf.gather(sinusoidal(positions.shape[-1], x.shape[-1]), positions)
        if config.token_types:
            x = x + self.types(0 if token_types is None else token_types)
        x = dropout(self.norm(x) if config.has_embedding_norm else x, config.dropout)
        return self.projection(x) if config.d_embedding else x
