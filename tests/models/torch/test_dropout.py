"""Dropout draws from the generator of the thread that computes."""

from concurrent.futures import ThreadPoolExecutor

import pytest
import torch

from models.config import ModelConfig
from models.torch.attention import MultiHeadAttention
from models.torch.dropout import Part, draw_from, drop_rows, dropout

CONFIG = ModelConfig(d_model=16, d_ff=32, num_heads=2, num_layers=1, max_length=16, vocab_size=40)


def seeded(seed):
    return draw_from(torch.Generator().manual_seed(seed))


def test_dropout_zeroes_a_share_and_keeps_the_mean():
    with seeded(1):
        x = dropout(torch.ones(200_000), 0.25)
    assert (x == 0).float().mean().item() == pytest.approx(0.25, abs=0.01)
    assert x.unique().tolist() == [0, pytest.approx(4 / 3)]


def test_dropout_changes_nothing_outside_training():
    x = torch.randn(5)
    assert dropout(x, 0.5, training=False) is x
    assert dropout(x, 0.0) is x


def test_drop_rows_drops_whole_rows():
    with seeded(1):
        x = drop_rows(torch.ones(1000, 3, 2), 0.2)
    kept = x.flatten(1)
    assert bool((kept == kept[:, :1]).all())
    assert (kept[:, 0] == 0).float().mean().item() == pytest.approx(0.2, abs=0.05)


def test_draws_depend_on_the_generator_alone_in_any_thread():
    def draw(seed):
        with seeded(seed):
            return [dropout(torch.ones(1000), 0.5) for _ in range(20)]

    alone = [draw(seed) for seed in range(4)]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(draw, range(4)))
    for one, other in zip(alone, together, strict=True):
        assert all(map(torch.equal, one, other))
    assert not torch.equal(alone[0][0], alone[1][0])


def test_masks_of_parts_are_rows_of_the_whole_mask():
    def draw(x, part=None):
        with draw_from(torch.Generator().manual_seed(3), part):
            return [dropout(x, 0.5), drop_rows(x, 0.5), dropout(x.transpose(1, 2), 0.5)]

    def part(first, last):
        return Part([(torch.arange(6) >= first) & (torch.arange(6) < last)], own)

    own, runs = torch.Generator().manual_seed(4), [(0, 2), (2, 3), (3, 6)]
    parts = [draw(torch.ones(6, 5, 7)[first:last], part(first, last)) for first, last in runs]
    for whole, *others in zip(draw(torch.ones(6, 5, 7)), *parts, strict=True):
        torch.testing.assert_close(torch.cat(others), whole)
    packed = [draw(torch.ones(1, 13, 7), part(first, first + 2))[0] for first in (2, 4)]
    assert not torch.equal(*packed), "each part has its own"


@pytest.mark.parametrize("causal", [False, True])
def test_attention_with_dropout_has_the_kernels_mean(causal):
    """The weights themselves are dropped, as in the kernel; without dropout both are equal."""
    layer = MultiHeadAttention(CONFIG.with_changes({"attention_dropout": 0.3})).train()
    x = torch.randn(2, 6, CONFIG.d_model)
    expected = layer.eval()(x, None, causal=causal)
    layer.train()
    with seeded(3), torch.no_grad():
        mean = torch.stack([layer(x, None, causal=causal) for _ in range(3000)]).mean(0)
    torch.testing.assert_close(mean, expected, atol=0.05, rtol=0.05)


def test_attention_with_dropout_has_finite_gradients_where_nothing_is_visible():
    layer = MultiHeadAttention(CONFIG.with_changes({"attention_dropout": 0.3})).train()
    x = torch.randn(2, 6, CONFIG.d_model, requires_grad=True)
    mask = torch.zeros(2, 1, 6, 6, dtype=torch.bool)
    mask[..., 1:, :3] = True  # the first query may look at nothing
    layer(x, mask).sum().backward()
    assert x.grad is not None
    assert bool(x.grad.isfinite().all())
