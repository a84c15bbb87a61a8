"""Recurrent decoders that look at an encoder's memory m.

Bahdanau et al. 2015 (arXiv 1409.0473), sections 2.2 and 3.1, appendix A.2: the state looks, then reads, then speaks.

    c_t = context(s_{t-1}),  s_t = cell(s_{t-1}, [E y_{t-1}; c_t]),  out_t = maxout(U s_t + V E y_{t-1} + C c_t + b)
    s_0 = tanh(W_s . backward m_1)                      the backward vector of the first place has read all of the source

Luong et al. 2015 (arXiv 1508.04025), section 3.1: the state reads, then looks, so that a training reads all targets at once.

    s_t = cell(s_{t-1}, E y_{t-1}),  c_t = context(s_t),  out_t = tanh(W_c [c_t; s_t])

Appendix A.2 has s_{t-1} in out_t, equation 4 has s_t, which knows y_{t-1}: we take s_t. Luong's cells are LSTMs and begin
at the encoder's last states; here both decoders take the config's cell and begin with s_0.

Shapes: B batch, T target length, S source length, N layers, E width of the token vectors, D d_model.
"""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn

from models.config import ModelConfig
from models.torch.devices import widen
from models.torch.dropout import dropout
from models.torch.embedding import TokenEmbedding
from models.torch.recurrent.alignment import Additive, Multiplicative, attend
from models.torch.recurrent.cache import Source, StateCache
from models.torch.recurrent.cells import Cells, State


class AlignedDecoder(nn.Module, ABC):
    """Common to both decoders: the first state, the cache, the interface of an encoder-decoder's decoder."""

    alignment: Additive | Multiplicative
    cells: Cells

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        self.embedding = TokenEmbedding(config)
        self.bridge = nn.Linear(config.d_model // 2, config.decoder_layers * config.d_model)  # W_s, of each layer

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        *,
        memory: Tensor | None = None,
        memory_mask: Tensor | None = None,
        cache: StateCache | None = None,
    ) -> Tensor:
        """[B, T] and a memory [B, S, D] -> [B, T, D].

        With a cache, `input_ids` are the tokens that follow what it has read, `attention_mask` [B, T] says which of them
        are no padding (at the end of a row), and the memory is the cache's.
        """
        if cache is not None:
            assert cache.source is not None
            out, state, _ = self._read(self.embedding(input_ids), attention_mask, cache.state, cache.source)
            cache.read(state, input_ids.shape[1] if attention_mask is None else attention_mask.sum(1))
        else:
            assert memory is not None
            source = self._source(memory, memory_mask)
            out, _, _ = self._read(self.embedding(input_ids), None, self._first(memory), source)
        return dropout(out, self.config.dropout, self.training)

    def cache(self, rows: int, columns: int, memory: Tensor, memory_mask: Tensor | None = None) -> StateCache:
        """A cache without target tokens; the memory's part is computed here, once. `columns` is no limit."""
        lengths = torch.zeros(rows, dtype=torch.long, device=memory.device)
        return StateCache(self._first(memory), lengths, self._source(memory, memory_mask))

    @torch.no_grad()
    def attention_maps(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        *,
        memory: Tensor,
        memory_mask: Tensor | None = None,
    ) -> list[tuple[None, Tensor]]:
        """The alignment [B, 1, T, S], as of one layer with one head; of the target, such a decoder attends to nothing."""
        source = self._source(memory, memory_mask)
        _, _, weights = self._read(self.embedding(input_ids), None, self._first(memory), source)
        return [(None, weights.unsqueeze(1))]

    @abstractmethod
    def _read(self, x: Tensor, mask: Tensor | None, state: State, source: Source) -> tuple[Tensor, State, Tensor]:
        """[B, T, E] -> [B, T, D], the state after the last token, and the weights [B, T, S]."""

    def _source(self, memory: Tensor, memory_mask: Tensor | None) -> Source:
        return Source(memory, self.alignment.keys(memory), memory_mask)

    def _first(self, memory: Tensor) -> State:
        backward = memory[:, 0, memory.shape[-1] // 2 :]  # [B, D/2]
        first = torch.tanh(widen(self.bridge(backward))).view(len(memory), -1, self.config.d_model)  # [B, N, D]
        first = first.transpose(0, 1).contiguous()
        return (first, torch.zeros_like(first)) if self.config.cell == "lstm" else (first,)


class AdditiveDecoder(AlignedDecoder):
    """Bahdanau's: the attended context is part of the input, so a target is read token by token, in training too."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__(config)
        self.alignment = Additive(config)
        width = self.embedding.width
        self.cells = Cells(config, inputs=width + config.d_model, width=config.d_model, layers=config.decoder_layers)
        # U, V and C side by side
        self.output = nn.Linear(config.d_model + width + config.d_model, 2 * config.d_model)

    def _read(self, x: Tensor, mask: Tensor | None, state: State, source: Source) -> tuple[Tensor, State, Tensor]:
        states: list[Tensor] = []
        looked: list[Tensor] = []
        for place in range(x.shape[1]):
            token = x[:, place : place + 1]  # [B, 1, E]
            context, weights = attend(self.alignment(_top(state), source.keys), source.memory, source.mask)
            read, after = self.cells(torch.cat([token, context], -1), None, state)
            if mask is not None:
                after = tuple(
                    torch.where(mask[:, place, None], new, old) for new, old in zip(after, state, strict=True)
                )
            state = after
            states.append(torch.cat([read, token, context], -1))
            looked.append(weights)
        return self._maxout(torch.cat(states, 1)), state, torch.cat(looked, 1)

    def _maxout(self, states: Tensor) -> Tensor:
        """The larger of each two numbers (Goodfellow et al. 2013, arXiv 1302.4389): [B, T, 2 D + E] -> [B, T, D]."""
        pairs: Tensor = self.output(states).unflatten(-1, (-1, 2))
        return pairs.amax(-1)


class MultiplicativeDecoder(AlignedDecoder):
    """Luong's, without input feeding (section 3.3), which would make it read token by token as well."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__(config)
        self.alignment = Multiplicative(config)
        self.cells = Cells(config, inputs=self.embedding.width, width=config.d_model, layers=config.decoder_layers)
        self.output = nn.Linear(2 * config.d_model, config.d_model, bias=False)  # W_c

    def _read(self, x: Tensor, mask: Tensor | None, state: State, source: Source) -> tuple[Tensor, State, Tensor]:
        states, after = self.cells(x, mask, state)
        context, weights = attend(self.alignment(states, source.keys), source.memory, source.mask)
        return torch.tanh(self.output(torch.cat([context, states], -1))), after, weights


ALIGNED: dict[str, type[AlignedDecoder]] = {"additive": AdditiveDecoder, "multiplicative": MultiplicativeDecoder}


def _top(state: State) -> Tensor:
    """The uppermost layer's h, as one target position: [N, B, D] -> [B, 1, D]."""
    return state[0][-1].unsqueeze(1)
