"""Beam search against all sequences there are, and against greedy."""

from functools import cache

import pytest
import torch

from models.decoding import Decoding
from models.torch.decoding.beam import length_penalty
from models.torch.decoding.search import decode
from tests.models.torch.decoding.networks import ALPHABET, Language, SourceToTarget, every_sequence, log_probabilities

ROOM, TINY = 4, 8  # tokens 5, 6 and 7, and the end


@pytest.fixture(autouse=True)
def no_gradients():
    with torch.inference_mode():
        yield


def searched(network, prompts, **options):
    chosen = Decoding(**{"method": "beam", "max_new_tokens": ROOM} | options)
    return decode(network.decodable(prompts, chosen.max_new_tokens), chosen, ALPHABET)


def ranked(network, prompt, alpha):
    """Every sequence, the best first: (score, tokens)."""

    @cache
    def following(made):
        return log_probabilities(network, prompt, list(made))

    scored = []
    for tokens in every_sequence([5, 6, 7], ALPHABET.end_id, ROOM):
        total = sum(following(tuple(tokens[:i]))[token].item() for i, token in enumerate(tokens))
        scored.append((total / length_penalty(len(tokens), alpha), tokens))
    return sorted(scored, key=lambda one: -one[0])


@pytest.mark.parametrize("alpha", [0.0, 0.6, 2.0])
@pytest.mark.parametrize("kind", [Language, SourceToTarget])
def test_exhaustive_beam_finds_best_sequences(kind, alpha):
    network = kind("2017", vocab_size=TINY)
    prompts = network.prompts([3, 1])
    found = searched(network, prompts, beams=3**ROOM, n_best=10, length_penalty=alpha)
    for prompt, hypotheses in zip(prompts, found, strict=True):
        best = ranked(network, prompt, alpha)[:10]
        assert [one.ids for one in hypotheses] == [tuple(t for t in tokens if t != 3) for _, tokens in best]
        assert [one.score for one in hypotheses] == pytest.approx([score for score, _ in best], abs=1e-4)


def test_n_best_beyond_sequence_count_returns_every_sequence():
    network = Language("gpt2", vocab_size=TINY)
    (found,) = searched(network, network.prompts([2]), beams=50, n_best=50, max_new_tokens=1)
    assert sorted(one.ids for one in found) == [(), (5,), (6,), (7,)]
    assert sum(torch.tensor(one.log_probability).exp().item() for one in found) == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize("kind", ["gpt2", "llama", "t5"])
def test_beam_of_one_matches_greedy(kind):
    network = Language(kind)
    prompts = network.prompts([5, 2, 8, 1])
    greedy = searched(network, prompts, method="greedy", max_new_tokens=12)
    narrow = searched(network, prompts, beams=1, length_penalty=0.0, max_new_tokens=12)
    assert [row[0].ids for row in narrow] == [row[0].ids for row in greedy]
    assert [row[0].score for row in narrow] == pytest.approx([row[0].score for row in greedy], abs=1e-4)


def test_wider_beam_finds_likelier_sequences_with_exact_scores():
    network = Language("llama")
    prompts = network.prompts([5, 2, 8, 1])
    narrow, wide = (searched(network, prompts, beams=n, length_penalty=0.0, max_new_tokens=6) for n in (1, 16))
    assert sum(row[0].score for row in wide) > sum(row[0].score for row in narrow)
    for prompt, (one,) in zip(prompts, wide, strict=True):
        tokens = [*one.ids, 3] if one.ended else list(one.ids)
        total = sum(log_probabilities(network, prompt, tokens[:i])[token].item() for i, token in enumerate(tokens))
        assert one.log_probability == pytest.approx(total, abs=1e-4)


def test_early_stopping_does_not_change_hypotheses(monkeypatch):
    network = Language("gpt2")
    prompts = network.prompts([5, 2, 8, 1])
    options = {"beams": 3, "n_best": 3, "max_new_tokens": 12, "length_penalty": 0.6}
    early = searched(network, prompts, **options)
    monkeypatch.setattr("models.torch.decoding.beam._Finished.is_settled", lambda *_: False)
    assert [[one.ids for one in row] for row in searched(network, prompts, **options)] == [
        [one.ids for one in row] for row in early
    ]


def test_length_penalty_matches_paper():
    assert length_penalty(1, 0.6) == 1.0
    assert length_penalty(7, 1.0) == 2.0
    assert length_penalty(19, 0.5) == 2.0
    assert length_penalty(9, 0.0) == 1.0
