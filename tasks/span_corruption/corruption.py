"""Span corruption: spans removed from a text become the target.

Raffel et al. 2020, "T5" (arXiv 1910.10683), section 3.1.4: 15 % of the tokens, in spans of 3 on average. They are drawn as
in the authors' code (google-research/text-to-text-transfer-transformer, `random_spans_noise_mask`): the tokens to take and
those to keep are each cut into parts at random places, which then take turns. There a kept part is always first and a
taken one last, which a text of 512 tokens does not notice; of a sentence, the end alone would be taken, again and again.
Here a kept part stands before, between and after the spans, and the two at the ends may be empty.

T5 marks each span by a token of its own. Here all of them are the one mark that there is, [MASK]:

    text    the quick brown fox jumps over
    source  the [MASK] fox [MASK]
    target  [MASK] quick brown [MASK] jumps over

The spans' order says which belongs where, so that source and target still give back the text; a hundred marks of their own
would be ids that no other task ever uses, or pieces taken from real text. One mark for any span is also what BART has
(Lewis et al. 2020, arXiv 1910.13461, section 2.2, text infilling). No text is ever encoded as [MASK], so it cannot be
mistaken.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np

SHARE, MEAN_SPAN = 0.15, 3.0


def corrupt(
    ids: Sequence[int], random: np.random.Generator, mask_id: int, *, share: float = SHARE, mean_span: float = MEAN_SPAN
) -> tuple[list[int], list[int]]:
    """A text's tokens, without [CLS] and [SEP] -> source and target, likewise. Nothing is taken from a single token."""
    count = min(max(1, round(share * len(ids))), len(ids) - 1)
    if count < 1:
        return list(ids), []
    kept = len(ids) - count
    spans = min(max(1, round(count / mean_span)), kept + 1)
    before, *between, after = _partition(kept + 2, spans + 1, random)  # the two at the ends have one too many
    source: list[int] = []
    target: list[int] = []
    place = 0
    for skipped, taken in zip([before - 1, *between], _partition(count, spans, random), strict=True):
        start, place = place + skipped, place + skipped + taken
        source += [*ids[start - skipped : start], mask_id]
        target += [mask_id, *ids[start:place]]
    assert len(ids) - place == after - 1
    return [*source, *ids[place:]], target


def restore(source: Sequence[int], target: Sequence[int], mask_id: int) -> list[int]:
    """The text that a source and a target are from."""
    spans: list[list[int]] = []
    for token in target:
        if token == mask_id:
            spans.append([])
        elif spans:
            spans[-1].append(token)
    following = iter(spans)
    text: list[int] = []
    for token in source:
        text += next(following, []) if token == mask_id else [token]
    return text


def _partition(total: int, parts: int, random: np.random.Generator) -> list[int]:
    """`total` as a sum of `parts` numbers of at least 1, each way as likely."""
    places = np.sort(random.permutation(total - 1)[: parts - 1]).tolist()
    edges = [0, *(place + 1 for place in places), total]
    return [right - left for left, right in pairwise(edges)]
