"""The Transformer encoder.

Vaswani et al. 2017, section 3.1. Norms stand where the config says:

    pre   h = x + Attention(Norm(x));  y = h + FFN(Norm(h));  a last Norm on top   (Xiong et al. 2020, arXiv 2002.04745)
    post  h = Norm(x + Attention(x));  y = Norm(h + FFN(h));  a Norm on the embedding             (as in BERT)

Shapes: B batch, T length, D d_model, H heads.
Mask polarity: True = may attend.
"""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from models.config import ModelConfig
from models.tensorflow.attention import MultiHeadAttention
from models.tensorflow.dropout import drop_rows, dropout
from models.tensorflow.embedding import Embedding
from models.tensorflow.layer_masks import LayerMask, layer_masks
from models.tensorflow.masks import document_positions, hide_later, places, same_document
from models.tensorflow.module import Module
from models.tensorflow.patches import image_embedding
from models.tensorflow.position_wise import FeedForward, norm
from models.tensorflow.positions import RelativePositions


class EncoderLayer(Module):
    """Attention, then feed-forward, each with a residual connection: [B, T, D] -> [B, T, D]."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.pre, self.dropout, self.layer_dropout = config.norm == "pre", config.dropout, config.layer_dropout
        self.attention_norm = norm(config)
        self.attention = MultiHeadAttention(config)
        self.feed_forward_norm = norm(config)
        self.feed_forward = FeedForward(config)

    def __call__(self, x: tf.Tensor, seen: LayerMask) -> tf.Tensor:
        if self.pre:
            x = x + self._drop(self.attention(self.attention_norm(x), seen))
            return x + self._drop(self.feed_forward(self.feed_forward_norm(x)))
        x = self.attention_norm(x + self._drop(self.attention(x, seen)))
        return self.feed_forward_norm(x + self._drop(self.feed_forward(x)))

    def attention_weights(self, x: tf.Tensor, seen: LayerMask) -> tf.Tensor:
        """The attention probabilities of this layer's heads, [B, H, T, T]."""
        return self.attention.weights(self.attention_norm(x) if self.pre else x, seen)

    def _drop(self, x: tf.Tensor) -> tf.Tensor:
        return drop(x, self.dropout, self.layer_dropout)


class Encoder(Module):
    """Token ids, or the pixels of an image, to vectors, each of which has seen the whole sequence."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        self.embedding: Any = image_embedding(config) if config.image_height else Embedding(config)
        self.layers = [EncoderLayer(config) for _ in range(1 if config.share_layers else config.num_layers)]
        self.relative = RelativePositions(config, bidirectional=True) if config.positions == "relative" else None
        self.final_norm = norm(config) if config.norm == "pre" else None

    def __call__(
        self,
        input_ids: tf.Tensor,
        attention_mask: tf.Tensor | None = None,
        token_types: tf.Tensor | None = None,
        causal: tf.Tensor | None = None,
        documents: tf.Tensor | None = None,
    ) -> tf.Tensor:
        """[B, T] -> [B, T, D]. `attention_mask` [B, T] is False at padding; None if nothing is padded. In rows `causal` [B] each
        position sees only itself and what came before. Rows of several texts have `documents` [B, T], a number for each of them
        and one for padding, in place of the mask.

        Of images pixels [B, C, H, W] take the place of token ids, and T is the number of patches.
        """
        x, positions = self._embed(input_ids, token_types, documents)
        visible = self._layer_masks(positions, attention_mask if documents is None else same_document(documents))
        if causal is not None:
            visible = [seen._replace(mask=hide_later(seen.mask, causal, positions)) for seen in visible]
        for layer, seen in zip(self._stack(), visible, strict=True):
            x = layer(x, seen)
        return x if self.final_norm is None else self.final_norm(x)

    def attention_maps(self, input_ids: tf.Tensor, attention_mask: tf.Tensor | None = None) -> list[tf.Tensor]:
        """The attention probabilities of each layer, [B, H, T, T]; for looking at."""
        x, positions = self._embed(input_ids)
        maps = []
        for layer, seen in zip(self._stack(), self._layer_masks(positions, attention_mask), strict=True):
            maps.append(layer.attention_weights(x, seen))
            x = layer(x, seen)
        return maps

    def _embed(
        self, inputs: tf.Tensor, token_types: tf.Tensor | None = None, documents: tf.Tensor | None = None
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Vectors and the positions they stand at, [B or 1, T]: of each text in a row its own."""
        if self.config.image_height:
            x = self.embedding(inputs)
            return x, places(x.shape[1])
        positions = places(inputs.shape[1]) if documents is None else document_positions(documents)
        return self.embedding(inputs, positions, token_types), positions

    def _stack(self) -> list[EncoderLayer]:
        """The layers in order, a shared one as often as it is used."""
        return self.layers * self.config.num_layers if self.config.share_layers else self.layers

    def _layer_masks(self, positions: tf.Tensor, attention_mask: tf.Tensor | None) -> list[LayerMask]:
        config = self.config
        return layer_masks(config, config.num_layers, positions, attention_mask, self.relative, causal=False)


def drop(x: tf.Tensor, share: float, layer_dropout: float) -> tf.Tensor:
    """A sublayer's output in training: single numbers dropped, and whole rows, which then skip the sublayer."""
    return drop_rows(dropout(x, share), layer_dropout)
