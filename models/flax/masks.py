"""Attention masks. Mask polarity: True = may attend.

Shapes: B batch, T queries, S keys.
"""

from __future__ import annotations

import jax.numpy as jnp
from jax import Array, lax


def document_positions(documents: Array) -> Array:
    """The position [B, T] of each token in its own text, from rows of several texts: `documents` [B, T] numbers each token's."""
    index = jnp.broadcast_to(jnp.arange(documents.shape[1]), documents.shape)
    begins = jnp.pad(documents[:, 1:] != documents[:, :-1], ((0, 0), (1, 0)), constant_values=True)
    return index - lax.cummax(jnp.where(begins, index, 0), axis=1)


def same_document(documents: Array) -> Array:
    """[B, 1, T, T]: True between tokens of one text. Krell et al. 2021 (arXiv 2107.02027), section 3.2."""
    return (documents[:, :, None] == documents[:, None, :])[:, None]


def build_mask(
    queries: Array, keys: Array, attention_mask: Array | None, *, causal: bool, window: int = 0
) -> Array | None:
    """[B or 1, 1, T, S] from positions [B or 1, T] and [B or 1, S] and the mask [B, S] (False at padding), or [B, 1, T, S].

    None if every query may attend to every key. A window of w tokens: causal, the last w, the position itself included;
    else w // 2 on either side (Beltagy et al. 2020, arXiv 2004.05150, section 3.1).
    """
    mask = None if attention_mask is None else for_each_query(attention_mask)
    if not causal and not window:
        return mask
    distance = queries[..., :, None] - keys[..., None, :]  # [B or 1, T, S], how far back a key lies
    seen = distance >= 0 if causal else jnp.abs(distance) <= window // 2
    if causal and window:
        seen &= distance < window
    seen = seen[:, None]
    return seen if mask is None else seen & mask


def hide_later(mask: Array | None, causal: Array, positions: Array) -> Array:
    """[B, 1, T, T]: the mask, with rows `causal` [B] that see only what came before."""
    seen = (positions[..., :, None] >= positions[..., None, :])[:, None] | ~causal[:, None, None, None]
    return seen if mask is None else mask & seen


def for_each_query(mask: Array) -> Array:
    """A mask of keys [B, S] as [B, 1, 1, S]; one of queries and keys as it is."""
    return mask[:, None, None, :] if mask.ndim == 2 else mask
