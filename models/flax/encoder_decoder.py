"""Encoder and decoder together: a source is read, a target is written (Vaswani et al. 2017, section 3).

Source and target share one vocabulary and one embedding (section 3.4).

Shapes: B batch, S source length, T target length, D d_model.
"""

from __future__ import annotations

from flax import nnx
from jax import Array

from models.config import ModelConfig
from models.flax.decoder import Decoder
from models.flax.embedding import Embedding
from models.flax.encoder import Encoder


class EncoderDecoder(nnx.Module):
    """[B, S] and [B, T] -> [B, T, D]: for each target position, what may come next."""

    def __init__(self, config: ModelConfig) -> None:
        self.encoder = Encoder(config)
        self.decoder = Decoder(config, cross=True)
        if isinstance(self.encoder.embedding, Embedding):  # of images there are no tokens to share
            self.decoder.embedding.tokens = self.encoder.embedding.tokens

    def __call__(self, source: Array, source_mask: Array | None, target: Array, rngs: nnx.Rngs | None = None) -> Array:
        """The mask is False at padding; `target` begins with [CLS], which stands before every first token."""
        memory = self.encoder(source, source_mask, rngs=rngs)
        return self.decoder(target, memory=memory, memory_mask=source_mask, rngs=rngs)
