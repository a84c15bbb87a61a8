"""The Transformer decoder: each position sees itself and earlier ones and, in an encoder-decoder, all of the memory.

Vaswani et al. 2017, sections 3.1 and 3.2.3; alone, Radford et al. 2018 and 2019 (GPT, GPT-2).

    pre   h = x + Attention(Norm(x));  h = h + Cross(Norm(h), memory);  y = h + FFN(Norm(h));  a last Norm on top
    post  h = Norm(x + Attention(x));  h = Norm(h + Cross(h, memory));  y = Norm(h + FFN(h))

Shapes: B batch, T target length, S source length, D d_model, H heads.
Mask polarity: True = may attend.
"""

from __future__ import annotations

import tensorflow as tf

from models.config import ModelConfig
from models.tensorflow.attention import CrossAttention, MultiHeadAttention
from models.tensorflow.embedding import Embedding
from models.tensorflow.encoder import drop
from models.tensorflow.layer_masks import LayerMask, layer_masks
from models.tensorflow.masks import document_positions, for_each_query, places, same_document
from models.tensorflow.module import Module
from models.tensorflow.position_wise import FeedForward, norm
from models.tensorflow.positions import RelativePositions


class DecoderLayer(Module):
    """Self-attention, attention to a memory if there is one, feed-forward: [B, T, D] -> [B, T, D]."""

    def __init__(self, config: ModelConfig, *, cross: bool) -> None:
        super().__init__()
        self.pre, self.dropout, self.layer_dropout = config.norm == "pre", config.dropout, config.layer_dropout
        self.attention_norm = norm(config)
        self.attention = MultiHeadAttention(config)
        if cross:
            self.cross_norm = norm(config)
            self.cross = CrossAttention(config)
        self.feed_forward_norm = norm(config)
        self.feed_forward = FeedForward(config)

    def __call__(self, x: tf.Tensor, seen: LayerMask, memory: tf.Tensor | None, seen_memory: LayerMask) -> tf.Tensor:
        if self.pre:
            x = x + self._drop(self.attention(self.attention_norm(x), seen))
            if memory is not None:
                x = x + self._drop(self.cross(self.cross_norm(x), memory, seen_memory))
            return x + self._drop(self.feed_forward(self.feed_forward_norm(x)))
        x = self.attention_norm(x + self._drop(self.attention(x, seen)))
        if memory is not None:
            x = self.cross_norm(x + self._drop(self.cross(x, memory, seen_memory)))
        return self.feed_forward_norm(x + self._drop(self.feed_forward(x)))

    def maps(
        self, x: tf.Tensor, seen: LayerMask, memory: tf.Tensor | None, seen_memory: LayerMask
    ) -> tuple[tf.Tensor, tf.Tensor | None]:
        """Attention probabilities of the heads: [B, H, T, T] over the target, [B, H, T, S] over the memory."""
        queries = self.attention_norm(x) if self.pre else x
        own = self.attention.weights(queries, seen)
        if memory is None:
            return own, None
        x = x + self.attention(queries, seen)
        queries = self.cross_norm(x) if self.pre else self.attention_norm(x)
        return own, self.cross.weights(queries, memory, seen_memory)

    def _drop(self, x: tf.Tensor) -> tf.Tensor:
        return drop(x, self.dropout, self.layer_dropout)


class Decoder(Module):
    """Token ids to vectors, each of which says what may come next. With `cross`, it looks at an encoder's memory."""

    def __init__(self, config: ModelConfig, *, cross: bool = False) -> None:
        super().__init__()
        self.config = config
        self.num_layers = config.decoder_layers if cross else config.num_layers
        self.embedding = Embedding(config)
        self.layers = [DecoderLayer(config, cross=cross) for _ in range(1 if config.share_layers else self.num_layers)]
        self.relative = RelativePositions(config, bidirectional=False) if config.positions == "relative" else None
        self.final_norm = norm(config) if config.norm == "pre" else None

    def __call__(
        self,
        input_ids: tf.Tensor,
        *,
        documents: tf.Tensor | None = None,
        memory: tf.Tensor | None = None,
        memory_mask: tf.Tensor | None = None,
    ) -> tf.Tensor:
        """[B, T] (and a memory [B, S, D] with its mask [B, S], False at padding) -> [B, T, D]. Rows of several texts have `documents`
        [B, T], a number for each of them. Padding comes last, where no earlier position sees it: it needs no mask."""
        x, visible = self._embed(input_ids, documents)
        seen_memory = LayerMask(for_each_query(memory_mask))
        for layer, seen in zip(self._stack(), visible, strict=True):
            x = layer(x, seen, memory, seen_memory)
        return x if self.final_norm is None else self.final_norm(x)

    def attention_maps(
        self, input_ids: tf.Tensor, *, memory: tf.Tensor | None = None, memory_mask: tf.Tensor | None = None
    ) -> list[tuple[tf.Tensor, tf.Tensor | None]]:
        """Attention weights of each layer: over the target [B, H, T, T] and over the memory [B, H, T, S]."""
        x, visible = self._embed(input_ids)
        seen_memory, maps = LayerMask(for_each_query(memory_mask)), []
        for layer, seen in zip(self._stack(), visible, strict=True):
            maps.append(layer.maps(x, seen, memory, seen_memory))
            x = layer(x, seen, memory, seen_memory)
        return maps

    def _embed(self, input_ids: tf.Tensor, documents: tf.Tensor | None = None) -> tuple[tf.Tensor, list[LayerMask]]:
        positions, mask = places(input_ids.shape[1]), None
        if documents is not None:
            positions, mask = document_positions(documents), same_document(documents)
        visible = layer_masks(self.config, self.num_layers, positions, mask, self.relative, causal=True)
        return self.embedding(input_ids, positions), visible

    def _stack(self) -> list[DecoderLayer]:
        """The layers in order, a shared one as often as it is used."""
        return self.layers * self.num_layers if self.config.share_layers else self.layers
