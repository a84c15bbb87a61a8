"""The Transformer encoder.

Vaswani et al. 2017, section 3.1, with learned positions as in BERT (Devlin et al. 2019, arXiv 1810.04805, section 3).
Layer norm stands where the config says:

    pre   h = x + Attention(Norm(x));  y = h + FFN(Norm(h));  a last Norm on top   (Xiong et al. 2020, arXiv 2002.04745)
    post  h = Norm(x + Attention(x));  y = Norm(h + FFN(h));  a Norm on the embedding             (as in BERT)

Shapes: B batch, T length, D d_model, H heads, V vocabulary.
Mask polarity: True = may attend.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.config import EncoderConfig
from models.torch.attention import MultiHeadAttention
from models.torch.feed_forward import FeedForward


class Embedding(nn.Module):
    """Sum of a token's and a position's vector; with post-norm, normalised."""

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        self.tokens = nn.Embedding(config.vocab_size, config.d_model, padding_idx=config.pad_id)
        self.positions = nn.Embedding(config.max_length, config.d_model)
        if config.norm == "post":
            self.norm = nn.LayerNorm(config.d_model, eps=config.layer_norm_epsilon)
        self.post = config.norm == "post"

    def forward(self, input_ids: Tensor) -> Tensor:
        x: Tensor = self.tokens(input_ids) + self.positions.weight[: input_ids.shape[1]]  # [B, T, D]
        return self.norm(x) if self.post else x


class EncoderLayer(nn.Module):
    """Attention, then feed-forward, each with a residual connection: [B, T, D] -> [B, T, D]."""

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        self.pre, self.dropout = config.norm == "pre", config.dropout
        self.attention_norm = nn.LayerNorm(config.d_model, eps=config.layer_norm_epsilon)
        self.attention = MultiHeadAttention(config)
        self.feed_forward_norm = nn.LayerNorm(config.d_model, eps=config.layer_norm_epsilon)
        self.feed_forward = FeedForward(config)

    def forward(self, x: Tensor, attention_mask: Tensor | None) -> Tensor:
        if self.pre:
            x = x + self._drop(self.attention(self.attention_norm(x), attention_mask))
            return x + self._drop(self.feed_forward(self.feed_forward_norm(x)))
        x = self.attention_norm(x + self._drop(self.attention(x, attention_mask)))
        out: Tensor = self.feed_forward_norm(x + self._drop(self.feed_forward(x)))
        return out

    def attention_weights(self, x: Tensor, attention_mask: Tensor | None) -> Tensor:
        """What this layer's heads attend to, [B, H, T, T]."""
        return self.attention.weights(self.attention_norm(x) if self.pre else x, attention_mask)

    def _drop(self, x: Tensor) -> Tensor:
        return F.dropout(x, self.dropout, self.training) if self.dropout else x


class Encoder(nn.Module):
    """Token ids to vectors, each of which has seen the whole sequence."""

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        self.config = config
        self.embedding = Embedding(config)
        self.layers = nn.ModuleList(EncoderLayer(config) for _ in range(config.num_layers))
        if config.norm == "pre":
            self.final_norm = nn.LayerNorm(config.d_model, eps=config.layer_norm_epsilon)

    def forward(self, input_ids: Tensor, attention_mask: Tensor | None = None) -> Tensor:
        """[B, T] -> [B, T, D]. `attention_mask` [B, T] is False at padding; None where there is none."""
        x = F.dropout(self.embedding(input_ids), self.config.dropout, self.training)
        for layer in self.layers:
            x = layer(x, attention_mask)
        return self.final_norm(x) if self.config.norm == "pre" else x

    @torch.no_grad()
    def attention_maps(self, input_ids: Tensor, attention_mask: Tensor | None = None) -> list[Tensor]:
        """The attention probabilities of each layer, [B, H, T, T]; for looking at."""
        maps, x = [], self.embedding(input_ids)
        for layer in self.layers:
            assert isinstance(layer, EncoderLayer)
            maps.append(layer.attention_weights(x, attention_mask))
            x = layer(x, attention_mask)
        return maps


def initialize(network: nn.Module, std: float, generator: torch.Generator) -> None:
    """Draw every weight from a normal distribution (Devlin et al. 2019); biases 0, norms 1, padding's vector 0."""
    for module in network.modules():
        if isinstance(module, nn.Linear | nn.Embedding):
            nn.init.normal_(module.weight, std=std, generator=generator)
            if isinstance(module, nn.Linear) and module.bias is not None:
                nn.init.zeros_(module.bias)
            if isinstance(module, nn.Embedding) and module.padding_idx is not None:
                with torch.no_grad():
                    module.weight[module.padding_idx].zero_()
