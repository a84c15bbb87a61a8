"""The recurrent networks: padding and the future have no part, a carried state is the whole text, the papers' decoders."""

import itertools

import pytest
import torch

from models.config import ModelConfig
from models.torch import build, initialize
from models.torch.recurrent.alignment import attend

CELLS, ALIGNMENTS = ["rnn", "lstm", "gru"], ["additive", "multiplicative"]
PAIRS = list(itertools.product(CELLS, ALIGNMENTS))


def network(part, **changes):
    config = ModelConfig(
        network="recurrent", **{"d_model": 12, "d_ff": 8, "num_layers": 2, "vocab_size": 30, "d_embedding": 7} | changes
    )
    made = build(part, config)
    initialize(made, config, 0)
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.add_(0.2 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(1)))
    return made.eval()


def ids(rows, length, seed=2):
    return torch.randint(1, 30, (rows, length), generator=torch.Generator().manual_seed(seed))


def mask(lengths, width):
    return torch.arange(width)[None] < torch.tensor(lengths)[:, None]


def with_given_vectors(embedding, input_ids):
    vectors = embedding.tokens(input_ids).detach().requires_grad_()
    embedding.tokens.forward = lambda _: vectors
    return vectors


@pytest.mark.parametrize("cell", CELLS)
def test_encoder_sees_whole_row_and_no_padding(cell):
    made, lengths = network("Encoder", cell=cell), [6, 3]
    vectors = with_given_vectors(made.embedding, ids(2, 6))
    memory = made(ids(2, 6), mask(lengths, 6))
    assert memory.shape == (2, 6, 12)
    for row, length in enumerate(lengths):
        for place in range(length):
            (gradient,) = torch.autograd.grad(memory[row, place].sum(), vectors, retain_graph=True)
            seen = gradient.abs().sum(-1) > 0
            assert seen[row].tolist() == [True] * length + [False] * (6 - length)
            assert not seen[1 - row].any()


@pytest.mark.parametrize("cell", CELLS)
def test_batch_matches_single_rows_in_any_order(cell):
    made, tokens, lengths = network("Encoder", cell=cell), ids(4, 7), [3, 7, 1, 5]
    memory = made(tokens, mask(lengths, 7))
    for row, length in enumerate(lengths):
        torch.testing.assert_close(memory[row, :length], made(tokens[row : row + 1, :length])[0])
    order = [2, 0, 3, 1]
    torch.testing.assert_close(made(tokens[order], mask(lengths, 7)[order]), memory[order])


@pytest.mark.parametrize("cell", CELLS)
def test_no_gradient_flows_from_the_future(cell):
    made = network("Decoder", cell=cell)
    vectors = with_given_vectors(made.embedding, ids(1, 6))
    out = made(ids(1, 6))
    for place in range(6):
        (gradient,) = torch.autograd.grad(out[0, place].sum(), vectors, retain_graph=True)
        assert (gradient[0].abs().sum(-1) > 0).tolist() == [True] * (place + 1) + [False] * (5 - place)


@pytest.mark.parametrize("cell", CELLS)
def test_cached_rows_of_mixed_lengths_match_uncached(cell):
    made, tokens, begun = network("Decoder", cell=cell), ids(3, 12), [5, 2, 4]
    cache = made.cache(3, 12)
    found = [made(tokens[:, :5], mask(begun, 5), cache=cache)]
    assert cache.lengths.tolist() == begun
    for step in range(7):
        new = tokens[torch.arange(3), torch.tensor(begun) + step]
        found.append(made(new[:, None], cache=cache))
    for row, length in enumerate(begun):
        got = torch.cat([found[0][row, :length], *[one[row] for one in found[1:]]])
        torch.testing.assert_close(got, made(tokens[row : row + 1, : length + 7])[0])


@pytest.mark.parametrize(("cell", "alignment"), PAIRS)
def test_cache_and_padding_do_not_change_translation(cell, alignment):
    made = network("EncoderDecoder", cell=cell, alignment=alignment, num_decoder_layers=1)
    source, target, lengths = ids(3, 6), ids(3, 8, seed=3), [6, 2, 4]
    seen = mask(lengths, 6)
    whole = made(source, seen, target)
    assert whole.shape == (3, 8, 12)
    for row, length in enumerate(lengths):
        torch.testing.assert_close(whole[row], made(source[row : row + 1, :length], None, target[row : row + 1])[0])
    cache = made.cache(source, seen, 8)
    steps = [made.decoder(target[:, :3], mask([3, 1, 2], 3), cache=cache)]
    cache.take(torch.tensor([2, 0, 0, 1]))
    assert cache.lengths.tolist() == [2, 3, 3, 1]
    taken = target[[2, 0, 0, 1]]
    steps = [made.decoder(taken[torch.arange(4), cache.lengths][:, None], cache=cache) for _ in range(4)]
    for row, (whose, begun) in enumerate([(2, 2), (0, 3), (0, 3), (1, 1)]):
        torch.testing.assert_close(torch.cat(steps, 1)[row], whole[whose, begun : begun + 4])


@pytest.mark.parametrize(("cell", "alignment"), PAIRS)
def test_target_sees_whole_source_and_no_future_tokens(cell, alignment):
    made = network("EncoderDecoder", cell=cell, alignment=alignment)
    memory = made.encoder(ids(1, 5)).detach().requires_grad_()
    vectors = with_given_vectors(made.decoder.embedding, ids(1, 4, seed=3))
    out = made.decoder(ids(1, 4, seed=3), memory=memory, memory_mask=mask([3], 5))
    for place in range(4):
        of_source, of_target = torch.autograd.grad(out[0, place].sum(), (memory, vectors), retain_graph=True)
        assert (of_source[0].abs().sum(-1) > 0).tolist() == [True] * 3 + [False] * 2
        assert (of_target[0].abs().sum(-1) > 0).tolist() == [True] * (place + 1) + [False] * (3 - place)


def first_state(decoder, memory):
    return torch.tanh(decoder.bridge(memory[:, 0, 6:]))


def test_bahdanau_decoder_matches_paper():
    made = network("EncoderDecoder", cell="gru", alignment="additive", num_decoder_layers=1)
    decoder, source, target = made.decoder, ids(2, 5), ids(2, 4, seed=3)
    memory = made.encoder(source)
    state, unit = first_state(decoder, memory), torch.nn.GRUCell(7 + 12, 12)
    unit.load_state_dict({name.removesuffix("_l0"): value for name, value in decoder.cells.kernel.state_dict().items()})
    keys, got = decoder.alignment.keys(memory), decoder(target, memory=memory)
    for place in range(4):
        token = decoder.embedding(target[:, place])
        context = attend(decoder.alignment(state[:, None], keys), memory, None)[0][:, 0]  # of s_{t-1}
        state = unit(torch.cat([token, context], -1), state)
        said = decoder.output(torch.cat([state, token, context], -1))
        torch.testing.assert_close(got[:, place], torch.maximum(said[:, 0::2], said[:, 1::2]))


def test_luong_decoder_matches_paper():
    made = network("EncoderDecoder", cell="lstm", alignment="multiplicative", num_decoder_layers=1)
    decoder, source, target = made.decoder, ids(2, 5), ids(2, 4, seed=3)
    memory = made.encoder(source)
    state, unit = (first_state(decoder, memory), torch.zeros(2, 12)), torch.nn.LSTMCell(7, 12)
    unit.load_state_dict({name.removesuffix("_l0"): value for name, value in decoder.cells.kernel.state_dict().items()})
    keys, got = decoder.alignment.keys(memory), decoder(target, memory=memory)
    for place in range(4):
        state = unit(decoder.embedding(target[:, place]), state)
        context = attend(decoder.alignment(state[0][:, None], keys), memory, None)[0][:, 0]  # of s_t
        said = torch.tanh(decoder.output(torch.cat([context, state[0]], -1)))
        torch.testing.assert_close(got[:, place], said)


@pytest.mark.parametrize("alignment", ALIGNMENTS)
def test_attention_map_covers_source_without_padding(alignment):
    made = network("EncoderDecoder", alignment=alignment)
    memory = made.encoder(ids(2, 5))
    ((own, weights),) = made.decoder.attention_maps(ids(2, 4, seed=3), memory=memory, memory_mask=mask([5, 3], 5))
    assert own is None
    assert weights.shape == (2, 1, 4, 5)
    torch.testing.assert_close(weights.sum(-1), torch.ones(2, 1, 4))
    assert not weights[1, ..., 3:].any()


def test_source_and_target_share_embeddings():
    made = network("EncoderDecoder")
    assert made.decoder.embedding.tokens is made.encoder.embedding.tokens


def test_bidirectional_encoder_refuses_odd_width():
    with pytest.raises(ValueError, match="d_model=13: a recurrent encoder reads in two directions"):
        network("Encoder", d_model=13)
