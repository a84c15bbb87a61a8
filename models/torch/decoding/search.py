"""The best sequences of each row, by the method that was chosen."""

from __future__ import annotations

from models.decoding import Alphabet, Decoding, Hypothesis
from models.torch.decoding.beam import beam_search
from models.torch.decoding.decodable import Decodable
from models.torch.decoding.stepwise import stepwise


def decode(decodable: Decodable, options: Decoding, alphabet: Alphabet) -> list[list[Hypothesis]]:
    """For each row `n_best` hypotheses: of a beam the best first, of samples in the order drawn."""
    if options.method == "beam":
        return beam_search(decodable, options, alphabet)
    tokens: dict[int, list[int]] = {}
    sums: dict[int, float] = {}
    for step in stepwise(decodable, options, alphabet):
        for sequence, token, found in zip(step.sequences, step.tokens, step.log_probabilities, strict=True):
            tokens.setdefault(sequence, []).append(token)
            sums[sequence] = sums.get(sequence, 0.0) + found
    made = [Hypothesis.of(tokens[i], sums[i], sums[i], alphabet.end_id) for i in range(len(tokens))]
    return [made[start : start + options.n_best] for start in range(0, len(made), options.n_best)]
