"""Shared by the tasks that write texts: the rows that are decoded together, the tokens they may write, and pieces of text."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

from models.decoding_options import Decoding
from tasks.model import count_rows

if TYPE_CHECKING:
    from artifacts.tokenizer import Tokenizer
    from models.torch.decoding.hypothesis import Alphabet

_POSITIONS = 16_384


def groups(lengths: Sequence[int], options: Decoding, positions: int = _POSITIONS) -> Iterator[list[int]]:
    """Places of rows with prompts (or sources) of these lengths, shortest first, each in one group.

    A group's cache has at most `positions` positions (of all its rows and all their hypotheses), or it is of one row.
    """
    order = sorted(range(len(lengths)), key=lambda place: lengths[place])
    group: list[int] = []
    for place in order:
        needed = (lengths[place] + options.max_new_tokens) * options.rows * (len(group) + 1)
        if group and needed > positions:
            yield group
            count_rows(len(group))
            group = []
        group.append(place)
    if group:
        yield group
        count_rows(len(group))


def alphabet_of(tokenizer: Tokenizer) -> Alphabet:
    """[SEP] ends; the other special tokens are never produced."""
    from models.torch.decoding.hypothesis import Alphabet

    return Alphabet(tokenizer.sep_id, tokenizer.never)


def pieces(tokens: Iterator[int], written: Callable[[list[int]], str]) -> Iterator[str]:
    """The text that each token adds. A character of several bytes is held back until it is whole."""
    ids, told = list[int](), 0
    for token in tokens:
        ids.append(token)
        text = written(ids)
        whole = len(text.rstrip("\N{REPLACEMENT CHARACTER}"))
        if whole > told:
            yield text[told:whole]
            told = whole
    if ids and len(text := written(ids)) > told:
        yield text[told:]
