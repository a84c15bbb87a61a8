"""The framework-free list of parameters is that of the networks."""

import pytest

from models import parameters
from models.config import ModelConfig
from models.torch import (
    Classifier,
    Decoder,
    EmbeddingHead,
    Encoder,
    EncoderDecoder,
    LMHead,
    MaskedLMHead,
    TokenClassifier,
)

VARIANTS = {
    "post": {"norm": "post"},
    "albert": {"share_layers": True, "d_embedding": 8, "norm": "post", "token_types": 2},
    "albert, pre": {"share_layers": True, "d_embedding": 8},
    "llama": {
        "positions": "rope",
        "norm_kind": "rms",
        "activation": "swiglu",
        "bias": False,
        "num_kv_heads": 1,
        "tie_embeddings": False,
    },
    "modern": {"positions": "rope", "activation": "geglu", "bias": False, "embedding_norm": True, "window": 4},
    "t5": {"positions": "relative", "norm_kind": "rms", "bias": False, "d_head": 6, "num_decoder_layers": 3},
    "2017": {"positions": "sinusoidal", "norm": "post", "embedding_norm": False},
    "untied": {"tie_embeddings": False, "d_embedding": 8},
}


def shapes(network):
    return {name: tuple(value.shape) for name, value in network.state_dict().items()}


@pytest.mark.parametrize("norm", ["pre", "post"])
def test_torch_modules_match_listed_names_and_shapes(norm):
    config = ModelConfig(d_model=24, d_ff=40, num_heads=3, num_layers=2, max_length=10, vocab_size=50, norm=norm)
    assert shapes(Encoder(config)) == parameters.encoder(config)
    assert shapes(MaskedLMHead(config)) == parameters.masked_lm_head(config)
    assert shapes(Classifier(config, 7)) == parameters.classifier(config, 7)
    assert shapes(TokenClassifier(config, 7)) == parameters.token_classifier(config, 7)
    assert shapes(EmbeddingHead(config)) == parameters.embedding_head(config, 0) == {}
    assert shapes(EmbeddingHead(config, 6)) == parameters.embedding_head(config, 6)


def test_default_encoder_parameter_count_matches_formula():
    config = ModelConfig(vocab_size=8192)
    d, f, n = config.d_model, config.d_ff, config.num_layers
    layer = 4 * d * d + 4 * d + 2 * d * f + d + f + 4 * d
    expected = (8192 + config.max_length) * d + n * layer + 2 * d
    assert sum(value.numel() for value in Encoder(config).parameters()) == expected


@pytest.mark.parametrize("variant", VARIANTS)
def test_every_variant_matches_listed_names_and_shapes(variant):
    config = ModelConfig(
        **{"d_model": 24, "d_ff": 40, "num_heads": 3, "num_layers": 2, "max_length": 10, "vocab_size": 50}
        | VARIANTS[variant]
    )
    assert shapes(Encoder(config)) == parameters.encoder(config)
    assert shapes(Decoder(config)) == parameters.decoder(config)
    assert shapes(MaskedLMHead(config)) == parameters.masked_lm_head(config)
    assert shapes(LMHead(config)) == parameters.lm_head(config)
    both = EncoderDecoder(config)
    assert shapes(both.encoder) == parameters.encoder(config)
    assert shapes(both.decoder) == parameters.decoder(config, cross=True)
    named = {name for name, _ in both.named_parameters()}  # the shared vectors once
    assert {f"decoder.{name}" for name in parameters.decoder(config, cross=True)} - named == {
        "decoder.embedding.tokens.weight"
    }


@pytest.mark.parametrize(("layers", "of_decoder"), [(1, 0), (3, 2)])
def test_decoder_of_encoder_decoder_can_have_own_layer_count(layers, of_decoder):
    config = ModelConfig(d_model=8, d_ff=8, num_heads=2, num_layers=layers, num_decoder_layers=of_decoder, vocab_size=9)
    found = {name.split(".")[1] for name in parameters.decoder(config, cross=True) if name.startswith("layers.")}
    assert len(found) == (of_decoder or layers)


def test_shared_layers_have_parameter_count_of_one_layer():
    def count(**changes):
        config = ModelConfig(d_model=24, d_ff=40, num_heads=3, vocab_size=50, max_length=10, **changes)
        return sum(value.numel() for value in Encoder(config).parameters())

    assert count(share_layers=True, num_layers=12) == count(num_layers=1)
