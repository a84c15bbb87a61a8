"""Depths of parameters: who stays, and whose learning rate is how high."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.chance import generator_of
from models.config import ModelConfig
from models.network import Part
from models.torch.torch_network import TorchNetwork
from tasks.masked_lm.task import TASK
from tests.small_training import CONFIG, backend, made_up
from training.depths import depths, rate_scales
from training.errors import TrainingError
from training.options import TrainingOptions
from training.torch.parameter_groups import groups, parts_of, trainable

SIZE = {"d_model": 8, "d_ff": 16, "num_heads": 2, "num_layers": 2, "max_length": 8, "vocab_size": 20}
CLASSIFIER = {"encoder": Part("Encoder"), "head": Part("Classifier", {"num_labels": 3})}


def named(parts=None, **changes):
    return dict(TorchNetwork(parts or CLASSIFIER, ModelConfig(**SIZE | changes)).module.named_parameters())


def depth_of(found, beginning):
    return {depth for name, depth in found.items() if name.startswith(beginning)}


@pytest.mark.parametrize(
    "changes", [{}, {"norm": "post"}, {"positions": "relative"}, {"network": "convolutional", "kernel_sizes": "2,3"}]
)
def test_depth_rises_from_embedding_to_head(changes):
    found = depths(named(**changes))
    expected = {"encoder.embedding": {0}, "encoder.layers.0": {1}, "encoder.layers.1": {2}, "head": {3}}
    assert {name: depth_of(found, name) for name in expected} == expected
    assert depth_of(found, "encoder.relative") <= {0}
    assert depth_of(found, "encoder.final_norm") <= {2}


def test_layers_of_a_decoder_follow_its_encoders():
    found = depths(
        named({"both": Part("EncoderDecoder"), "head": Part("LMHead")}, num_decoder_layers=3, tie_embeddings=False)
    )
    expected = {"encoder.layers.1": {2}, "encoder.final_norm": {2}, "decoder.embedding": {0}, "decoder.layers.0": {3}}
    expected |= {"decoder.layers.2": {5}, "decoder.final_norm": {5}, "head": {6}}
    assert {name: depth_of(found, name) for name in expected} == expected


def test_network_without_numbered_layers_is_refused():
    parts = {"decoder": Part("Decoder"), "head": Part("LMHead")}
    with pytest.raises(TrainingError, match="the decoder of this network has no numbered layers: set freeze_layers=0"):
        depths(named(parts, network="recurrent"))


def test_frozen_parameters_are_those_below():
    parameters = named()
    learning = trainable(parameters, TrainingOptions(freeze_layers=1))
    frozen = parameters.keys() - learning.keys()
    assert frozen
    assert all(name.startswith(("encoder.embedding.", "encoder.layers.0.")) for name in frozen)
    assert not any(name.startswith(("encoder.embedding.", "encoder.layers.0.")) for name in learning)
    assert [parameters[name].requires_grad for name in (*frozen, *learning)] == [False] * len(frozen) + [True] * len(
        learning
    )


def test_freezing_more_layers_than_there_are_is_refused():
    with pytest.raises(TrainingError, match="freeze_layers=3: the network has 2 layers"):
        trainable(named(), TrainingOptions(freeze_layers=3))
    with pytest.raises(TrainingError, match="leaves nothing to train"):
        trainable(named({"encoder": Part("Encoder")}), TrainingOptions(freeze_layers=2))


def test_rates_fall_from_head_to_embedding():
    parameters = named()
    scales = rate_scales(parameters, TrainingOptions(layer_decay=0.5))
    assert scales["head.output.weight"] == 1
    assert scales["encoder.layers.1.attention.qkv.weight"] == 0.5
    assert scales["encoder.embedding.tokens.weight"] == 0.125
    assert set(rate_scales(parameters, TrainingOptions()).values()) == {1.0}
    made = groups(parameters, scales, 0.1)
    assert sum(len(group["params"]) for group in made) == len(parameters)
    for group in made:
        assert {parameter.ndim > 1 for parameter in group["params"]} == {group["weight_decay"] == 0.1}


@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
def test_update_moves_layers_by_their_rates(optimizer):
    """The first step of either optimizer is the rate times something that does not depend on it."""
    question = TASK.ask(CONFIG, {}, made_up(12, 0).batch(np.arange(12)), generator_of(5), training=True)
    moves = []
    for options in ({}, {"layer_decay": 0.5}, {"freeze_layers": 1}):
        chosen = backend(optimizer=optimizer, weight_decay=0, clip=1e9, **options)
        before = chosen.weights()
        chosen.update([question], 0, 1e-2)
        moves.append({name: value - before[name] for name, value in chosen.weights().items()})
    plain, decayed, frozen = moves
    for name, scale in (
        ("head.dense.weight", 1.0),
        ("encoder.layers.0.attention.qkv.weight", 0.5),
        ("encoder.embedding.tokens.weight", 0.25),
    ):
        np.testing.assert_allclose(decayed[name], scale * plain[name], atol=1e-6)
        assert np.any(frozen[name]) == (name == "head.dense.weight")


@given(st.lists(st.integers(0, 50)), st.integers(1, 6))
def test_parts_hold_each_item_once_and_are_about_the_same_size(sizes, count):
    parts = parts_of(range(len(sizes)), sizes.__getitem__, count)
    assert sorted(item for part in parts for item in part) == list(range(len(sizes)))
    totals = [sum(sizes[item] for item in part) for part in parts]
    assert totals == sorted(totals, reverse=True)
    assert len(parts) == min(count, len(parts))
    assert not totals or totals[0] - totals[-1] <= max(sizes)
