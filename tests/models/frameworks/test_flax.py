"""The Flax twin by itself: equations that can be worked out by hand, its names, and everything that it refuses."""

import math
from importlib import import_module
from types import SimpleNamespace

import numpy as np
import pytest

from models.config import ModelConfig
from models.devices import Compute
from models.network import Part
from models.question import Objective, ask_each_row
from tests.models.frameworks.cases import CASES

pytestmark = pytest.mark.frameworks
SMALL = {"d_model": 16, "d_ff": 16, "num_heads": 2, "num_layers": 1, "max_length": 16, "vocab_size": 20}


@pytest.fixture(scope="module")
def flax():
    """The files of models/flax/; imported here, since JAX takes a second."""
    names = ("attention", "dropout", "flax_network", "heads", "layers", "masks", "objectives", "positions")
    return SimpleNamespace(**{name: import_module(f"models.flax.{name}") for name in names})


def test_linear_multiplies_by_the_transposed_matrix(flax):
    layer = flax.layers.Linear(2, 3)
    layer.weight[...] = np.array([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]], np.float32)
    layer.bias[...] = np.array([0.0, 10.0, 0.0], np.float32)
    np.testing.assert_array_equal(layer(np.array([2.0, 3.0], np.float32)), [2.0, 13.0, 5.0])


def test_attention_weights_are_even_over_the_keys_that_are_visible(flax):
    query, key = np.zeros((1, 3, 4, 2), np.float32), np.ones((1, 3, 2, 2), np.float32)
    mask = np.array([[True, False, False], [True, True, False], [False, False, False]])[None, None]
    weights = flax.attention.attention_weights(query, key, mask, 1.0)
    assert weights.shape == (1, 4, 3, 3)
    expected = [[1, 0, 0], [0.5, 0.5, 0], [0, 0, 0]]  # the last may look at nothing
    np.testing.assert_allclose(weights, np.broadcast_to(expected, weights.shape))


def test_attention_weights_have_finite_gradients_where_a_query_sees_nothing(flax):
    import jax

    key, mask = np.ones((1, 2, 1, 2), np.float32), np.zeros((1, 1, 2, 2), bool)
    gradient = jax.grad(lambda query: flax.attention.attention_weights(query, key, mask, 1.0).sum())(key)
    np.testing.assert_array_equal(gradient, 0)


def test_attention_weights_of_grouped_heads_are_those_of_repeated_keys(flax):
    random = np.random.default_rng(1)
    query, key = (random.standard_normal((2, 5, heads, 4)).astype(np.float32) for heads in (6, 2))
    grouped = flax.attention.attention_weights(query, key, None, 0.5)
    repeated = flax.attention.attention_weights(query, np.repeat(key, 3, 2), None, 0.5)
    np.testing.assert_allclose(grouped, repeated, atol=1e-6)


def test_document_positions_begin_anew_with_each_text(flax):
    documents = np.array([[1, 1, 1, 2, 2, 0], [1, 2, 2, 2, 3, 3]])
    expected = [[0, 1, 2, 0, 1, 0], [0, 0, 1, 2, 0, 1]]
    np.testing.assert_array_equal(flax.masks.document_positions(documents), expected)


@pytest.mark.parametrize("bidirectional", [True, False])
def test_buckets_are_torchs(flax, bidirectional):
    import torch

    from models.torch.positions import RelativePositions

    length = 400
    places = torch.arange(length)[None]
    for buckets in (4, 8, 12, 16, 32, 64):
        for distance in (buckets + 1, 20, 64, 100, 128, 256, 300):
            config = ModelConfig(
                positions="relative", relative_buckets=buckets, relative_distance=max(distance, buckets)
            )
            theirs = RelativePositions(config, bidirectional=bidirectional)
            expected = theirs._bucket(places.unsqueeze(-2) - places.unsqueeze(-1))[0].numpy()
            ours = flax.positions.RelativePositions(config, bidirectional=bidirectional)
            index = np.arange(length)
            found = ours._bucket(np.arange(1 - length, length))[index[None] - index[:, None] + length - 1]
            np.testing.assert_array_equal(found, expected, err_msg=f"{buckets} {distance}")


def test_rotary_angles_of_far_positions_are_torchs(flax):
    import torch

    from models.torch.positions import rotary_angles

    for width, base in ((64, 10_000.0), (80, 500_000.0), (64, 160_000.0)):
        expected = rotary_angles(torch.arange(8192)[None], width, base)
        found = flax.positions.rotary_angles(np.arange(8192)[None], width, base)
        for one, other in zip(found, expected, strict=True):
            np.testing.assert_allclose(one[0, :, 0], other[0, 0].numpy(), atol=1e-6)


def test_cross_entropy_of_even_choices_is_the_logarithm_of_their_number(flax):
    nats = flax.objectives.cross_entropy(np.zeros((2, 5), np.float32), np.array([0, 4]), 0.1)
    np.testing.assert_allclose(nats, math.log(5), rtol=1e-6)


def test_max_pool_has_no_part_of_its_edge(flax):
    image = -np.arange(1.0, 5.0, dtype=np.float32).reshape(1, 1, 2, 2)
    np.testing.assert_array_equal(flax.layers.max_pool(image, 3, 2, 1), [[[[-1.0]]]])


@pytest.mark.parametrize("how", ["mean", "max", "last"])
def test_pool_leaves_padding_out(flax, how):
    memory = np.random.default_rng(1).standard_normal((2, 4, 3)).astype(np.float32)
    mask = np.array([[True, True, False, False], [True, True, True, True]])
    found = flax.heads.pool(memory, mask, how)
    np.testing.assert_allclose(found[:1], flax.heads.pool(memory[:1, :2], None, how), rtol=1e-6)
    np.testing.assert_allclose(found[1:], flax.heads.pool(memory[1:], None, how), rtol=1e-6)


def test_dropout_keeps_the_mean_and_repeats_itself(flax):
    x, words = np.ones((400, 50), np.float32), np.arange(4, dtype=np.uint32)
    first, second = (flax.dropout.dropout(x, 0.25, flax.dropout.rngs_of(words)) for _ in range(2))
    np.testing.assert_array_equal(first, second)
    assert set(np.unique(first)) == {0.0, np.float32(1 / 0.75)}
    assert float(first.mean()) == pytest.approx(1, abs=0.02)
    rngs = flax.dropout.rngs_of(words)
    assert not np.array_equal(flax.dropout.dropout(x, 0.25, rngs), flax.dropout.dropout(x, 0.25, rngs))
    assert flax.dropout.dropout(x, 0.25, None) is x


def test_drop_rows_drops_whole_rows(flax):
    dropped = np.array(
        flax.dropout.drop_rows(
            np.ones((200, 3, 2), np.float32), 0.5, flax.dropout.rngs_of(np.arange(4, dtype=np.uint32))
        )
    )
    assert {tuple(np.unique(row)) for row in dropped} == {(0.0,), (2.0,)}


def test_shared_parameters_exist_once_by_the_first_name(flax):
    case = CASES["transformer-2017"]
    network = flax.flax_network.FlaxNetwork(case.parts, case.config)
    names = list(network.weights())
    assert "encoder.embedding.tokens.weight" in names
    assert not [name for name in names if name.startswith("decoder.embedding.tokens")]
    assert names.index("encoder.final_norm.weight" if "encoder.final_norm.weight" in names else names[0]) < names.index(
        "decoder.layers.0.attention.qkv.weight"
    )


def test_part_takes_a_module_of_another(flax):
    config = ModelConfig(**SMALL)
    shares = {"embedding.tokens": "encoder.embedding.tokens"}
    parts = {"encoder": Part("Encoder"), "second": Part("Encoder", shares=shares), "head": Part("MaskedLMHead")}
    names = flax.flax_network.FlaxNetwork(parts, config).weights().keys()
    assert "second.embedding.positions.weight" in names
    assert "second.embedding.tokens.weight" not in names


def test_weights_are_copies(flax):
    network = flax.flax_network.FlaxNetwork({"encoder": Part("Encoder")}, ModelConfig(**SMALL))
    network.initialize(1)
    given = network.weights()
    network.load_weights(given)
    name = "encoder.embedding.positions.weight"
    before = given[name].copy()
    given[name][:] = 7
    np.testing.assert_array_equal(network.weights()[name], before)
    network.weights()[name][:] = 7
    np.testing.assert_array_equal(network.weights()[name], before)


def test_vectors_have_length_1(flax):
    case = CASES["retrieval"]
    network = flax.flax_network.FlaxNetwork(case.parts, case.config)
    network.initialize(3)
    inputs = case.question().inputs
    np.testing.assert_allclose(np.linalg.norm(network.vectors(inputs), axis=1), 1, rtol=1e-6)
    assert len(network.vectors({name: value[:3] for name, value in inputs.items()})) == 3


@pytest.mark.parametrize(
    ("changes", "names"),
    [
        ({"network": "recurrent"}, "network=recurrent"),
        ({"unpadding": True}, "unpadding"),
        ({"bigram_buckets": 100}, "bigram_buckets=100"),
    ],
)
def test_choices_without_a_twin_are_refused_with_the_remedy(flax, changes, names):
    with pytest.raises(ValueError, match=rf"{names}.*framework=torch") as error:
        flax.flax_network.FlaxNetwork({"encoder": Part("Encoder")}, ModelConfig(**SMALL, **changes))
    assert "\n" not in str(error.value)


def test_part_without_a_twin_is_refused(flax):
    with pytest.raises(ValueError, match=r"ReplacedTokenHead.*framework=torch"):
        flax.flax_network.FlaxNetwork(
            {"encoder": Part("Encoder"), "head": Part("ReplacedTokenHead")}, ModelConfig(**SMALL)
        )


def test_objective_without_a_twin_is_refused(flax):
    for name in ("next_sentence", "replaced_tokens"):
        with pytest.raises(ValueError, match=f"{name}.*framework=torch"):
            flax.objectives.function_of(Objective(name))


@pytest.mark.parametrize(
    ("compute", "names"),
    [
        (Compute(precision="bfloat16"), "precision=bfloat16"),
        (Compute(compiled=True), "compile=true"),
        (Compute(device="mps"), "device mps"),
    ],
)
def test_compute_that_is_torchs_is_refused(flax, compute, names):
    with pytest.raises(ValueError, match=names):
        flax.flax_network.FlaxNetwork({"encoder": Part("Encoder")}, ModelConfig(**SMALL), compute)


def test_logits_of_a_named_head_and_of_labels_unknown(flax):
    config = ModelConfig(**SMALL)
    parts = {
        "encoder": Part("Encoder"),
        "tags": Part("TokenClassifier", {"num_tags": 4}),
        "rows": Part("Classifier", {"num_labels": 2}),
    }
    network = flax.flax_network.FlaxNetwork(parts, config)
    network.initialize(1)
    question = ask_each_row({"input_ids": np.arange(15).reshape(3, 5)})
    assert network.logits(question).shape == (3, 4)
    assert network.logits(question, "rows").shape == (3, 2)
