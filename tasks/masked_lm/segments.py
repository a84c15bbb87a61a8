"""Pairs of segments for next sentence prediction: does the second follow the first in its text?

Devlin et al. 2019, "BERT" (arXiv 1810.04805), section 3.1, task 2: half of the time it does, else it is from another text.
Here each row of a batch is cut in the middle, and half of the rows get another row's second half instead of their own. So a
pair is a function of the batch and the generator, and needs nothing that the batch does not hold.

Shapes: B rows, T width of the rows, U width of the pairs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

_NONE = -100  # the label of a token that is not asked for


@dataclass(frozen=True)
class Pairs:
    """[CLS] first [SEP] second [SEP], a row each."""

    input_ids: Tensor  # [B, U]
    attention_mask: Tensor  # [B, U]
    token_types: Tensor  # [B, U]: 0 up to the first [SEP], then 1
    labels: Tensor  # [B, U]: those of the tokens, _NONE where there is none
    follows: Tensor  # [B]: 1 where the second segment follows the first


def pair_up(
    input_ids: Tensor, attention_mask: Tensor, labels: Tensor, texts: Sequence[str], generator: torch.Generator, *,
    sep_id: int, pad_id: int,
) -> Pairs:  # fmt: skip
    """Pairs from rows [B, T] of [CLS] tokens [SEP], one token longer than the longest row at most.

    `texts` says which text each row is from: what does not follow is from another one, and where there is no other every
    pair follows.
    """
    drawn = torch.rand(len(texts), 2, generator=generator).tolist()
    lengths = (attention_mask.sum(1) - 2).tolist()  # of the tokens between the ends
    ids, types, asked, follows = [], [], [], []
    for row, (coin, place) in enumerate(drawn):
        others = [other for other, text in enumerate(texts) if text != texts[row]]
        second = others[int(place * len(others))] if others and coin < 0.5 else row
        head = slice(0, 1 + lengths[row] // 2)
        tail = slice(1 + lengths[second] // 2, 1 + lengths[second])
        sep, none = input_ids.new_tensor([sep_id]), labels.new_tensor([_NONE])
        ids.append(torch.cat([input_ids[row, head], sep, input_ids[second, tail], sep]))
        asked.append(torch.cat([labels[row, head], none, labels[second, tail], none]))
        types.append((torch.arange(len(ids[-1])) > head.stop).long())
        follows.append(int(second == row))
    block = pad_sequence(ids, batch_first=True, padding_value=pad_id)
    sizes = torch.tensor([len(row) for row in ids])
    return Pairs(
        block, torch.arange(block.shape[1]) < sizes.unsqueeze(1), pad_sequence(types, batch_first=True),
        pad_sequence(asked, batch_first=True, padding_value=_NONE), torch.tensor(follows),
    )  # fmt: skip


def labels_of(positions: Tensor, labels: Tensor, shape: torch.Size) -> Tensor:
    """Labels [M] at places in the flattened [B * T] as a block of that shape, _NONE elsewhere."""
    return torch.full(shape, _NONE).flatten().index_copy(0, positions, labels).view(shape)


def label_places(labels: Tensor) -> Tensor:
    """The places in the flattened block that have a label."""
    return (labels.flatten() != _NONE).nonzero().squeeze(1)
