"""Filters of the probabilities from which a token is drawn. A token that is filtered out has probability 0.

    temperature  p_i ~ exp(l_i / t)                                      Ackley, Hinton and Sejnowski 1985, equation 5
    top-k        the k likeliest tokens                                  Fan et al. 2018 (arXiv 1805.04833), section 5.4
    top-p        the fewest likeliest tokens whose mass is at least p    Holtzman et al. 2020 (arXiv 1904.09751), 3.1
    min-p        tokens with p_i >= min_p max_j p_j                      Nguyen et al. 2024 (arXiv 2407.01082), section 3

In this order, each on what the one before left over, renormalised. Where tokens are equally likely, the lower id is first.

Shapes: B rows, V vocabulary.
"""

from __future__ import annotations

import torch
from torch import Tensor

from models.decoding import Alphabet, Decoding
from models.torch.devices import exact_device, running_sum


def among(logits: Tensor, alphabet: Alphabet) -> Tensor:
    """Logits [B, V] -> log-probabilities [B, V] among the tokens that may be produced, where a search goes on: it adds up doubles."""
    logits = logits.float().to(exact_device(logits.device)).clone()
    logits[:, list(alphabet.never)] = -torch.inf
    return logits.log_softmax(-1)


def filter_probabilities(log_probabilities: Tensor, options: Decoding) -> Tensor:
    """[B, V] -> probabilities [B, V] that sum to 1."""
    probabilities = (log_probabilities.double() / options.temperature).softmax(-1)
    if options.top_k:
        probabilities = top_k(probabilities, options.top_k)
    if options.top_p < 1:
        probabilities = top_p(probabilities, options.top_p)
    if options.min_p:
        probabilities = min_p(probabilities, options.min_p)
    return probabilities


def top_k(probabilities: Tensor, k: int) -> Tensor:
    """The k likeliest tokens alone."""
    ranks = torch.arange(probabilities.shape[-1], device=probabilities.device)
    return _kept_by_rank(probabilities, (ranks < k).expand_as(probabilities))


def top_p(probabilities: Tensor, mass: float) -> Tensor:
    """The nucleus alone: the likeliest tokens, up to and with the one that brings their mass to `mass`."""
    ordered = probabilities.sort(dim=-1, descending=True, stable=True).values
    before = running_sum(ordered) - ordered
    return _kept_by_rank(probabilities, before < mass)


def min_p(probabilities: Tensor, share: float) -> Tensor:
    """Tokens at least `share` times as likely as the likeliest."""
    return _renormalize(probabilities, probabilities >= share * probabilities.amax(-1, keepdim=True))


def _kept_by_rank(probabilities: Tensor, kept: Tensor) -> Tensor:
    """`kept` [B, V] says it of the likeliest token, of the second likeliest, and so on."""
    order = probabilities.sort(dim=-1, descending=True, stable=True).indices
    return _renormalize(probabilities, torch.zeros_like(kept).scatter(-1, order, kept))


def _renormalize(probabilities: Tensor, kept: Tensor) -> Tensor:
    left = probabilities * kept
    return left / left.sum(-1, keepdim=True)
