"""The Transformer encoder.

Vaswani et al. 2017, section 3.1. Norms stand where the config says:

    pre   h = x + Attention(Norm(x));  y = h + FFN(Norm(h));  a last Norm on top   (Xiong et al. 2020, arXiv 2002.04745)
    post  h = Norm(x + Attention(x));  y = Norm(h + FFN(h));  a Norm on the embedding             (as in BERT)

Shapes: B batch, T length, D d_model, H heads.
Mask polarity: True = may attend.
"""

from __future__ import annotations

from flax import nnx
from jax import Array

from models.config import ModelConfig
from models.flax.attention import MultiHeadAttention
from models.flax.dropout import drop_rows, dropout
from models.flax.embedding import Embedding, places
from models.flax.layer_masks import LayerMask, layer_masks
from models.flax.masks import document_positions, hide_later, same_document
from models.flax.patches import ImageEmbedding, image_embedding
from models.flax.position_wise import FeedForward, norm
from models.flax.positions import RelativePositions


class EncoderLayer(nnx.Module):
    """Attention, then feed-forward, each with a residual connection: [B, T, D] -> [B, T, D]."""

    def __init__(self, config: ModelConfig) -> None:
        self.pre, self.dropout, self.layer_dropout = config.norm == "pre", config.dropout, config.layer_dropout
        self.attention_norm = norm(config)
        self.attention = MultiHeadAttention(config)
        self.feed_forward_norm = norm(config)
        self.feed_forward = FeedForward(config)

    def __call__(self, x: Array, seen: LayerMask, rngs: nnx.Rngs | None = None) -> Array:
        if self.pre:
            x = x + self._drop(self.attention(self.attention_norm(x), seen, rngs), rngs)
            return x + self._drop(self.feed_forward(self.feed_forward_norm(x)), rngs)
        x = self.attention_norm(x + self._drop(self.attention(x, seen, rngs), rngs))
        return self.feed_forward_norm(x + self._drop(self.feed_forward(x), rngs))

    def attention_weights(self, x: Array, seen: LayerMask) -> Array:
        """The attention probabilities of this layer's heads, [B, H, T, T]."""
        return self.attention.weights(self.attention_norm(x) if self.pre else x, seen)

    def _drop(self, x: Array, rngs: nnx.Rngs | None) -> Array:
        return drop(x, self.dropout, self.layer_dropout, rngs)


class Encoder(nnx.Module):
    """Token ids, or the pixels of an image, to vectors, each of which has seen the whole sequence."""

    def __init__(self, config: ModelConfig) -> None:
        self.config = config
        self.embedding: ImageEmbedding | Embedding = (
            image_embedding(config) if config.image_height else Embedding(config)
        )
        self.layers = nnx.List([EncoderLayer(config) for _ in range(1 if config.share_layers else config.num_layers)])
        self.relative = RelativePositions(config, bidirectional=True) if config.positions == "relative" else None
        if config.norm == "pre":
            self.final_norm = norm(config)

    def __call__(
        self, inputs: Array, attention_mask: Array | None = None, *, token_types: Array | None = None,
        causal: Array | None = None, documents: Array | None = None, rngs: nnx.Rngs | None = None,
    ) -> Array:  # fmt: skip
        """[B, T] -> [B, T, D]. `attention_mask` [B, T] is False at padding; None if nothing is padded. In rows `causal` [B] each
        position sees only itself and what came before. Rows of several texts have `documents` [B, T], a number for each of them
        and one for padding, in place of the mask.

        Of images pixels [B, C, H, W] take the place of token ids, and T is the number of patches.
        """
        x, positions = self._embed(inputs, token_types, documents, rngs)
        seen = self._layer_masks(positions, attention_mask if documents is None else same_document(documents))
        if causal is not None:
            seen = [one._replace(mask=hide_later(one.mask, causal, positions)) for one in seen]
        for number, layer_mask in enumerate(seen):
            x = self._layer(number)(x, layer_mask, rngs)
        return self.final_norm(x) if self.config.norm == "pre" else x

    def attention_maps(
        self, inputs: Array, attention_mask: Array | None = None, token_types: Array | None = None
    ) -> list[Array]:
        """The attention probabilities of each layer, [B, H, T, T]; for looking at."""
        x, positions = self._embed(inputs, token_types)
        maps = []
        for number, layer_mask in enumerate(self._layer_masks(positions, attention_mask)):
            layer = self._layer(number)
            maps.append(layer.attention_weights(x, layer_mask))
            x = layer(x, layer_mask)
        return maps

    def _embed(
        self, inputs: Array, token_types: Array | None, documents: Array | None = None, rngs: nnx.Rngs | None = None
    ) -> tuple[Array, Array]:
        """Vectors [B, T, D], and their positions [B or 1, T]."""
        if isinstance(self.embedding, ImageEmbedding):
            x = self.embedding(inputs, rngs)
            return x, places(x.shape[1])
        positions = places(inputs.shape[1]) if documents is None else document_positions(documents)
        return self.embedding(inputs, positions, token_types, rngs), positions

    def _layer(self, number: int) -> EncoderLayer:
        return self.layers[0 if self.config.share_layers else number]

    def _layer_masks(self, positions: Array, attention_mask: Array | None) -> list[LayerMask]:
        config = self.config
        return layer_masks(config, config.num_layers, positions, positions, attention_mask, self.relative, causal=False)


def drop(x: Array, share: float, layer_dropout: float, rngs: nnx.Rngs | None) -> Array:
    """A sublayer's output in training: single numbers dropped, and whole rows, which then skip the sublayer."""
    return drop_rows(dropout(x, share, rngs), layer_dropout, rngs)
