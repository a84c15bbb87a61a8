"""Attention against values worked out by hand, and against PyTorch's own layer."""

import math

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from models.config import ModelConfig
from models.torch import CrossAttention, MultiHeadAttention
from models.torch.attention import plain_weights
from models.torch.devices import autocast
from models.torch.masks import add_bias, build_mask
from models.torch.positions import alibi


def attention(d_model=8, num_heads=2, dropout=0.0):
    config = ModelConfig(d_model=d_model, d_ff=16, num_heads=num_heads, vocab_size=10, dropout=dropout)
    torch.manual_seed(0)
    return MultiHeadAttention(config)


def identity(layer):
    """Query, key, value and output all become the identity."""
    width = layer.output.weight.shape[0]
    with torch.no_grad():
        layer.qkv.weight.copy_(torch.eye(width).repeat(3, 1))
        layer.output.weight.copy_(torch.eye(width))
        layer.qkv.bias.zero_()
        layer.output.bias.zero_()
    return layer


def test_attention_over_two_positions_matches_hand_calculation():
    layer = identity(attention(d_model=8, num_heads=1))
    a, b = torch.zeros(8), torch.zeros(8)
    a[0] = b[1] = math.sqrt(8) ** 0.5 * math.sqrt(math.log(3))  # scores a.a / sqrt(8) = log 3, a.b = 0
    out = layer(torch.stack([a, b])[None], None)[0]
    # softmax(log 3, 0) = (3/4, 1/4)
    torch.testing.assert_close(out, torch.stack([0.75 * a + 0.25 * b, 0.25 * a + 0.75 * b]))


def test_attention_with_equal_scores_is_the_mean():
    layer = identity(attention())
    with torch.no_grad():
        layer.qkv.weight[:8].zero_()  # queries of nought
    x = torch.randn(2, 5, 8)
    torch.testing.assert_close(layer(x, None), x.mean(1, keepdim=True).expand(2, 5, 8))


def test_matches_torch_multihead_attention():
    ours, theirs = attention(), nn.MultiheadAttention(8, 2, batch_first=True)
    with torch.no_grad():
        theirs.in_proj_weight.copy_(ours.qkv.weight)
        theirs.in_proj_bias.copy_(ours.qkv.bias)
        theirs.out_proj.weight.copy_(ours.output.weight)
        theirs.out_proj.bias.copy_(ours.output.bias)
    x, mask = torch.randn(3, 6, 8), torch.arange(6)[None] < torch.tensor([6, 4, 1])[:, None]
    expected, weights = theirs(x, x, x, key_padding_mask=~mask, average_attn_weights=False)
    torch.testing.assert_close(ours(x, mask), expected)
    torch.testing.assert_close(ours.weights(x, mask), weights)


def test_masked_positions_do_not_affect_output():
    layer, x = attention(), torch.randn(1, 4, 8)
    mask = torch.tensor([[True, True, False, False]])
    changed = x.clone()
    changed[:, 2:] += 100
    torch.testing.assert_close(layer(x, mask)[:, :2], layer(changed, mask)[:, :2])
    torch.testing.assert_close(layer(x, mask)[:, :2], layer(x[:, :2], None))
    assert (layer.weights(x, mask)[..., 2:] == 0).all()


@pytest.mark.parametrize("masked", [False, True])
def test_attention_weights_sum_to_one_and_give_the_output(masked):
    layer, x = attention(), torch.randn(2, 5, 8)
    mask = torch.tensor([[True] * 5, [True] * 3 + [False] * 2]) if masked else None
    weights = layer.weights(x, mask)
    assert weights.shape == (2, 2, 5, 5)
    torch.testing.assert_close(weights.sum(-1), torch.ones(2, 2, 5))
    value = layer.qkv(x)[..., 16:].unflatten(-1, (2, 4)).transpose(1, 2)
    torch.testing.assert_close(layer(x, mask), layer.output((weights @ value).transpose(1, 2).flatten(2)))


def test_dropout_applies_only_in_training():
    layer, x = attention(dropout=0.5), torch.randn(1, 6, 8)
    torch.manual_seed(1)
    assert not torch.equal(layer.train()(x, None), layer(x, None))
    assert torch.equal(layer.eval()(x, None), layer(x, None))


@pytest.mark.parametrize("kv_heads", [1, 2])
def test_grouped_query_attention_matches_repeated_heads(kv_heads):
    torch.manual_seed(0)
    config = ModelConfig(d_model=16, d_ff=16, num_heads=4, num_kv_heads=kv_heads, vocab_size=10)
    few, full = MultiHeadAttention(config), MultiHeadAttention(config.with_changes({"num_kv_heads": 4}))
    for parameter, narrow in ((full.qkv.weight, few.qkv.weight), (full.qkv.bias, few.qkv.bias)):
        query, key, value = narrow.split([16, 4 * kv_heads, 4 * kv_heads])
        repeated = [
            part.unflatten(0, (kv_heads, 4)).repeat_interleave(4 // kv_heads, 0).flatten(0, 1) for part in (key, value)
        ]
        with torch.no_grad():
            parameter.copy_(torch.cat([query, *repeated]))
    full.output.load_state_dict(few.output.state_dict())
    x, mask = torch.randn(3, 6, 16), torch.arange(6)[None] < torch.tensor([6, 4, 1])[:, None]
    torch.testing.assert_close(few(x, mask), full(x, mask))
    torch.testing.assert_close(few.weights(x, mask), full.weights(x, mask))


def test_cross_attention_matches_torch_multihead_attention():
    torch.manual_seed(0)
    ours = CrossAttention(ModelConfig(d_model=8, d_ff=16, num_heads=2, vocab_size=10))
    theirs = nn.MultiheadAttention(8, 2, batch_first=True)
    with torch.no_grad():
        theirs.in_proj_weight.copy_(torch.cat([ours.query.weight, ours.key_value.weight]))
        theirs.in_proj_bias.copy_(torch.cat([ours.query.bias, ours.key_value.bias]))
    theirs.out_proj.load_state_dict(ours.output.state_dict())
    x, memory = torch.randn(3, 4, 8), torch.randn(3, 6, 8)
    mask = torch.arange(6)[None] < torch.tensor([6, 4, 1])[:, None]
    expected, weights = theirs(x, memory, memory, key_padding_mask=~mask, average_attn_weights=False)
    remembered = ours.keys_values(memory)
    torch.testing.assert_close(ours.attend(x, remembered, mask), expected)
    torch.testing.assert_close(ours.attend_weights(x, remembered, mask), weights)


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize(("causal", "window"), [(False, 0), (True, 0), (True, 3), (False, 4)])
def test_attention_kernel_matches_explicit_weights(bias, causal, window):
    layer, x, positions = attention(num_heads=4), torch.randn(2, 7, 8), torch.arange(7)[None]
    padding = positions < torch.tensor([7, 2])[:, None]  # of the second row, the last have nothing in their window
    seen = build_mask(positions, positions, padding, causal=causal, window=window)
    mask = add_bias(seen, alibi(positions, positions, 4) if bias else None)
    query, key, value = layer.qkv(x).unflatten(-1, (3, 4, 2)).permute(2, 0, 3, 1, 4)
    weights = plain_weights(query, key, mask, 1 / math.sqrt(2))
    expected = layer.output((weights @ value).transpose(1, 2).flatten(2))
    torch.testing.assert_close(layer(x, mask), expected)
    if causal and not window and not bias:
        torch.testing.assert_close(layer(x[:1], None, causal=True), expected[:1])


def test_unscaled_attention_uses_plain_products():
    layer = MultiHeadAttention(ModelConfig(d_model=8, d_ff=8, num_heads=2, vocab_size=10, scale_attention=False))
    query, key = torch.randn(2, 1, 2, 3, 4)
    scores = layer.scale * query @ key.transpose(-2, -1)
    torch.testing.assert_close(scores, query @ key.transpose(-2, -1))
    torch.testing.assert_close(plain_weights(query, key, None, layer.scale), scores.softmax(-1))


@pytest.mark.parametrize("causal", [False, True])
def test_fully_masked_query_causes_no_nan(causal):
    layer, positions = attention(), torch.arange(9)[None]
    x, row = torch.randn(1, 9, 8, requires_grad=True), positions < 2
    mask = build_mask(positions, positions, row, causal=causal, window=3)
    assert not mask[0, 0, 8].any()
    torch.testing.assert_close(layer.weights(x, mask)[0, :, 8], torch.zeros(2, 9))
    out = layer(layer(x, mask), mask)
    out[row].sum().backward()
    assert out.isfinite().all()
    assert x.grad.isfinite().all()
    assert all(parameter.grad.isfinite().all() for parameter in layer.parameters())


@pytest.mark.parametrize("causal", [True, False])
def test_gradients_in_bfloat16_are_near_those_of_float32_and_computed_in_it(causal, monkeypatch):
    kernel, types = F.scaled_dot_product_attention, []

    def spied(query, *rest, **options):
        types.append(query.dtype)
        return kernel(query, *rest, **options)

    monkeypatch.setattr(F, "scaled_dot_product_attention", spied)
    torch.manual_seed(3)
    layer, x = MultiHeadAttention(ModelConfig(d_model=32, num_heads=4)), torch.randn(2, 6, 32)

    def gradient(precision):
        layer.zero_grad()
        with autocast(x.device, precision):
            layer(x, None, causal=causal).float().square().sum().backward()
        return layer.qkv.weight.grad.clone()

    exact, low = gradient("float32"), gradient("bfloat16")
    assert (low - exact).norm() < 0.02 * exact.norm()
    assert types == [torch.float32] * 2, "the CPU's kernel of lower precisions is slow at gradients"
    with torch.inference_mode(), autocast(x.device, "bfloat16"):
        layer(x, None)
    assert types[-1] == torch.bfloat16
