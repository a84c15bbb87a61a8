"""Greedy and sampled sequences, a token at a time, so that they can be shown while they are made.

Shapes: B rows still unfinished, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from models.decoding import Alphabet, Decoding
from models.torch.decoding.decodable import Decodable
from models.torch.decoding.filters import among, filter_probabilities
from models.torch.devices import running_sum


@dataclass(frozen=True)
class Step:
    """The next token of each sequence that has no end yet."""

    sequences: list[int]  # from 0; with several samples of a row, those of row 0 come first
    tokens: list[int]
    log_probabilities: list[float]  # the network's own, whatever temperature and filters made of it


def stepwise(decodable: Decodable, options: Decoding, alphabet: Alphabet) -> Iterator[Step]:
    """Tokens of all rows, until each has ended or is `max_new_tokens` long. A row that has ended leaves the batch."""
    log_probabilities = among(decodable.begin(), alphabet)
    samples = options.n_best if options.method == "sample" else 1
    chances = [_chance(options.seed, key, number) for key in decodable.keys for number in range(samples)]
    if samples > 1:
        copies = torch.arange(len(log_probabilities), device=log_probabilities.device).repeat_interleave(samples)
        decodable.take(copies)
        log_probabilities = log_probabilities[copies]
    sequences = torch.arange(len(log_probabilities), device=log_probabilities.device)
    for number in range(options.max_new_tokens):
        tokens = _choose(log_probabilities, options, [chances[i] for i in sequences.tolist()])  # [B]
        found = log_probabilities.gather(-1, tokens.unsqueeze(-1)).squeeze(-1)
        yield Step(sequences.tolist(), tokens.tolist(), found.tolist())
        going = (tokens != alphabet.end_id).nonzero().squeeze(-1)
        if not len(going) or number + 1 == options.max_new_tokens:
            return
        if len(going) < len(tokens):
            decodable.take(going)
            sequences, tokens = sequences[going], tokens[going]
        log_probabilities = among(decodable.go_on(tokens), alphabet)


def _choose(log_probabilities: Tensor, options: Decoding, chances: Sequence[np.random.Generator]) -> Tensor:
    """A token for each row [B]: the likeliest, or one drawn."""
    if options.method == "greedy":
        return log_probabilities.argmax(-1)
    sums = running_sum(filter_probabilities(log_probabilities, options))
    drawn = torch.tensor([chance.random() for chance in chances], dtype=sums.dtype, device=sums.device).unsqueeze(-1)
    # The first token at which the sum passes the number drawn: never one of probability 0. By the total, since a sum of
    # many numbers is not quite 1.
    return torch.searchsorted(sums, drawn * sums[:, -1:], right=True).squeeze(-1)


def _chance(seed: int, key: Sequence[int], number: int) -> np.random.Generator:
    """Generator of one sequence: a function of the seed, the row's input and the sample's number."""
    return np.random.default_rng([seed, number, *key])
