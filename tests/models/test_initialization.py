"""Start weights in numpy: the papers' laws by name and shape, and nothing but the seed and the name decides."""

import math
import zlib
from itertools import pairwise

import numpy as np
import pytest

from models import parameters
from models.config import ModelConfig
from models.initialization import GATES, start

CONFIG = ModelConfig(
    d_model=64, d_ff=128, num_heads=4, num_layers=8, max_length=64, vocab_size=500, initializer_std=0.05
)
MATRIX = "encoder.layers.0.attention.qkv.weight"


def started(name, shape, seed=0, **changes):
    value = start(name, shape, CONFIG.with_changes(changes), seed)
    assert value.dtype == np.float32
    assert value.shape == shape
    return value


def is_normal(value, std):
    """Spread, mean and tails are those of a normal law."""
    assert value.std() == pytest.approx(std, rel=0.05)
    assert abs(value.mean()) < 4 * std / math.sqrt(value.size)
    assert 3.0 < np.abs(value).max() / std < 6.5


# What decides


def test_weights_depend_only_on_seed_and_name():
    first = started(MATRIX, (96, 64), seed=3)
    np.random.seed(7)  # the global generator has no part in it
    np.testing.assert_array_equal(started(MATRIX, (96, 64), seed=3), first)
    assert not np.array_equal(started(MATRIX, (96, 64), seed=4), first)
    other = started("encoder.layers.1.attention.qkv.weight", (96, 64), seed=3)
    assert abs(np.corrcoef(first.ravel(), other.ravel())[0, 1]) < 0.06


def test_weights_come_from_generator_keyed_by_seed_and_name():
    """A generator keyed by (seed, CRC-32 of the name), so that each framework can draw any parameter by itself."""
    key = np.random.SeedSequence((3, zlib.crc32(MATRIX.encode())))
    numbers = np.random.Generator(np.random.Philox(key)).standard_normal((96, 64), np.float32)
    np.testing.assert_array_equal(started(MATRIX, (96, 64), seed=3), numbers * np.float32(0.05))


@pytest.mark.parametrize("initializer", ["normal", "xavier", "gpt2"])
def test_every_listed_parameter_has_initial_values(initializer):
    config = CONFIG.with_changes({"initializer": initializer, "num_layers": 2})
    for name, shape in (parameters.encoder(config) | parameters.classifier(config, 3)).items():
        value = start(name, shape, config, 0)
        assert value.shape == shape
        assert np.isfinite(value).all()
        if name.endswith("bias"):
            assert not value.any(), name
        elif name.endswith("norm.weight"):
            assert (value == 1).all(), name
        else:
            assert value.std() > 0, name


# The laws


def test_normal_initializer_is_normal_with_given_std():
    is_normal(started(MATRIX, (192, 64)), 0.05)
    is_normal(started("head.output.weight", (500, 64), initializer_std=0.02), 0.02)


def test_xavier_is_uniform_and_embeddings_are_normal():
    value, bound = started(MATRIX, (192, 64), initializer="xavier"), math.sqrt(6 / 256)
    assert 0.98 * bound < np.abs(value).max() <= bound
    assert value.std() == pytest.approx(bound / math.sqrt(3), rel=0.05)
    assert abs(value.mean()) < 0.02 * bound
    is_normal(started("encoder.embedding.tokens.weight", (500, 64), initializer="xavier"), 1 / 8)
    narrow, bound = started("encoder.embedding.projection.weight", (64, 32), initializer="xavier"), math.sqrt(6 / 96)
    assert 0.98 * bound < np.abs(narrow).max() <= bound, "a matrix, though it stands in the embedding"


def test_xavier_bound_includes_convolution_width():
    """Equation 16 with the inputs and outputs of one place: width times channels."""
    value, bound = (
        started("encoder.layers.0.convolutions.0.weight", (32, 16, 3), initializer="xavier"),
        math.sqrt(6 / (48 * 3)),
    )
    assert 0.98 * bound < np.abs(value).max() <= bound


def test_gpt2_initializer_shrinks_residual_projections():
    for name in ("attention.output", "feed_forward.outer", "cross_attention.output"):
        is_normal(started(f"decoder.layers.3.{name}.weight", (64, 128), initializer="gpt2"), 0.05 / math.sqrt(16))
    for name in ("attention.qkv", "feed_forward.inner"):
        is_normal(started(f"decoder.layers.3.{name}.weight", (64, 128), initializer="gpt2"), 0.05)


def test_only_padding_vector_is_zero():
    vectors = started("encoder.embedding.tokens.weight", (500, 64), pad_id=5)
    assert np.flatnonzero(~vectors.any(1)).tolist() == [5]
    assert started("encoder.embedding.positions.weight", (64, 64), pad_id=5).any(1).all()


@pytest.mark.parametrize(
    "name",
    [
        "encoder.embedding.class_token.weight",
        "encoder.relative.weight",
        "decoder.embedding.pairs.weight",
        "head.dense.bias",
    ],
)
def test_class_token_relative_pairs_and_biases_start_at_zero(name):
    assert not started(name, (64,) if "class" in name or "bias" in name else (32, 4)).any()


def test_image_parameters_start_like_paper_code():
    image = {"image_height": 16, "image_width": 16, "image_channels": 3, "vocab_size": 0}
    is_normal(started("encoder.embedding.patches.weight", (64, 3, 4, 4), **image, patch_size=4), math.sqrt(1 / 48))
    is_normal(started("encoder.embedding.positions.weight", (64, 64), **image, patch_size=4), 0.02)
    is_normal(started("encoder.embedding.positions.weight", (64, 64), **image, convolutional_stem=True), 0.2)
    is_normal(
        started("encoder.embedding.convolutions.0.weight", (64, 3, 3, 3), **image, convolutional_stem=True),
        math.sqrt(2 / 27),
    )
    is_normal(started("encoder.blocks.1.first.weight", (64, 32, 3, 3), **image, network="residual"), math.sqrt(2 / 288))


# Cells


@pytest.mark.parametrize("cell", GATES)
def test_recurrent_gates_are_orthogonal_and_drawn_separately(cell):
    width, gates = 24, GATES[cell]
    value = started("encoder.cells.kernel.weight_hh_l0", (gates * width, width), network="recurrent", cell=cell)
    parts = np.split(value.astype(np.float64), gates)
    for part in parts:
        np.testing.assert_allclose(part @ part.T, np.eye(width), atol=1e-6)
    for one, other in pairwise(parts):
        assert not np.allclose(one, other)


def test_orthogonal_matrices_follow_haar_measure():
    """Haar's measure: each entry has mean 0 and variance 1 / n, the trace mean 0 and variance 1 (Diaconis and Shahshahani 1994)."""
    drawn = np.stack([started("cells.kernel.weight_hh_l0", (6, 6), seed=seed, cell="rnn") for seed in range(800)])
    np.testing.assert_allclose(drawn.mean(0), 0, atol=0.07)
    np.testing.assert_allclose((drawn**2).mean(0), 1 / 6, atol=0.04)
    traces = np.trace(drawn, axis1=1, axis2=2)
    assert abs(traces.mean()) < 0.15
    assert traces.var() == pytest.approx(1, abs=0.2)
    assert 0.4 < (np.linalg.det(drawn.astype(np.float64)) > 0).mean() < 0.6, "turned, or turned and mirrored"


def test_only_lstm_forget_gate_starts_with_bias_one():
    biases = np.split(started("encoder.cells.kernel.bias_ih_l0", (4 * 24,), cell="lstm"), 4)
    assert [bias.tolist() for bias in biases] == [[one] * 24 for one in (0, 1, 0, 0)]
    assert not started("encoder.cells.kernel.bias_hh_l0", (4 * 24,), cell="lstm").any()
    for cell in ("rnn", "gru"):
        assert not started("encoder.cells.kernel.bias_ih_l0", (GATES[cell] * 24,), cell=cell).any()


def test_xavier_applies_to_each_gate_separately():
    value = started("encoder.cells.kernel.weight_ih_l0", (3 * 32, 40), cell="gru", initializer="xavier")
    bound = math.sqrt(6 / 72)
    for gate in np.split(value, 3):
        assert 0.95 * bound < np.abs(gate).max() <= bound
    is_normal(started("encoder.cells.kernel.weight_ih_l0", (3 * 32, 40), cell="gru"), 0.05)
