"""Masks for the masked language model, and the questions made with them.

Devlin et al. 2019, section 3.1, task 1: of all tokens 15 % are chosen; of these 80 % become [MASK], 10 % a random
token, 10 % stay.

    dynamic   another mask each time a row is seen     Liu et al. 2019, "RoBERTa" (arXiv 1907.11692), section 4.1
    static    the same mask each time, as BERT's masks were drawn once when its data was written (same section)
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from models.chance import generator_of
from models.question import Question, ask_places, text_inputs
from tasks.masked_lm.hybrid import ask_hybrid
from tasks.masked_lm.segments import NO_LABEL, pair_up

if TYPE_CHECKING:
    from models.config import ModelConfig
    from training.batches import Batch


@dataclass(frozen=True)
class MaskedTokens:
    """Shapes: B rows, T width, M chosen positions."""

    input_ids: NDArray[np.int64]  # [B, T], with the replacements
    positions: NDArray[np.int64]  # [M], places in the flattened [B * T]
    labels: NDArray[np.int64]  # [M], the tokens that were there


def mask_tokens(
    input_ids: NDArray[np.int64], maskable: NDArray[np.bool_], random: np.random.Generator, *, mask_id: int, vocab_size: int,
    first_id: int, share: float = 0.15,
) -> MaskedTokens:  # fmt: skip
    """Choose `share` of the `maskable` [B, T] positions and replace them. At least one is chosen if there is any.

    `first_id` is the lowest id that a random replacement may have: the special tokens come before it.
    """
    masked, candidates = input_ids.flatten(), np.flatnonzero(maskable)
    count = min(len(candidates), max(1, round(share * len(candidates))))
    chosen = random.permutation(candidates)[:count]
    labels, fate = masked[chosen], random.random(count)
    strange = random.integers(first_id, vocab_size, count)
    masked[chosen] = np.where(fate < 0.8, mask_id, np.where(fate < 0.9, strange, labels))
    return MaskedTokens(masked.reshape(input_ids.shape), chosen, labels)


def mask_rows(
    input_ids: NDArray[np.int64],
    maskable: NDArray[np.bool_],
    *,
    mask_id: int,
    vocab_size: int,
    first_id: int,
    share: float = 0.15,
) -> MaskedTokens:
    """The same for each row by itself, drawn from a generator that its own tokens seed: always the same mask."""
    width, found = input_ids.shape[1], []
    for ids, able in zip(input_ids, maskable, strict=True):
        random = generator_of(zlib.crc32(ids[able].tobytes()))
        found.append(
            mask_tokens(ids, able, random, mask_id=mask_id, vocab_size=vocab_size, first_id=first_id, share=share)
        )
    positions = [masked.positions + row * width for row, masked in enumerate(found)]
    return MaskedTokens(
        np.stack([masked.input_ids for masked in found]),
        np.concatenate(positions),
        np.concatenate([masked.labels for masked in found]),
    )


def mask_batch(
    batch: Batch,
    random: np.random.Generator,
    config: ModelConfig,
    *,
    masking: str = "dynamic",
    mask_share: float = 0.15,
    last_mask_share: float = 0.0,
    causal_share: float = 0.0,
    nsp: bool = False,
    training: bool = False,
) -> Question:
    """A batch with its masks and, with `nsp`, its rows as pairs of segments, and whether they follow in `more`; with `causal_share`
    the rows of two objectives."""
    if last_mask_share:
        mask_share += (last_mask_share - mask_share) * batch.progress
    input_ids, mask = batch.input_ids, batch.attention_mask
    maskable = mask & ~np.isin(input_ids, config.special_ids)
    draw = partial(
        mask_rows if masking == "static" else partial(mask_tokens, random=random),
        input_ids,
        mask_id=config.mask_id,
        vocab_size=config.vocab_size,
        first_id=config.first_id,
        share=mask_share,
    )
    if causal_share:
        return ask_hybrid(input_ids, mask, maskable, draw, random, causal_share if training else 0.0)
    masked = draw(maskable)
    if not nsp:
        inputs = text_inputs(masked.input_ids, mask, batch.documents)
        return Question(inputs, masked.positions, masked.labels, masked.positions // input_ids.shape[1])
    labels = np.full(input_ids.shape, NO_LABEL)
    labels.reshape(-1)[masked.positions] = masked.labels
    pairs = pair_up(masked.input_ids, mask, labels, batch.ids, random, sep_id=config.sep_id, pad_id=config.pad_id)
    inputs = text_inputs(pairs.input_ids, pairs.attention_mask, token_types=pairs.token_types)
    asked = ask_places(inputs, pairs.labels != NO_LABEL, pairs.labels)
    return Question(inputs, asked.places, asked.labels, asked.rows, {"follows": pairs.follows})
