"""TensorFlow's modules: positions and masks to the last bit, dropout by its seed, and one-line refusals."""

import importlib.util

import numpy as np
import pytest
import torch

from models.config import ModelConfig
from models.devices import Compute
from models.network import Part
from models.torch import positions as torch_positions

pytestmark = pytest.mark.frameworks
importlib.import_module("models.tensorflow")  # it sets what must be set before TensorFlow is loaded
tf = importlib.import_module("tensorflow") if importlib.util.find_spec("tensorflow") else None
SMALL = {"d_model": 8, "d_ff": 8, "num_heads": 2, "num_layers": 1, "max_length": 16, "vocab_size": 20}


def network_of(parts, **changes):
    from models.tensorflow.tensorflow_network import TensorFlowNetwork

    return TensorFlowNetwork(parts, ModelConfig(**{**SMALL, **changes}))


@pytest.mark.parametrize("buckets", [8, 16, 32])
@pytest.mark.parametrize("furthest", [24, 100, 128, 1000])
@pytest.mark.parametrize("bidirectional", [True, False])
def test_buckets_of_relative_positions_are_those_of_torch(buckets, furthest, bidirectional):
    from models.position_tables import bucket

    config = ModelConfig(**SMALL, positions="relative", relative_buckets=buckets, relative_distance=furthest)
    expected = torch_positions.RelativePositions(config, bidirectional=bidirectional)._bucket(torch.arange(-4096, 4097))
    found = bucket(np.arange(-4096, 4097), buckets, furthest, bidirectional=bidirectional)
    np.testing.assert_array_equal(found, expected.numpy())


@pytest.mark.parametrize("base", [10_000.0, 160_000.0, 500_000.0])
def test_rotary_angles_are_rounded_as_those_of_torch(base):
    from models.tensorflow.positions import rotary_angles

    found = rotary_angles(tf.range(4096)[None], 64, base)
    expected = torch_positions.rotary_angles(torch.arange(4096)[None], 64, base)
    for ours, theirs in zip(found, expected, strict=True):
        np.testing.assert_allclose(ours.numpy()[0, :, 0], theirs.numpy()[0, 0], atol=2e-7)


def test_sinusoidal_positions_are_those_of_torch():
    from models.position_tables import sinusoidal

    expected = torch_positions.sinusoidal(torch.arange(3000), 15).numpy()
    np.testing.assert_allclose(sinusoidal(3000, 15), expected, rtol=0, atol=1e-7)


@pytest.mark.parametrize("heads", [1, 4, 6, 12])
def test_alibi_is_that_of_torch(heads):
    from models.tensorflow.positions import alibi

    places = np.arange(9)[None]
    expected = torch_positions.alibi(torch.from_numpy(places), torch.from_numpy(places), heads).numpy()
    np.testing.assert_array_equal(alibi(tf.constant(places), tf.constant(places), heads).numpy(), expected)


def test_positions_of_documents_begin_with_each():
    from models.tensorflow.masks import document_positions

    documents = tf.constant([[1, 1, 1, 2, 2, 0, 0], [1, 2, 3, 3, 3, 3, 4]])
    assert document_positions(documents).numpy().tolist() == [[0, 1, 2, 0, 1, 0, 1], [0, 0, 0, 1, 2, 3, 0]]


def test_query_that_sees_no_key_has_no_weights_and_finite_gradients():
    from models.tensorflow.attention import attention_weights
    from models.tensorflow.layer_masks import LayerMask

    query, key = (tf.constant(np.random.default_rng(n).standard_normal((1, 3, 2, 4)), tf.float32) for n in (0, 1))
    mask = tf.constant([[[[True, False, False], [False, False, False], [True, True, True]]]])
    with tf.GradientTape() as tape:
        tape.watch(query)
        weights = attention_weights(query, key, LayerMask(mask), 0.5)
    np.testing.assert_allclose(tf.reduce_sum(weights, -1).numpy(), [[[1, 0, 1]] * 2], atol=1e-6)
    assert np.isfinite(tape.gradient(weights, query).numpy()).all()


def test_vector_of_padding_takes_no_gradient_as_an_input():
    from models.tensorflow.embedding import TokenTable

    table = TokenTable(ModelConfig(**SMALL), 3)
    with tf.GradientTape() as tape:
        total = tf.reduce_sum(table(tf.constant([[0, 5, 5]])))
    gradient = tf.convert_to_tensor(tape.gradient(total, table.weight)).numpy()
    assert gradient.sum(1).tolist() == [0.0] * 5 + [6.0] + [0.0] * 14


def test_dropout_is_a_function_of_its_seed_and_place():
    from models.tensorflow.dropout import draw_from, drop_rows, dropout

    def draw(seed):
        with draw_from(tf.constant([seed, 7])):
            return [dropout(tf.ones([64, 64]), 0.25).numpy() for _ in range(2)], drop_rows(
                tf.ones([64, 3]), 0.5
            ).numpy()

    (first, second), rows = draw(1)
    assert np.unique(first).tolist() == [0.0, np.float32(1 / 0.75)]
    assert 0.22 < (first == 0).mean() < 0.28
    assert (rows == rows[:, :1]).all()
    assert np.unique(rows).tolist() == [0.0, 2.0]
    assert (first != second).any()
    np.testing.assert_array_equal(draw(1)[0][1], second)
    assert (draw(2)[0][0] != first).any()
    assert dropout(tf.ones([8]), 0.5).numpy().tolist() == [1.0] * 8  # outside of training


def test_parameters_that_parts_share_are_there_once():
    trunk = {
        "encoder": Part("Encoder"),
        "other": Part("Encoder", shares={"embedding.tokens": "encoder.embedding.tokens"}),
    }
    network = network_of(trunk)
    assert "encoder.embedding.tokens.weight" in network.parameters
    assert "other.embedding.tokens.weight" not in network.parameters
    assert network.module.other.embedding.tokens is network.module.encoder.embedding.tokens


@pytest.mark.parametrize(
    ("kind", "changes", "message"),
    [
        ("Encoder", {"network": "recurrent"}, "network=recurrent.*set network=transformer, or framework=torch"),
        ("Encoder", {"unpadding": True}, "unpadding=true.*set unpadding=false, or framework=torch"),
        ("Encoder", {"bigram_buckets": 100}, "bigram_buckets.*set bigram_buckets=0, or framework=torch"),
        ("ReplacedTokenHead", {}, "ReplacedTokenHead.*set framework=torch"),
    ],
)
def test_networks_that_only_torch_has_are_refused_in_one_line(kind, changes, message):
    with pytest.raises(ValueError, match=message) as error:
        network_of({"encoder": Part(kind)}, **changes)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(("device", "precision"), [("cpu", "bfloat16"), ("mps", "float32")])
def test_devices_and_precisions_that_only_torch_has_are_refused(device, precision):
    from models.tensorflow.tensorflow_network import TensorFlowNetwork

    with pytest.raises(ValueError, match=r"framework=tensorflow .*framework=torch, which has"):
        TensorFlowNetwork({"encoder": Part("Encoder")}, ModelConfig(**SMALL), Compute(device, precision))
