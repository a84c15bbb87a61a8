"""The recurrent language model: what may come next, said by a state that has read what came before.

Mikolov et al. 2010, "Recurrent neural network based language model"; with LSTM cells and dropout on what goes up, not on
what goes through time, Zaremba et al. 2014 (arXiv 1409.2329).

Shapes: B batch, T length, D d_model.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from models.config import ModelConfig
from models.torch.dropout import dropout
from models.torch.embedding import TokenEmbedding
from models.torch.recurrent.cache import StateCache
from models.torch.recurrent.cells import Cells


class Decoder(nn.Module):
    """Token ids to vectors, each of which says what may come next."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        self.embedding = TokenEmbedding(config)
        self.cells = Cells(config, inputs=self.embedding.width, width=config.d_model, layers=config.num_layers)

    def forward(
        self, input_ids: Tensor, attention_mask: Tensor | None = None, *, cache: StateCache | None = None
    ) -> Tensor:
        """[B, T] -> [B, T, D].

        Padding, at the end of a row, comes after every token: without a cache, nothing sees it and no mask is needed.
        With one, `input_ids` follow what it has read, and the mask [B, T] says which of them are no padding.
        """
        x = self.embedding(input_ids)
        if cache is None:
            out, _ = self.cells(x)
        else:
            out, state = self.cells(x, attention_mask, cache.state)
            cache.read(state, input_ids.shape[1] if attention_mask is None else attention_mask.sum(1))
        return dropout(out, self.config.dropout, self.training)

    def cache(self, rows: int, columns: int) -> StateCache:
        """Nothing read yet. A state has room for any number of tokens, so `columns` is no limit here."""
        lengths = torch.zeros(rows, dtype=torch.long, device=self.embedding.tokens.weight.device)
        return StateCache(self.cells.nothing(rows), lengths)
