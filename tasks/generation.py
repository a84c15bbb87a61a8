"""Shared by the tasks that write texts: the rows that are decoded together, the tokens they may write, and pieces of text."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from models.decoding import Alphabet, Decoding, Hypothesis
from models.question import Arrays, text_inputs
from tasks.model import count_rows
from training.batches import Ragged

if TYPE_CHECKING:
    from artifacts.tokenizer import Tokenizer
    from tasks.model import Model

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
    return Alphabet(tokenizer.sep_id, tokenizer.never)


def pad_texts(sequences: Sequence[Sequence[int]], pad_id: int) -> Arrays:
    """Sequences of ids as the inputs of a network."""
    return text_inputs(*Ragged.of(sequences).pad(np.arange(len(sequences)), pad_id))


def decode(model: Model, inputs: Arrays, options: Decoding, alphabet: Alphabet) -> list[list[Hypothesis]]:
    """The best sequences of each row."""
    from models.torch.decoding import requests

    return requests.decode(model.network, inputs, options, alphabet, model.tokenizer.cls_id)


def stream(model: Model, inputs: Arrays, options: Decoding, alphabet: Alphabet) -> Iterator[int]:
    """The tokens of one row's sequence, each as soon as it is known."""
    from models.torch.decoding import requests

    return requests.stream(model.network, inputs, options, alphabet, model.tokenizer.cls_id)


def pieces(tokens: Iterator[int], written: Callable[[list[int]], str]) -> Iterator[str]:
    """The text that each token adds. A character of several bytes is held back until it is whole."""
    ids, sent = list[int](), 0
    for token in tokens:
        ids.append(token)
        text = written(ids)
        whole = len(text.rstrip("\N{REPLACEMENT CHARACTER}"))
        if whole > sent:
            yield text[sent:whole]
            sent = whole
    if ids and len(text := written(ids)) > sent:
        yield text[sent:]
