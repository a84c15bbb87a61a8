"""Positions: closed forms, what must depend on the distance alone, and transformers' T5."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from models.config import ModelConfig
from models.torch.embedding import places
from models.torch.positions import RelativePositions, alibi, rotary_angles, rotate, sinusoidal


def at(*positions):
    return torch.tensor([positions])


@pytest.mark.parametrize("width", [8, 7])
def test_sinusoids_match_the_paper(width):
    found = sinusoidal(at(0, 1, 17), width)[0]
    for row, position in zip(found, (0, 1, 17), strict=True):
        for place in range(width):
            angle = position / 10_000 ** (2 * (place // 2) / width)
            assert row[place].item() == pytest.approx(math.cos(angle) if place % 2 else math.sin(angle), abs=1e-5)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 500), st.integers(0, 500), st.integers(0, 500), st.sampled_from([100.0, 10_000.0]))
def test_rotary_score_depends_only_on_distance_and_keeps_norm(first, second, shift, base):
    generator = torch.Generator().manual_seed(first)
    query, key = torch.randn(2, 1, 1, 1, 16, generator=generator)

    def turned(x, position):
        return rotate(x, rotary_angles(at(position), 16, base))

    score = (turned(query, first) * turned(key, second)).sum()
    moved = (turned(query, first + shift) * turned(key, second + shift)).sum()
    torch.testing.assert_close(score, moved, atol=2e-3, rtol=0)
    torch.testing.assert_close(turned(query, first).norm(), query.norm())


def test_rotation_turns_each_pair_by_its_own_angle():
    x = torch.zeros(1, 1, 1, 6)
    x[..., 1] = 1.0  # the pair (1, 4) of width 6, whose angle is p 100^(-2/6)
    found, angle = rotate(x, rotary_angles(at(5), 6, 100.0))[0, 0, 0], 5 * 100 ** (-2 / 6)
    torch.testing.assert_close(found, torch.tensor([0, math.cos(angle), 0, 0, math.sin(angle), 0]))


def test_alibi_slopes_match_paper():
    def slopes(heads):
        return (-alibi(at(1), at(0), heads)).flatten().tolist()

    assert slopes(8) == [2.0 ** -(h + 1) for h in range(8)]
    assert slopes(16) == pytest.approx([2.0 ** (-(h + 1) / 2) for h in range(16)])
    # Of 12 heads, the first 8 have the slopes of 8, the others every second one of 16 (the paper's own code).
    assert slopes(12) == pytest.approx([*slopes(8), *slopes(16)[0:8:2]])


def test_alibi_penalty_grows_with_distance_on_both_sides():
    bias = alibi(places(4), places(4), 2)
    assert bias.shape == (1, 2, 4, 4)
    distance = torch.tensor([[abs(q - k) for k in range(4)] for q in range(4)])
    torch.testing.assert_close(bias[0, 0], -distance / 16)
    torch.testing.assert_close(bias[0, 1], -distance / 256)


@pytest.mark.parametrize("bidirectional", [True, False])
@pytest.mark.parametrize(("buckets", "distance"), [(32, 128), (16, 20)])
def test_relative_buckets_match_transformers_t5(bidirectional, buckets, distance):
    from transformers.models.t5.modeling_t5 import T5Attention

    config = ModelConfig(vocab_size=9, relative_buckets=buckets, relative_distance=distance)
    ours = RelativePositions(config, bidirectional=bidirectional)
    with torch.no_grad():
        ours.weight.copy_(torch.arange(buckets).unsqueeze(-1).expand(-1, config.num_heads))  # each bucket by its number
    far = torch.arange(-300, 301)
    theirs = T5Attention._relative_position_bucket(far, bidirectional, buckets, distance)
    found = ours(at(300), torch.arange(601).unsqueeze(0))[0, 0, 0]  # keys before and after one query
    assert found.long().tolist() == theirs.tolist()


def test_relative_positions_are_learned_per_head():
    made = RelativePositions(ModelConfig(vocab_size=9), bidirectional=True)
    made(places(5), places(5))[:, 2].sum().backward()
    assert (made.weight.grad.abs().sum(0) > 0).tolist() == [False, False, True, False]
