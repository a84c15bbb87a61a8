"""Attention masks. Mask polarity: True = may attend.

Shapes: B batch, T queries, S keys.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def document_positions(documents: Tensor) -> Tensor:
    """The position [B, T] of each token in its own text, from rows of several texts: `documents` [B, T] numbers each token's."""
    index = torch.arange(documents.shape[1], device=documents.device).expand_as(documents)
    begins = F.pad(documents[:, 1:] != documents[:, :-1], (1, 0), value=True)
    return index - index.masked_fill(~begins, 0).cummax(1).values


def same_document(documents: Tensor) -> Tensor:
    """[B, 1, T, T]: True between tokens of one text. Krell et al. 2021 (arXiv 2107.02027), section 3.2."""
    return (documents.unsqueeze(-1) == documents.unsqueeze(-2)).unsqueeze(1)


def build_mask(
    queries: Tensor, keys: Tensor, attention_mask: Tensor | None, *, causal: bool, window: int = 0
) -> Tensor | None:
    """[B or 1, 1, T, S] from positions [B or 1, T] and [B or 1, S] and the mask [B, S] (False at padding), or [B, 1, T, S].

    None if every query may attend to every key. A window of w tokens: causal, the last w, the position itself included;
    else w // 2 on either side (Beltagy et al. 2020, arXiv 2004.05150, section 3.1).
    """
    mask = attention_mask
    if mask is not None and mask.ndim == 2:
        mask = mask[:, None, None, :]
    if not causal and not window:
        return mask
    distance = queries.unsqueeze(-1) - keys.unsqueeze(-2)  # [B or 1, T, S], how far back a key lies
    if causal:
        seen = distance >= 0
        if window:
            seen &= distance < window
    else:
        seen = distance.abs() <= window // 2
    seen = seen.unsqueeze(1)
    return seen if mask is None else seen & mask


def hide_later(mask: Tensor | None, causal: Tensor, positions: Tensor) -> Tensor:
    """[B, 1 or H, T, T]: the mask, or numbers that are added to scores, with rows `causal` [B] that see only what came before."""
    seen = positions.unsqueeze(-1) >= positions.unsqueeze(-2)
    seen = seen.unsqueeze(1) | ~causal[:, None, None, None]
    if mask is None:
        return seen
    return mask & seen if mask.dtype == torch.bool else mask.masked_fill(~seen, -torch.inf)


def add_bias(mask: Tensor | None, bias: Tensor | None) -> Tensor | None:
    """Mask and bias as one tensor that attention adds to its scores; the mask alone if there is no bias."""
    if bias is None:
        return mask
    return bias if mask is None else torch.where(mask, bias, bias.new_full((), -torch.inf))
