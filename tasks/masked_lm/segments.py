"""Pairs of segments for next sentence prediction: does the second follow the first in its text?

Devlin et al. 2019, "BERT" (arXiv 1810.04805), section 3.1, task 2: half of the time it does, else it is from another text.
Here each row of a batch is cut in the middle, and half of the rows get another row's second half instead of their own. So a
pair is a function of the batch and the generator, and needs nothing that the batch does not hold.

Shapes: B rows, T width of the rows, U width of the pairs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from models.question import ask_each_row, text_inputs
from training.batches import Ragged

if TYPE_CHECKING:
    from tasks.model import Model

NO_LABEL = -100  # of a token that is not asked for


@dataclass(frozen=True)
class Pairs:
    """[CLS] first [SEP] second [SEP], a row each."""

    input_ids: NDArray[np.int64]  # [B, U]
    attention_mask: NDArray[np.bool_]  # [B, U]
    token_types: NDArray[np.int64]  # [B, U]: 0 up to the first [SEP], then 1
    labels: NDArray[np.int64]  # [B, U]: those of the tokens, NO_LABEL elsewhere
    follows: NDArray[np.int64]  # [B]: 1 where the second segment follows the first


def pair_up(
    input_ids: NDArray[np.int64], attention_mask: NDArray[np.bool_], labels: NDArray[np.int64], texts: Sequence[str],
    random: np.random.Generator, *, sep_id: int, pad_id: int,
) -> Pairs:  # fmt: skip
    """Pairs from rows [B, T] of [CLS] tokens [SEP], one token longer than the longest row at most.

    `texts` names the text of each row: a second segment that does not follow is from another text; if there is only one
    text, every pair follows.
    """
    lengths = (attention_mask.sum(1) - 2).tolist()  # of the tokens between the ends
    ids, types, asked, follows = [], [], [], []
    for row, (coin, place) in enumerate(random.random((len(texts), 2)).tolist()):
        others = [other for other, text in enumerate(texts) if text != texts[row]]
        second = others[int(place * len(others))] if others and coin < 0.5 else row
        head = slice(0, 1 + lengths[row] // 2)
        tail = slice(1 + lengths[second] // 2, 1 + lengths[second])
        ids.append(np.concatenate([input_ids[row, head], [sep_id], input_ids[second, tail], [sep_id]]))
        asked.append(np.concatenate([labels[row, head], [NO_LABEL], labels[second, tail], [NO_LABEL]]))
        types.append(np.arange(len(ids[-1])) > head.stop)
        follows.append(int(second == row))
    rows = np.arange(len(ids))
    block, mask = Ragged.of(ids).pad(rows, pad_id)
    return Pairs(
        block,
        mask,
        Ragged.of(types).pad(rows, 0)[0],
        Ragged.of(asked).pad(rows, NO_LABEL)[0],
        np.array(follows, np.int64),
    )


def next_sentences(model: Model, texts: Sequence[str]) -> tuple[int, int]:
    """Number of these texts' pairs that the model judges right, and number of pairs; the same pairs each time."""
    tokenizer, random = model.tokenizer, np.random.default_rng(0)
    limit = model.config.max_length - 1  # a pair has one [SEP] more
    sequences = [tokenizer.with_ends(ids, limit) for ids in tokenizer.encode_batch(texts)]
    right = 0
    for batch in model.batches_of(sequences):
        pairs = pair_up(
            batch.input_ids,
            batch.attention_mask,
            np.zeros_like(batch.input_ids),
            batch.ids,
            random,
            sep_id=tokenizer.sep_id,
            pad_id=tokenizer.pad_id,
        )
        question = ask_each_row(text_inputs(pairs.input_ids, pairs.attention_mask, token_types=pairs.token_types))
        right += int((model.network.logits(question, "next_sentence").argmax(-1) == pairs.follows).sum())
    return right, len(texts)
