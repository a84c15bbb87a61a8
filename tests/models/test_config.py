"""The architecture that users choose, and the config that is made of it."""

import pytest
from pydantic import ValidationError

from models.config import Architecture, ModelConfig


def test_model_config_keeps_chosen_architecture():
    chosen = Architecture(d_model=32, d_ff=64, num_heads=2, num_layers=1, max_length=16, dropout=0.1, norm="post")
    config = ModelConfig.of(chosen, vocab_size=100, pad_id=0)
    assert {name: getattr(config, name) for name in Architecture.model_fields} == chosen.model_dump()
    assert (config.vocab_size, config.pad_id, config.head_width) == (100, 0, 16)


def test_config_round_trips_through_json():
    config = ModelConfig(vocab_size=100, dropout=0.1)
    assert ModelConfig.model_validate_json(config.model_dump_json()) == config


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"num_heads": 3}, "num_heads=3 does not divide d_model=128"),
        ({"dropout": 1.0}, "dropout"),
        ({"norm": "middle"}, "norm"),
        ({"depth": 4}, "depth"),
        ({"dropout": float("nan")}, "dropout"),
    ],
)
def test_invalid_config_error_names_field(wrong, named):
    with pytest.raises(ValidationError, match=named):
        ModelConfig(vocab_size=100, **wrong)


def test_given_fields_override_preset_and_empty_fields_do_not():
    chosen = Architecture(preset="llama", d_model=64, num_heads=4, d_ff=128, num_layers="", dropout="")
    assert (chosen.d_model, chosen.num_layers, chosen.activation, chosen.bias) == (64, 32, "swiglu", False)


def test_complete_config_loads_without_its_preset():
    written = ModelConfig(preset="llama", vocab_size=100, d_model=64, num_heads=4).model_dump() | {"preset": "gone"}
    assert ModelConfig(**written).norm_kind == "rms"
    with pytest.raises(ValueError, match="no preset 'gone'"):
        Architecture(preset="gone")
