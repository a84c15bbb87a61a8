"""The presets from before the transformer are networks that can be made, with their papers' sizes."""

import pytest
import torch

from models.config import Architecture, ModelConfig
from models.torch import LMHead, build

PARTS = {
    "rnn": "Decoder",
    "lstm-lm": "Decoder",
    "bilstm": "Encoder",
    "textcnn": "Encoder",
    "gru-attention": "EncoderDecoder",
}


def count(name, **data):
    config = ModelConfig(preset=name, **data)
    with torch.device("meta"):
        made = [build(PARTS[name], config), *([LMHead(config)] if PARTS[name] != "Encoder" else [])]
    return sum(parameter.numel() for part in made for parameter in part.parameters())


@pytest.mark.parametrize("name", PARTS)
def test_preset_network_can_be_built(name):
    assert count(name, vocab_size=100) > 0


def test_lstm_lm_parameter_count_matches_zaremba():
    layer = 4 * (650 * 1300 + 2 * 650)  # PyTorch's kernels have two biases
    assert count("lstm-lm", vocab_size=10_000) == 2 * 10_000 * 650 + 2 * layer


def test_bilstm_has_two_directions_of_width_2048():
    direction = 4 * (2048 * (300 + 2048) + 2 * 2048)
    assert count("bilstm", vocab_size=10_000) == 10_000 * 300 + 2 * direction


def test_textcnn_has_100_feature_maps_of_each_size():
    assert count("textcnn", vocab_size=10_000) == 10_000 * 300 + sum(100 * (300 * size + 1) for size in (3, 4, 5))


def test_rnn_has_an_input_a_recurrent_and_an_output_matrix():
    """Mikolov's input is one of V words, so that the first matrix is the embedding; ours has another in between."""
    assert count("rnn", vocab_size=10_000) == 2 * 10_000 * 250 + 2 * 250 * 250 + 2 * 250


def test_given_fields_override_preset():
    made = Architecture(preset="lstm-lm", d_model=64, dropout="")
    assert (made.d_model, made.dropout, made.num_layers) == (64, 0.5, 2)


@pytest.mark.parametrize("network", ["recurrent", "convolutional"])
def test_networks_without_heads_skip_head_width_check(network):
    assert ModelConfig(network=network, d_model=30, vocab_size=9).d_model == 30
