"""Masks for the masked language model.

Devlin et al. 2019, section 3.1, task 1: of all tokens 15 % are chosen; of these 80 % become [MASK], 10 % a random
token, 10 % stay.

    dynamic   another mask each time a row is seen     Liu et al. 2019, "RoBERTa" (arXiv 1907.11692), section 4.1
    static    the same mask each time, as BERT's masks were drawn once when its data was written (same section)
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class MaskedTokens:
    """Shapes: B rows, T width, M chosen positions."""

    input_ids: Tensor  # [B, T], with the replacements
    positions: Tensor  # [M], places in the flattened [B * T]
    labels: Tensor  # [M], the tokens that were there


def mask_tokens(
    input_ids: Tensor, maskable: Tensor, generator: torch.Generator, *, mask_id: int, vocab_size: int, first_id: int,
    share: float = 0.15,
) -> MaskedTokens:  # fmt: skip
    """Choose `share` of the `maskable` [B, T] positions and replace them. At least one is chosen if there is any.

    `first_id` is the lowest id that a random replacement may have: the special tokens come before it.
    """
    flat, candidates = input_ids.flatten(), maskable.flatten().nonzero().squeeze(1)
    count = min(len(candidates), max(1, round(share * len(candidates))))
    chosen = candidates[torch.randperm(len(candidates), generator=generator)[:count]]
    labels = flat[chosen]
    fate = torch.rand(count, generator=generator)
    random = torch.randint(first_id, vocab_size, (count,), generator=generator)
    replacement = torch.where(fate < 0.8, mask_id, torch.where(fate < 0.9, random, labels))
    masked = flat.clone()
    masked[chosen] = replacement
    return MaskedTokens(masked.view_as(input_ids), chosen, labels)


def mask_rows(
    input_ids: Tensor, maskable: Tensor, *, mask_id: int, vocab_size: int, first_id: int, share: float = 0.15
) -> MaskedTokens:
    """The same for each row by itself, drawn from a generator that its own tokens seed: always the same mask."""
    width, found = input_ids.shape[1], []
    for ids, able in zip(input_ids, maskable, strict=True):
        generator = torch.Generator().manual_seed(zlib.crc32(ids[able].numpy().tobytes()))
        found.append(
            mask_tokens(ids, able, generator, mask_id=mask_id, vocab_size=vocab_size, first_id=first_id, share=share)
        )
    positions = [masked.positions + row * width for row, masked in enumerate(found)]
    return MaskedTokens(
        torch.stack([masked.input_ids for masked in found]), torch.cat(positions),
        torch.cat([masked.labels for masked in found]),
    )  # fmt: skip
