"""Scores of texts under a language model: the negative log-probability of each token, in nats.

A text longer than the model reads is scored in windows that slide: each new window moves on by `stride` tokens and counts
these alone, with the tokens before them as context. So each token is counted once, and all but the text's first have at
least `max_length - stride` tokens of context (Baevski and Auli 2019, arXiv 1809.10853, section 4.4).

Shapes: B windows, T their length, M tokens that count, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from models.question import ask_places
from training.batches import Examples, in_order

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from tasks.model import Model

_BATCH_TOKENS = 4096


@dataclass(frozen=True)
class Window:
    """Tokens `start` to `end` of a sequence are read behind [CLS]; those from `counted` on count."""

    start: int
    counted: int
    end: int


def windows(length: int, room: int, stride: int) -> Iterator[Window]:
    """Windows of at most `room` tokens over a sequence of `length`; each token counts in exactly one."""
    end = min(length, room)
    yield Window(0, 0, end)
    while end < length:
        counted, end = end, min(length, end + stride)
        yield Window(end - room, counted, end)


def token_nats(model: Model, texts: Sequence[str], stride: int = 0) -> list[NDArray[np.float32]]:
    """Nats of each text's tokens, and last of its end; `stride` 0 is half of the model's length."""
    room = model.config.max_length - 1  # [CLS] takes a place
    stride = min(stride or max(1, room // 2), room)
    sequences = [[*ids, model.tokenizer.sep_id] for ids in model.tokenizer.encode_batch(texts)]
    nats = [np.zeros(len(sequence), np.float32) for sequence in sequences]
    read = [(text, window) for text, ids in enumerate(sequences) for window in windows(len(ids), room, stride)]
    inputs = ([model.tokenizer.cls_id, *sequences[text][w.start : w.end]] for text, w in read)
    examples = Examples.of(inputs, [""] * len(read), model.tokenizer.pad_id)
    for rows in in_order(examples, _BATCH_TOKENS) if read else []:
        ids = examples.batch(rows).input_ids
        counts = np.zeros((len(ids), ids.shape[1] - 1), bool)
        for place, row in enumerate(rows):
            window = read[row][1]
            counts[place, window.counted - window.start : window.end - window.start] = True
        # Padding comes last: nothing that counts looks at it.
        question = ask_places({"input_ids": np.ascontiguousarray(ids[:, :-1])}, counts, ids[:, 1:])
        ends = np.cumsum(question.targets)
        for row, own in zip(rows, np.split(model.network.nats(question), ends[:-1]), strict=True):
            text, window = read[row]
            nats[text][window.counted : window.end] = own
    return nats
