"""A batch without its padding: the tokens of all rows behind one another.

Zeng et al. 2022, "Boosting Distributed Training Performance of the Unpadded BERT Model" (arXiv 2208.08124), section 3; Warner
et al. 2024 (ModernBERT, arXiv 2412.13663), section 2.1.3. What works on each token by itself (norms, projections,
feed-forward layers, the most of the work) is given tokens alone. Attention needs them in their rows: the papers have kernels
for rows of any length, on graphics cards; here the rows are padded for the moment of attention, and its result is packed.

Shapes: B batch, T length, N tokens of the batch that are no padding.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class Unpadding:
    """Positions of the tokens in a padded batch: `places` [N] of its B T."""

    places: Tensor
    rows: int
    length: int

    @classmethod
    def of(cls, attention_mask: Tensor) -> Unpadding:
        """From a batch's mask [B, T], False at padding."""
        return cls(attention_mask.flatten().nonzero().squeeze(-1), *attention_mask.shape)

    def pack(self, x: Tensor) -> Tensor:
        """[B, T, ...] -> [1, N, ...]: as one row."""
        return x.flatten(0, 1).index_select(0, self.places).unsqueeze(0)

    def pad(self, x: Tensor) -> Tensor:
        """[1, N, ...] -> [B, T, ...], with 0 at padding."""
        whole = x.new_zeros(self.rows * self.length, *x.shape[2:]).index_copy(0, self.places, x.squeeze(0))
        return whole.view(self.rows, self.length, *x.shape[2:])
