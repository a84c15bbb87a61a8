"""The decoder: nothing of the future leaks, and what is cached is what would be computed."""

import pytest
import torch

from models.config import ModelConfig
from models.torch import Decoder, EncoderDecoder, initialize

SMALL = {"d_model": 16, "d_ff": 24, "num_heads": 4, "num_layers": 2, "max_length": 16, "vocab_size": 30}
KINDS = {
    "gpt2": {"activation": "gelu_tanh"},
    "llama": {"positions": "rope", "norm_kind": "rms", "activation": "swiglu", "bias": False, "num_kv_heads": 2},
    "t5": {"positions": "relative", "norm_kind": "rms", "bias": False, "scale_attention": False, "d_head": 6},
    "alibi": {"positions": "alibi", "num_kv_heads": 1},
    "window": {"positions": "rope", "window": 3, "global_every": 2, "window_rope_base": 100.0},
    "2017": {"positions": "sinusoidal", "norm": "post", "embedding_norm": False, "scale_embeddings": True},
    "albert": {"share_layers": True, "d_embedding": 8},
}


def started(network, config):
    initialize(network, config, 0)
    with torch.no_grad():
        for parameter in network.parameters():  # norms, biases and relative positions that do something
            parameter.add_(0.1 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(1)))
    return network.eval()


def decoder(kind):
    config = ModelConfig(**SMALL | KINDS[kind])
    return started(Decoder(config), config)


@pytest.mark.parametrize("kind", KINDS)
def test_no_gradient_flows_from_the_future_or_from_padding(kind):
    network, ids = decoder(kind), torch.randint(1, 30, (1, 9))
    mask = torch.arange(9)[None] < 7
    vectors = network.embedding.tokens(ids).detach().requires_grad_()
    network.embedding.tokens.forward = lambda _: vectors
    for place in range(7):
        (gradient,) = torch.autograd.grad(network(ids, mask)[0, place].sum(), vectors, retain_graph=True)
        seen = gradient[0].abs().sum(-1)
        assert (seen[place + 1 :] == 0).all(), "the future"
        assert seen[place] > 0


@pytest.mark.parametrize("kind", KINDS)
def test_cached_rows_of_mixed_lengths_match_uncached(kind):
    network, ids = decoder(kind), torch.randint(1, 30, (3, 12), generator=torch.Generator().manual_seed(2))
    begun, cache = torch.tensor([5, 2, 4]), network.cache(3, 12)
    prompt_mask = torch.arange(5)[None] < begun[:, None]
    found = [network(ids[:, :5], prompt_mask, cache=cache)]
    for step in range(7):
        found.append(network(ids[torch.arange(3), begun + step][:, None], cache=cache))
    for row in range(3):
        whole = network(ids[row : row + 1, : begun[row] + 7])[0]
        got = torch.cat([found[0][row, : begun[row]], *[one[row] for one in found[1:]]])
        torch.testing.assert_close(got, whole, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("kind", ["llama", "t5", "2017"])
def test_encoder_decoder_cache_matches_uncached_and_ignores_padding(kind):
    config = ModelConfig(**SMALL | KINDS[kind])
    network = started(EncoderDecoder(config), config)
    source, target = torch.randint(1, 30, (2, 8)), torch.randint(1, 30, (2, 6))
    mask = torch.arange(8)[None] < torch.tensor([8, 5])[:, None]
    whole = network(source, mask, target)
    torch.testing.assert_close(whole[1:], network(source[1:, :5], None, target[1:]), atol=1e-5, rtol=1e-5)
    cache = network.cache(source, mask, 6)
    steps = torch.cat([network.decoder(target[:, t : t + 1], cache=cache) for t in range(6)], 1)
    torch.testing.assert_close(steps, whole, atol=1e-5, rtol=1e-5)


def test_cache_take_reorders_rows_for_beam():
    network, ids = decoder("llama"), torch.randint(1, 30, (2, 6))
    cache = network.cache(2, 8)
    network(ids, cache=cache)
    cache.take(torch.tensor([1, 1, 0]))
    new = torch.tensor([[7], [8], [9]])
    got = network(new, cache=cache)
    whole = network(torch.cat([ids[[1, 1, 0]], new], 1))[:, -1:]
    torch.testing.assert_close(got, whole, atol=1e-5, rtol=1e-5)


def test_cache_refuses_more_tokens_than_its_room():
    network = decoder("gpt2")
    with pytest.raises(ValueError, match="5 tokens, but the cache has room for 4"):
        network(torch.ones(1, 5, dtype=torch.long), cache=network.cache(1, 4))


@pytest.mark.parametrize("kind", KINDS)
def test_decoder_attention_maps_are_causal_and_sum_to_one(kind):
    network, ids = decoder(kind), torch.randint(1, 30, (2, 7))
    for own, memory in network.attention_maps(ids):
        assert own.shape == (2, 4, 7, 7)
        assert memory is None
        torch.testing.assert_close(own.sum(-1), torch.ones(2, 4, 7))
        assert (own.triu(1) == 0).all()
