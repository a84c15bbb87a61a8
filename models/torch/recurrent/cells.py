"""Cells: a state that is rewritten at each token. Here `.` is the matrix product, * by elements, s the logistic function.

    rnn    h_t = tanh(W . x_t + U . h_{t-1} + b)                                             Elman 1990
    lstm   i, f, o = s(W_ifo . x_t + U_ifo . h_{t-1} + b_ifo),  g = tanh(W_g . x_t + U_g . h_{t-1} + b_g)
           c_t = f * c_{t-1} + i * g,  h_t = o * tanh(c_t)          Hochreiter and Schmidhuber 1997, section 4, with the
                                                                    forget gate f of Gers et al. 2000
    gru    r, z = s(W_rz . x_t + U_rz . h_{t-1} + b_rz),  g = tanh(W_g . x_t + b_g + r * (U_g . h_{t-1} + b'_g))
           h_t = z * h_{t-1} + (1 - z) * g                          Cho et al. 2014 (arXiv 1406.1078), equations 5 to 8

Elman's h is logistic; tanh, which has its mean at 0, has been the rule since. The paper's GRU multiplies r before U_g, not
after it: PyTorch's kernels, as cuDNN's, take it after, which lets the three products with h be one.

At the start, recurrent matrices are orthogonal: gradients keep their length where tanh is steep (Saxe et al. 2014, arXiv
1312.6120; Bahdanau et al. 2015, appendix B.1). An LSTM's forget bias is 1, so that it remembers before it has learned to
(Gers et al. 2000; Jozefowicz et al. 2015, section 2.2). Other biases are 0, other matrices drawn as `models/initialization.py` says.

Shapes: B batch, T length, I inputs, W width, N layers.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pad_packed_sequence

from models.config import ModelConfig
from models.torch.devices import device_of, full_precision, widen
from models.torch.dropout import dropout

State = tuple[Tensor, ...]  # h, of an LSTM also c, each [N, B, W]
_FUNCTIONS: dict[str, Callable[..., Any]] = {"rnn": torch.rnn_tanh, "lstm": torch.lstm, "gru": torch.gru}
_KERNELS: dict[str, Callable[..., nn.RNNBase]] = {"rnn": nn.RNN, "lstm": nn.LSTM, "gru": nn.GRU}


class Cells(nn.Module):
    """Layers of the config's cell, one above the other. Dropout is on the way up, into each layer, and never on the way
    through time (Zaremba et al. 2014, arXiv 1409.2329, section 3.2)."""

    def __init__(self, config: ModelConfig, *, inputs: int, width: int, layers: int) -> None:
        super().__init__()
        self.cell, self.layers, self.dropout = config.cell, layers, config.dropout
        self.kernel = _KERNELS[config.cell](inputs, width, layers, batch_first=True)

    def forward(self, x: Tensor, mask: Tensor | None = None, state: State | None = None) -> tuple[Tensor, State]:
        """[B, T, I] -> [B, T, W], and the state after each row's last token.

        Padding stands at the end of a row, so that no token's output sees it; `mask` [B, T] keeps
        it from the state as well. That disables the fast kernel: if the state is not used, omit the mask.
        """
        with full_precision(x):  # PyTorch has no kernel of every cell in a lower precision
            return self._read(dropout(widen(x), self.dropout, self.training), mask, state)

    def _read(self, x: Tensor, mask: Tensor | None, state: State | None) -> tuple[Tensor, State]:
        begun = state if state is None or self.cell == "lstm" else state[0]
        if mask is None:
            out, ended = self._run(x, begun)
            return out, self._state(ended)
        lengths = mask.sum(1)
        packed = pack_padded_sequence(x, lengths.clamp(min=1).cpu(), batch_first=True, enforce_sorted=False)
        out, ended = self._run(packed, begun)
        out, _ = pad_packed_sequence(out, batch_first=True, total_length=x.shape[1])
        after = self._state(ended)
        if state is not None:  # a row without a new token stays where it was
            after = tuple(
                torch.where(lengths[None, :, None] > 0, new, old) for new, old in zip(after, state, strict=True)
            )
        return out, after

    def nothing(self, rows: int) -> State:
        """The state before the first token of `rows` rows."""
        zeros = torch.zeros(self.layers, rows, self.kernel.hidden_size, device=device_of(self.kernel))
        return (zeros, zeros) if self.cell == "lstm" else (zeros,)

    def _run(self, x: Any, begun: Any) -> tuple[Any, Any]:
        """The kernel; in training layer by layer, since its own dropout between layers would draw from a generator that all
        threads share."""
        if not (self.training and self.dropout and self.layers > 1):
            out, ended = self.kernel(x, begun)
            return out, ended
        packed: Any = x if isinstance(x, PackedSequence) else None
        data, states_after = (x if packed is None else packed.data), []
        for layer, state in enumerate(self._states_of_layers(x, begun, packed)):
            data = dropout(data, self.dropout) if layer else data  # `forward` has dropped from the first one's input
            weights = [value for name, value in self.kernel.named_parameters() if name.endswith(f"_l{layer}")]
            once = (
                weights,
                True,
                1,
                0.0,
                True,
                False,
            )  # with biases, one layer, no dropout, in training, one direction
            sizes = () if packed is None else (packed.batch_sizes,)
            data, *after = _FUNCTIONS[self.cell](data, *sizes, state, *once, *((True,) if packed is None else ()))
            states_after.append(after)
        ended = [torch.cat(parts) for parts in zip(*states_after, strict=True)]
        if packed is not None:
            ended = [one.index_select(1, packed.unsorted_indices) for one in ended]
            data = PackedSequence(data, packed.batch_sizes, packed.sorted_indices, packed.unsorted_indices)
        return data, tuple(ended) if self.cell == "lstm" else ended[0]

    def _states_of_layers(self, x: Any, begun: Any, packed: Any) -> list[Any]:
        """The state [1, B, W] with which each layer begins, in the order of the rows of `x`."""
        rows = len(x) if packed is None else int(packed.batch_sizes[0])
        parts = self.nothing(rows) if begun is None else begun if self.cell == "lstm" else (begun,)
        if begun is not None and packed is not None:
            parts = tuple(part.index_select(1, packed.sorted_indices) for part in parts)
        each = [tuple(part[layer : layer + 1].contiguous() for part in parts) for layer in range(self.layers)]
        return [one if self.cell == "lstm" else one[0] for one in each]

    def _state(self, ended: Tensor | State) -> State:
        return (ended,) if isinstance(ended, Tensor) else ended
