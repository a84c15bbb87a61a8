"""The recurrent encoder reads in both directions, so that each vector has seen the whole sequence.

Schuster and Paliwal 1997; as an encoder for attention, Bahdanau et al. 2015 (arXiv 1409.0473), section 3.2:

    m_t = [forward h_t; backward h_t]

Backwards, a row is read from its own last token on and padding stays behind it: no state ever sees padding, and the kernels
run at their full speed, which they do not on packed sequences.

Shapes: B batch, T length, D d_model.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from models.config import ModelConfig
from models.torch.dropout import dropout
from models.torch.embedding import TokenEmbedding
from models.torch.recurrent.cells import Cells


class TwoWays(nn.Module):
    """A layer of cells in each direction: [B, T, I] -> [B, T, D], half of it from each."""

    def __init__(self, config: ModelConfig, inputs: int) -> None:
        super().__init__()
        self.rightward = Cells(config, inputs=inputs, width=config.d_model // 2, layers=1)
        self.leftward = Cells(config, inputs=inputs, width=config.d_model // 2, layers=1)

    def forward(self, x: Tensor, turned: Tensor) -> Tensor:
        """`turned` [B, T, 1]: the places of each row in the order of reading it backwards."""
        right, _ = self.rightward(x)
        left, _ = self.leftward(_take(x, turned))
        return torch.cat([right, _take(left, turned)], -1)


class Encoder(nn.Module):
    """Token ids to vectors, each of which has seen the whole sequence."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        if config.d_model % 2:
            raise ValueError(
                f"d_model={config.d_model}: a recurrent encoder reads in two directions of d_model / 2 each; give an even one"
            )
        self.config = config
        self.embedding = TokenEmbedding(config)
        inputs = [self.embedding.width, *[config.d_model] * (config.num_layers - 1)]
        self.layers = nn.ModuleList(TwoWays(config, width) for width in inputs)

    def forward(self, input_ids: Tensor, attention_mask: Tensor | None = None) -> Tensor:
        """[B, T] -> [B, T, D]. `attention_mask` [B, T] is False at padding, which stands at the end of a row."""
        x, turned = self.embedding(input_ids), _backwards(input_ids, attention_mask)
        for layer in self.layers:
            x = layer(x, turned)
        return dropout(x, self.config.dropout, self.training)


def _backwards(input_ids: Tensor, attention_mask: Tensor | None) -> Tensor:
    """The places [B, T, 1] that turn each row's tokens around and leave its padding. Taken twice, all is as it was."""
    places = torch.arange(input_ids.shape[1], device=input_ids.device).expand_as(input_ids)
    lengths = input_ids.shape[1] if attention_mask is None else attention_mask.sum(1, keepdim=True)
    return torch.where(places < lengths, lengths - 1 - places, places).unsqueeze(-1)


def _take(x: Tensor, places: Tensor) -> Tensor:
    return x.gather(1, places.expand(-1, -1, x.shape[-1]))
