"""Decoding with the cache, in batches, gives the same as one by one with everything computed again."""

from itertools import chain

import numpy as np
import pytest
import torch
from hypothesis import given, settings, strategies

from models.decoding import Decoding
from models.torch.decoding.filters import filter_probabilities
from models.torch.decoding.search import decode
from models.torch.decoding.stepwise import stepwise
from tests.models.torch.decoding.networks import ALL, ALPHABET, Language, log_probabilities

LENGTHS, ROOM = [7, 1, 4, 9, 2], 8


@pytest.fixture(autouse=True)
def no_gradients():
    with torch.inference_mode():
        yield


@pytest.fixture(scope="module", params=ALL, ids=lambda one: one[1])
def network(request):
    kind, name = request.param
    return kind(name)


def decoded(network, prompts, **options):
    chosen = Decoding(**{"max_new_tokens": ROOM} | options)
    return decode(network.decodable(prompts, chosen.max_new_tokens), chosen, ALPHABET)


def alone(network, prompts, **options):
    return [decoded(network, [prompt], **options)[0] for prompt in prompts]


def close(found, wanted):
    assert [[one.ids for one in row] for row in found] == [[one.ids for one in row] for row in wanted]
    for one, other in zip(chain(*found), chain(*wanted), strict=True):
        assert (one.score, one.ended) == (pytest.approx(other.score, abs=1e-4), other.ended)


def uncached(network, prompt, choose):
    """One sequence with its log-probability; `choose` picks from log-probabilities [V]."""
    made, total = [], 0.0
    while len(made) < ROOM and ALPHABET.end_id not in made:
        found = log_probabilities(network, prompt, made)
        made.append(choose(found))
        total += found[made[-1]].item()
    return made, total


def same(hypothesis, made, total):
    assert hypothesis.ids == tuple(token for token in made if token != ALPHABET.end_id)
    assert hypothesis.ended == (ALPHABET.end_id in made)
    assert hypothesis.log_probability == pytest.approx(total, abs=1e-4)


def test_greedy_picks_likeliest_token_at_each_step(network):
    prompts = network.prompts(LENGTHS)
    for prompt, (found,) in zip(prompts, decoded(network, prompts), strict=True):
        same(found, *uncached(network, prompt, lambda log_probabilities: int(log_probabilities.argmax())))


FILTERS = [{}, {"top_p": 0.8, "top_k": 5}, {"min_p": 0.2, "temperature": 2.0}]


@pytest.mark.parametrize("filters", FILTERS, ids=str)
def test_samples_follow_filtered_distribution_and_row_generator(network, filters):
    options = {"method": "sample", "n_best": 2, "seed": 7, **filters}
    prompts = network.prompts(LENGTHS)
    for prompt, samples in zip(prompts, decoded(network, prompts, **options), strict=True):
        for number, found in enumerate(samples):
            chance = np.random.default_rng([7, number, *prompt])

            def draw(log_probabilities, chance=chance):
                sums = filter_probabilities(log_probabilities[None], Decoding(**options))[0].cumsum(0)
                return int((sums <= chance.random() * sums[-1]).sum())

            same(found, *uncached(network, prompt, draw))


@pytest.mark.parametrize("options", [{}, {"method": "sample", "n_best": 3}, {"method": "beam", "n_best": 2}], ids=str)
def test_batched_rows_of_mixed_lengths_match_single_rows(network, options):
    prompts = network.prompts(LENGTHS)
    together = decoded(network, prompts, **options)
    close(together, alone(network, prompts, **options))
    if options.get("method") == "sample":
        assert len({one.tokens for row in together for one in row}) > 1, "some rows must have left the batch"


GPT2 = Language("gpt2")


@settings(max_examples=15, deadline=None)
@given(
    lengths=strategies.lists(strategies.integers(1, 9), min_size=1, max_size=6),
    options=strategies.sampled_from(
        [{}, {"method": "beam", "beams": 3, "n_best": 3}, {"method": "sample", "top_k": 9}]
    ),
    room=strategies.integers(1, 6),
    seed=strategies.integers(0, 99),
)
def test_any_batch_matches_single_rows(lengths, options, room, seed):
    prompts = GPT2.prompts(lengths, seed)
    options = {**options, "max_new_tokens": room, "seed": seed}
    together = decoded(GPT2, prompts, **options)
    close(together, alone(GPT2, prompts, **options))
    assert all(1 <= one.tokens <= room for one in chain(*together))


def test_samples_depend_only_on_seed_and_row():
    network = Language("gpt2")
    prompts = network.prompts(LENGTHS)
    first = decoded(network, prompts, method="sample", seed=1)
    close(decoded(network, prompts[::-1], method="sample", seed=1), first[::-1])
    assert [row[0].ids for row in first] != [row[0].ids for row in decoded(network, prompts, method="sample", seed=2)]
    several = decoded(network, prompts[:1], method="sample", seed=1, n_best=4)[0]
    assert several[0].ids == first[0][0].ids
    assert len({one.ids for one in several}) == 4


def test_special_tokens_are_never_produced():
    network = Language("gpt2", tie_embeddings=False)
    with torch.no_grad():
        network.head.output.weight[list(ALPHABET.never)] *= 50  # what the network would like best
    prompts = network.prompts(LENGTHS)
    for options in ({}, {"method": "beam", "n_best": 4}, {"method": "sample", "n_best": 4, "temperature": 5.0}):
        for one in chain(*decoded(network, prompts, **options)):
            assert all(token > 4 for token in one.ids)


@pytest.mark.parametrize("method", ["greedy", "beam", "sample"])
def test_each_position_is_computed_once_for_unfinished_rows(network, method):
    prompts, read = network.prompts(LENGTHS), []
    forward = network.decoder.forward

    def counting(ids, *rest, **options):
        read.append(tuple(ids.shape))
        return forward(ids, *rest, **options)

    network.decoder.forward = counting
    try:
        options = Decoding(method=method, max_new_tokens=ROOM, beams=2)
        found = decode(network.decodable(prompts, ROOM), options, ALPHABET)
    finally:
        del network.decoder.forward
    width = max(LENGTHS) if isinstance(network, Language) else 1
    assert read[0] == (len(LENGTHS), width), "the prompts, once; or [CLS]"
    assert all(columns == 1 for _, columns in read[1:]), "then the new token alone"
    assert len(read) <= ROOM
    if method != "beam":
        going = [sum(one.tokens > step for (one,) in found) for step in range(1, ROOM)]
        assert [rows for rows, _ in read[1:]] == [rows for rows in going if rows]
    assert sorted((rows for rows, _ in read[1:]), reverse=True) == [rows for rows, _ in read[1:]]


def test_stepwise_yields_tokens_as_they_are_chosen():
    network = Language("llama")
    prompts = network.prompts(LENGTHS)
    options = Decoding(max_new_tokens=ROOM)
    told: dict[int, list[int]] = {}
    for step in stepwise(network.decodable(prompts, ROOM), options, ALPHABET):
        for sequence, token in zip(step.sequences, step.tokens, strict=True):
            told.setdefault(sequence, []).append(token)
    whole = decode(network.decodable(prompts, ROOM), options, ALPHABET)
    assert [tuple(token for token in told[row] if token != 3) for row in range(5)] == [one.ids for (one,) in whole]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"n_best": 2}, "greedy decoding makes one"),
        ({"method": "beam", "beams": 2, "n_best": 3}, "set beams"),
        ({"top_p": 0.0}, "greater than 0"),
        ({"temperature": 0}, "greater than 0"),
        ({"topp": 1}, "not permitted"),
    ],
)
def test_invalid_decoding_options_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        Decoding(**options)
