"""Beam search: of each row, the hypotheses that look best so far are followed together.

Hypotheses of different lengths are compared by Wu et al. 2016 (arXiv 1609.08144), equation 14, without its coverage term:

    score(Y) = log P(Y) / lp(Y),    lp(Y) = (5 + |Y|)^alpha / (5 + 1)^alpha

with |Y| the number of generated tokens, the end included. (`transformers` divides by |Y|^alpha; alpha 0 turns both off.)
Of the 2K best candidates of a step, those among the first K that end are finished, and the first K that don't are
followed: so K hypotheses go on in every step. At `max_new_tokens` what is followed counts as it stands.

Shapes: N rows still searched, K beams, C = 2K candidates, V vocabulary, L tokens so far.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor

from models.decoding import Alphabet, Decoding, Hypothesis
from models.torch.decoding.decodable import Decodable
from models.torch.decoding.filters import among


def length_penalty(length: int, alpha: float) -> float:
    """lp(Y) of equation 14."""
    return float(((5 + length) / 6) ** alpha)


def beam_search(decodable: Decodable, options: Decoding, alphabet: Alphabet) -> list[list[Hypothesis]]:
    """For each row its `n_best` hypotheses, the best first.

    A row leaves the batch as soon as nothing that is followed can still come among its `n_best`: log P only falls and lp
    only grows, so log P / lp(max_new_tokens) is the most that a hypothesis can reach.
    """
    log_probabilities = among(decodable.begin(), alphabet)  # [N, V]
    rows, beams, device = len(log_probabilities), options.beams, log_probabilities.device
    results = [_Finished(options, alphabet.end_id) for _ in range(rows)]
    searched = torch.arange(rows, device=device)  # [N]
    made = torch.zeros(rows, beams, 0, dtype=torch.long, device=device)  # [N, K, L]
    sums = torch.full(
        (rows, beams), -torch.inf, dtype=torch.float64, device=device
    )  # [N, K]; one hypothesis each, the empty one
    sums[:, 0] = 0.0
    places = torch.arange(rows, device=device).repeat_interleave(
        beams
    )  # [N * K], rows of the batch that they go on from
    decodable.take(places)
    log_probabilities = log_probabilities[places]
    for length in range(1, options.max_new_tokens + 1):
        totals, origins, tokens = _candidates(sums, log_probabilities)  # [N, C] each
        candidates = torch.cat([_of(made, origins), tokens.unsqueeze(-1)], -1)  # [N, C, L + 1]
        ends, last = tokens == alphabet.end_id, length == options.max_new_tokens
        for place, row in enumerate(searched.tolist()):
            for rank in range(beams) if last else ends[place, :beams].nonzero().squeeze(-1).tolist():
                results[row].add(candidates[place, rank].tolist(), totals[place, rank].item())
        if last:
            break
        followed = ends.sort(dim=-1, stable=True).indices[:, :beams]  # [N, K], the first that don't end
        sums, made = totals.gather(-1, followed), _of(candidates, followed)
        best = sums[:, 0].tolist()
        going = [not results[row].is_settled(best[place]) for place, row in enumerate(searched.tolist())]
        if not any(going):
            break
        kept = torch.tensor([place for place, goes in enumerate(going) if goes], device=device)
        first = torch.arange(len(searched), device=device).unsqueeze(-1) * beams
        places = (first + origins.gather(-1, followed))[kept].flatten()
        decodable.take(places)
        searched, sums, made = searched[kept], sums[kept], made[kept]
        log_probabilities = among(decodable.go_on(made[:, :, -1].flatten()), alphabet)
    return [result.best for result in results]


def _candidates(sums: Tensor, log_probabilities: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The 2K best ways to go on, the best first: their log-probabilities, which beams they are from, their tokens."""
    rows, beams = sums.shape
    every = sums.unsqueeze(-1) + log_probabilities.view(rows, beams, -1)  # [N, K, V]
    totals, index = every.flatten(1).topk(2 * beams)
    return totals, index // every.shape[-1], index % every.shape[-1]


def _of(sequences: Tensor, places: Tensor) -> Tensor:
    """The sequences [N, *, L] of each row that are at these places [N, M]: [N, M, L]."""
    return sequences.gather(1, places.unsqueeze(-1).expand(-1, -1, sequences.shape[-1]))


@dataclass
class _Finished:
    """The best hypotheses of a row that are done."""

    options: Decoding
    end_id: int
    best: list[Hypothesis] = field(default_factory=list)

    def add(self, tokens: list[int], log_probability: float) -> None:
        if log_probability == -torch.inf:  # holds a token that is never produced, or goes on from no hypothesis
            return
        score = log_probability / length_penalty(len(tokens), self.options.length_penalty)
        self.best.append(Hypothesis.of(tokens, log_probability, score, self.end_id))
        self.best.sort(key=lambda one: -one.score)
        del self.best[self.options.n_best :]

    def is_settled(self, followed: float) -> bool:
        """Whether the best that is followed, at this log-probability, could no longer come among the best."""
        if len(self.best) < self.options.n_best:
            return False
        reach = length_penalty(self.options.max_new_tokens, self.options.length_penalty)
        return self.best[-1].score >= followed / reach
