"""The report's attention maps, and what stands there for a network that has none."""

import pytest

from models.config import ModelConfig
from models.network import Part
from models.torch.torch_network import TorchNetwork
from tasks.attention import attention_of
from tasks.evaluation import AttentionMaps, Texts
from tasks.model import Model


class Letters:
    """A tokenizer of letters, as far as a map needs one."""

    def encode(self, text):
        return [ord(letter) - ord("a") + 5 for letter in text]

    def with_ends(self, ids, length):
        return [2, *ids[: length - 2], 3]

    def pieces(self, ids):
        return [f"▁{id}" for id in ids]


def model(**changes):
    config = ModelConfig(d_model=8, d_ff=8, num_heads=2, num_layers=2, vocab_size=40, max_length=6, **changes)
    network = TorchNetwork({"encoder": Part("Encoder")}, config)
    network.initialize(0)
    return Model(network, Letters(), config, "classification", {})


def test_attention_maps_cover_each_layer_and_head_of_text_start():
    shown = attention_of(model(), "abcdefgh")
    assert isinstance(shown, AttentionMaps)
    assert shown.tokens == [" 2", " 5", " 6", " 7", " 8", " 3"]
    assert list(shown.maps) == [f"layer {layer}, head {head}" for layer in (1, 2) for head in (1, 2)]
    for rows in shown.maps.values():
        assert [sum(row) for row in rows] == pytest.approx([1.0] * 6, abs=0.01)


@pytest.mark.parametrize("network", ["recurrent", "convolutional"])
def test_network_without_attention_gets_a_note(network):
    shown = attention_of(model(network=network, kernel_sizes="3,4"), "abc")
    assert isinstance(shown, Texts)
    assert f"This network is {network}: it has no attention" in shown.note
