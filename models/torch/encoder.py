"""The Transformer encoder.

Vaswani et al. 2017, section 3.1. Norms stand where the config says:

    pre   h = x + Attention(Norm(x));  y = h + FFN(Norm(h));  a last Norm on top   (Xiong et al. 2020, arXiv 2002.04745)
    post  h = Norm(x + Attention(x));  y = Norm(h + FFN(h));  a Norm on the embedding             (as in BERT)

Shapes: B batch, T length, D d_model, H heads.
Mask polarity: True = may attend.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from models.config import ModelConfig
from models.torch.attention import MultiHeadAttention, Rotary
from models.torch.dropout import drop_rows, dropout
from models.torch.embedding import Embedding, places
from models.torch.layer_masks import LayerMask, layer_masks
from models.torch.masks import document_positions, hide_later, same_document
from models.torch.patches import image_embedding
from models.torch.position_wise import FeedForward, norm
from models.torch.positions import RelativePositions
from models.torch.unpadding import Unpadding


class EncoderLayer(nn.Module):
    """Attention, then feed-forward, each with a residual connection: [B, T, D] -> [B, T, D]."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.pre, self.dropout, self.layer_dropout = config.norm == "pre", config.dropout, config.layer_dropout
        self.attention_norm = norm(config)
        self.attention = MultiHeadAttention(config)
        self.feed_forward_norm = norm(config)
        self.feed_forward = FeedForward(config)

    def forward(
        self, x: Tensor, mask: Tensor | None, rotary: Rotary | None = None, unpadding: Unpadding | None = None
    ) -> Tensor:
        if self.pre:
            x = x + self._drop(self.attention(self.attention_norm(x), mask, rotary=rotary, unpadding=unpadding))
            return x + self._drop(self.feed_forward(self.feed_forward_norm(x)))
        x = self.attention_norm(x + self._drop(self.attention(x, mask, rotary=rotary, unpadding=unpadding)))
        out: Tensor = self.feed_forward_norm(x + self._drop(self.feed_forward(x)))
        return out

    def attention_weights(self, x: Tensor, mask: Tensor | None, rotary: Rotary | None = None) -> Tensor:
        """The attention probabilities of this layer's heads, [B, H, T, T]."""
        return self.attention.weights(self.attention_norm(x) if self.pre else x, mask, rotary=rotary)

    def _drop(self, x: Tensor) -> Tensor:
        return drop(x, self.dropout, self.layer_dropout) if self.training else x


class Encoder(nn.Module):
    """Token ids, or the pixels of an image, to vectors, each of which has seen the whole sequence."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        self.embedding = image_embedding(config) if config.image_height else Embedding(config)
        self.layers = nn.ModuleList(
            EncoderLayer(config) for _ in range(1 if config.share_layers else config.num_layers)
        )
        if config.positions == "relative":
            self.relative = RelativePositions(config, bidirectional=True)
        if config.norm == "pre":
            self.final_norm = norm(config)

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        token_types: Tensor | None = None,
        causal: Tensor | None = None,
        documents: Tensor | None = None,
    ) -> Tensor:
        """[B, T] -> [B, T, D]. `attention_mask` [B, T] is False at padding; None if nothing is padded. In rows `causal` [B] each
        position sees only itself and what came before. Rows of several texts have `documents` [B, T], a number for each of them
        and one for padding, in place of the mask.

        Of images pixels [B, C, H, W] take the place of token ids, and T is the number of patches.
        """
        x, positions = self._embed(input_ids, token_types, documents)
        visible = self._layer_masks(positions, attention_mask if documents is None else same_document(documents))
        if causal is not None:
            visible = [(hide_later(mask, causal, positions), rotary) for mask, rotary in visible]
        unpadding = None
        if self.config.unpadding and attention_mask is not None:
            unpadding = Unpadding.of(attention_mask)
            x = unpadding.pack(x)
        for number in range(self.config.num_layers):
            x = self._layer(number)(x, *visible[number], unpadding)
        out: Tensor = self.final_norm(x) if self.config.norm == "pre" else x
        return out if unpadding is None else unpadding.pad(out)

    @torch.no_grad()
    def attention_maps(
        self, input_ids: Tensor, attention_mask: Tensor | None = None, token_types: Tensor | None = None
    ) -> list[Tensor]:
        """The attention probabilities of each layer, [B, H, T, T]; for looking at."""
        x, positions = self._embed(input_ids, token_types)
        visible, maps = self._layer_masks(positions, attention_mask), []
        for number in range(self.config.num_layers):
            layer = self._layer(number)
            maps.append(layer.attention_weights(x, *visible[number]))
            x = layer(x, *visible[number])
        return maps

    def _embed(
        self, inputs: Tensor, token_types: Tensor | None, documents: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Vectors [B, T, D], and their positions [B or 1, T]."""
        if self.config.image_height:
            x = self.embedding(inputs)
            return x, places(x.shape[1], x.device)
        positions = places(inputs.shape[1], inputs.device) if documents is None else document_positions(documents)
        return self.embedding(inputs, positions, token_types), positions

    def _layer(self, number: int) -> EncoderLayer:
        layer = self.layers[0 if self.config.share_layers else number]
        assert isinstance(layer, EncoderLayer)
        return layer

    def _layer_masks(self, positions: Tensor, attention_mask: Tensor | None) -> list[LayerMask]:
        config, relative = self.config, getattr(self, "relative", None)
        return layer_masks(config, config.num_layers, positions, positions, attention_mask, relative, causal=False)


def drop(x: Tensor, share: float, layer_dropout: float) -> Tensor:
    """A sublayer's output in training: single numbers dropped, and whole rows, which then skip the sublayer."""
    x = dropout(x, share)
    return drop_rows(x, layer_dropout) if layer_dropout else x
