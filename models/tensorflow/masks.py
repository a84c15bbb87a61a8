"""Attention masks. Mask polarity: True = may attend.

Shapes: B batch, T queries, S keys.
"""

from __future__ import annotations

import tensorflow as tf


def places(length: int) -> tf.Tensor:
    """The positions 0, 1, ... of rows that all begin at the first: [1, T]."""
    return tf.range(length)[None]


def document_positions(documents: tf.Tensor) -> tf.Tensor:
    """The position [B, T] of each token in its own text, from rows of several texts: `documents` [B, T] numbers each token's."""
    index = tf.range(documents.shape[1])
    begins = tf.pad(documents[:, 1:] != documents[:, :-1], [[0, 0], [1, 0]], constant_values=True)
    has_begun = begins[:, None] & (index[:, None] >= index)  # [B, T, T]
    return index - tf.reduce_max(tf.where(has_begun, index, 0), -1)


def same_document(documents: tf.Tensor) -> tf.Tensor:
    """[B, 1, T, T]: True between tokens of one text. Krell et al. 2021 (arXiv 2107.02027), section 3.2."""
    return (documents[:, :, None] == documents[:, None, :])[:, None]


def for_each_query(mask: tf.Tensor | None) -> tf.Tensor | None:
    """A mask of padding [B, S], False there, as one of queries [B, 1, 1, S]; one of queries as it is."""
    return mask[:, None, None, :] if mask is not None and len(mask.shape) == 2 else mask


def build_mask(
    queries: tf.Tensor, keys: tf.Tensor, attention_mask: tf.Tensor | None, *, causal: bool, window: int = 0
) -> tf.Tensor | None:
    """[B or 1, 1, T, S] from positions [B or 1, T] and [B or 1, S] and the mask [B, S] (False at padding), or [B, 1, T, S].

    None if every query may attend to every key. A window of w tokens: causal, the last w, the position itself included;
    else w // 2 on either side (Beltagy et al. 2020, arXiv 2004.05150, section 3.1).
    """
    mask = for_each_query(attention_mask)
    if not causal and not window:
        return mask
    distance = queries[:, None, :, None] - keys[:, None, None, :]  # [B or 1, 1, T, S], how far back a key lies
    if causal:
        seen = distance >= 0
        if window:
            seen &= distance < window
    else:
        seen = tf.abs(distance) <= window // 2
    return seen if mask is None else seen & mask


def hide_later(mask: tf.Tensor | None, causal: tf.Tensor, positions: tf.Tensor) -> tf.Tensor:
    """[B, 1, T, T]: the mask with rows `causal` [B] that see only what came before."""
    seen = positions[:, None, :, None] >= positions[:, None, None, :]
    seen = seen | ~causal[:, None, None, None]
    return seen if mask is None else mask & seen
