"""Masked and causal language modelling in one network.

Charpentier and Samuel 2024, "GPT or BERT: why not both?" (arXiv 2410.24159), section 2: a masked token is predicted at the position
before it (masked next-token prediction: BehnamGhader et al. 2024, "LLM2Vec", arXiv 2404.05961, section 2.2), so that one head
serves both kinds of rows:

    masked row    each position sees the whole row; the tokens under masks are asked for
    causal row    each position sees itself and what came before; every token is asked for

Which rows of a batch are causal is drawn. Each answer counts as much as any other, so a causal row, which is asked for all of its
tokens, weighs as much as several masked ones. An evaluation has masked rows alone.

Shapes: B rows, T width, M positions.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from models.question import Question, ask_places, text_inputs

if TYPE_CHECKING:
    from tasks.masked_lm.masking import MaskedTokens


def ask_hybrid(
    input_ids: NDArray[np.int64],
    attention_mask: NDArray[np.bool_],
    maskable: NDArray[np.bool_],
    mask: Callable[[NDArray[np.bool_]], MaskedTokens],
    random: np.random.Generator,
    causal_share: float,
) -> Question:
    """The question of rows [B, T]; `mask` draws the masks among the positions that it is given. Rows begin with [CLS], so that each
    token has a position before it."""
    causal = random.random(len(input_ids)) < causal_share
    masked = mask(maskable & ~causal[:, None])
    wanted = maskable & causal[:, None]
    wanted.reshape(-1)[masked.positions] = True
    before = np.zeros_like(wanted)
    before[:, :-1] = wanted[:, 1:]
    inputs = text_inputs(masked.input_ids, attention_mask)
    if causal.any():
        inputs |= {"causal": causal}
    return ask_places(inputs, before, np.roll(input_ids, -1, 1))
