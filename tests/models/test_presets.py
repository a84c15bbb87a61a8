"""Every preset is a network that can be made, and says where its values are from."""

import re

import pytest
import torch
from pydantic import ValidationError

from models import presets
from models.config import Architecture, ModelConfig
from models.torch import build

PARTS = {
    "lstm-lm": "Decoder",
    "rnn": "Decoder",
    "gru-attention": "EncoderDecoder",
    "bilstm": "Encoder",
    "textcnn": "Encoder",
}


@pytest.mark.parametrize("name", presets.available())
def test_a_preset_is_an_architecture_with_its_source(name):
    text = (presets.FOLDER / f"{name}.yaml").read_text(encoding="utf-8")
    assert re.match(r"# .*\b(19|20)\d\d\b", text), "its first line names the paper and the year"
    made = Architecture(preset=name)
    choices = presets.read(name)
    assert {key: getattr(made, key) for key in choices} == choices
    assert choices.keys() - {"preset"} <= {
        key for key, field in Architecture.model_fields.items() if (field.json_schema_extra or {}).get("preset")
    }


@pytest.mark.parametrize("name", PARTS)
def test_networks_before_the_transformer_can_be_made_as_their_papers_say(name):
    config = ModelConfig(preset=name, vocab_size=100)
    with torch.device("meta"):
        network = build(PARTS[name], config)
    assert network.get_submodule("encoder" if name == "gru-attention" else "").config.d_model == config.d_model


def test_what_is_given_beside_a_preset_wins():
    made = Architecture(preset="lstm-lm", d_model=64, dropout="")
    assert (made.d_model, made.dropout, made.num_layers) == (64, 0.5, 2)


def test_an_unknown_preset_is_refused_with_those_there_are():
    with pytest.raises(ValidationError, match=r"no preset 'elmo'; known: .*bilstm"):
        Architecture(preset="elmo")


def test_networks_without_heads_need_no_width_that_heads_divide():
    assert ModelConfig(network="recurrent", d_model=30, vocab_size=9).d_model == 30
    assert ModelConfig(network="convolutional", d_model=30, vocab_size=9).d_model == 30
