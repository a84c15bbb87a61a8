"""The Transformer decoder: each position sees itself and earlier ones and, in an encoder-decoder, all of the memory.

Vaswani et al. 2017, sections 3.1 and 3.2.3; alone, Radford et al. 2018 and 2019 (GPT, GPT-2).

    pre   h = x + Attention(Norm(x));  h = h + Cross(Norm(h), memory);  y = h + FFN(Norm(h));  a last Norm on top
    post  h = Norm(x + Attention(x));  h = Norm(h + Cross(h, memory));  y = Norm(h + FFN(h))

Text is written by PyTorch's twin, with a cache; this one is trained and asked about whole texts.

Shapes: B batch, T target length, S source length, D d_model, H heads.
Mask polarity: True = may attend.
"""

from __future__ import annotations

from flax import nnx
from jax import Array

from models.config import ModelConfig
from models.flax.attention import CrossAttention, MultiHeadAttention
from models.flax.embedding import Embedding, places
from models.flax.encoder import drop
from models.flax.layer_masks import LayerMask, layer_masks
from models.flax.masks import document_positions, same_document
from models.flax.position_wise import FeedForward, norm
from models.flax.positions import RelativePositions


class DecoderLayer(nnx.Module):
    """Self-attention, attention to a memory if there is one, feed-forward: [B, T, D] -> [B, T, D]."""

    def __init__(self, config: ModelConfig, *, cross: bool) -> None:
        self.pre, self.dropout, self.layer_dropout = config.norm == "pre", config.dropout, config.layer_dropout
        self.attention_norm = norm(config)
        self.attention = MultiHeadAttention(config)
        if cross:
            self.cross_norm = norm(config)
            self.cross = CrossAttention(config)
        self.feed_forward_norm = norm(config)
        self.feed_forward = FeedForward(config)

    def __call__(
        self, x: Array, seen: LayerMask, memory: Array | None, memory_mask: Array | None, rngs: nnx.Rngs | None = None
    ) -> Array:
        """A memory is [B, S, D], its mask [B, S]."""
        if self.pre:
            x = x + self._drop(self.attention(self.attention_norm(x), seen, rngs), rngs)
            if memory is not None:
                x = x + self._drop(self.cross.attend(self.cross_norm(x), memory, memory_mask, rngs), rngs)
            return x + self._drop(self.feed_forward(self.feed_forward_norm(x)), rngs)
        x = self.attention_norm(x + self._drop(self.attention(x, seen, rngs), rngs))
        if memory is not None:
            x = self.cross_norm(x + self._drop(self.cross.attend(x, memory, memory_mask, rngs), rngs))
        return self.feed_forward_norm(x + self._drop(self.feed_forward(x), rngs))

    def maps(
        self, x: Array, seen: LayerMask, memory: Array | None, memory_mask: Array | None
    ) -> tuple[Array, Array | None]:
        """Attention probabilities of the heads: [B, H, T, T] over the target, [B, H, T, S] over the memory."""
        queries = self.attention_norm(x) if self.pre else x
        own = self.attention.weights(queries, seen)
        if memory is None:
            return own, None
        x = x + self.attention(queries, seen)
        queries = self.cross_norm(x) if self.pre else self.attention_norm(x)
        return own, self.cross.attend_weights(queries, memory, memory_mask)

    def _drop(self, x: Array, rngs: nnx.Rngs | None) -> Array:
        return drop(x, self.dropout, self.layer_dropout, rngs)


class Decoder(nnx.Module):
    """Token ids to vectors, each of which says what may come next. With `cross`, it looks at an encoder's memory."""

    def __init__(self, config: ModelConfig, *, cross: bool = False) -> None:
        self.config, self.cross = config, cross
        self.num_layers = config.decoder_layers if cross else config.num_layers
        self.embedding = Embedding(config)
        made = range(1 if config.share_layers else self.num_layers)
        self.layers = nnx.List([DecoderLayer(config, cross=cross) for _ in made])
        self.relative = RelativePositions(config, bidirectional=False) if config.positions == "relative" else None
        if config.norm == "pre":
            self.final_norm = norm(config)

    def __call__(
        self, input_ids: Array, *, documents: Array | None = None, memory: Array | None = None,
        memory_mask: Array | None = None, rngs: nnx.Rngs | None = None,
    ) -> Array:  # fmt: skip
        """[B, T] (and a memory [B, S, D]) -> [B, T, D]. Rows of several texts have `documents` [B, T], a number for each of them."""
        x, seen = self._embed(input_ids, documents, rngs)
        for number, layer_mask in enumerate(seen):
            x = self._layer(number)(x, layer_mask, memory, memory_mask, rngs)
        return self.final_norm(x) if self.config.norm == "pre" else x

    def attention_maps(
        self, input_ids: Array, *, memory: Array | None = None, memory_mask: Array | None = None
    ) -> list[tuple[Array, Array | None]]:
        """Attention weights of each layer: over the target [B, H, T, T] and over the memory [B, H, T, S]."""
        x, seen = self._embed(input_ids)
        maps = []
        for number, layer_mask in enumerate(seen):
            layer = self._layer(number)
            maps.append(layer.maps(x, layer_mask, memory, memory_mask))
            x = layer(x, layer_mask, memory, memory_mask)
        return maps

    def _embed(
        self, input_ids: Array, documents: Array | None = None, rngs: nnx.Rngs | None = None
    ) -> tuple[Array, list[LayerMask]]:
        positions, mask = places(input_ids.shape[1]), None
        if documents is not None:
            positions, mask = document_positions(documents), same_document(documents)
        seen = layer_masks(self.config, self.num_layers, positions, positions, mask, self.relative, causal=True)
        return self.embedding(input_ids, positions, rngs=rngs), seen

    def _layer(self, number: int) -> DecoderLayer:
        return self.layers[0 if self.config.share_layers else number]
