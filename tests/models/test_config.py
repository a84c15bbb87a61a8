"""The architecture that users choose, and the config that is made of it."""

import pytest
from pydantic import ValidationError

from models.config import Architecture, ModelConfig


def test_the_full_config_holds_what_the_user_chose():
    chosen = Architecture(d_model=32, d_ff=64, num_heads=2, num_layers=1, max_length=16, dropout=0.1, norm="post")
    config = ModelConfig.of(chosen, vocab_size=100, pad_id=0)
    assert {name: getattr(config, name) for name in Architecture.model_fields} == chosen.model_dump()
    assert (config.vocab_size, config.pad_id, config.head_width) == (100, 0, 16)


def test_a_config_comes_back_from_its_json():
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
def test_what_cannot_be_is_refused_by_name(wrong, named):
    with pytest.raises(ValidationError, match=named):
        ModelConfig(vocab_size=100, **wrong)


def test_what_is_given_wins_over_the_preset_and_an_empty_field_is_not_given():
    chosen = Architecture(preset="llama", d_model=64, num_heads=4, d_ff=128, num_layers="", dropout="")
    assert (chosen.d_model, chosen.num_layers, chosen.activation, chosen.bias) == (64, 32, "swiglu", False)


def test_a_config_that_was_written_whole_needs_its_preset_no_more():
    written = ModelConfig(preset="llama", vocab_size=100, d_model=64, num_heads=4).model_dump() | {"preset": "gone"}
    assert ModelConfig(**written).norm_kind == "rms"
    with pytest.raises(ValueError, match="no preset 'gone'"):
        Architecture(preset="gone")
