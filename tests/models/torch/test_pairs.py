"""Vectors of hashed pairs: by hand, without effect before they are learnt, and no trace of them where they are not used."""

import json

import pytest
import torch
from pydantic import ValidationError

from models import parameters
from models.config import Architecture, ModelConfig
from models.huggingface import FolderError
from models.huggingface.writing import family_of
from models.torch import Classifier, Decoder, Encoder, initialize
from models.torch.embedding import PairEmbedding, places

SMALL = {"d_model": 16, "d_ff": 32, "num_heads": 2, "num_layers": 1, "max_length": 12, "vocab_size": 40}
PAIRS = {**SMALL, "bigram_buckets": 97}


def encoder(**changes):
    config = ModelConfig(**PAIRS | changes)
    made = Encoder(config)
    initialize(made, config, 1)
    return made.eval()


def test_pair_embedding_hashes_token_with_previous_token():
    made = PairEmbedding(ModelConfig(**PAIRS, pad_id=0), 16)
    found = made(torch.tensor([[5, 6, 7]]), places(3))[0]
    for place, (before, own) in enumerate([(0, 5), (5, 6), (6, 7)]):
        bucket = ((own * 36_313) ^ (before * 27_191)) % 97
        assert torch.equal(found[place], made.weight[bucket])


def test_pair_vectors_start_at_zero_and_do_not_change_output():
    ids = torch.tensor([[2, 8, 9, 3]])
    with_pairs, without = encoder(), encoder(bigram_buckets=0)
    weights = {name: value for name, value in with_pairs.state_dict().items() if "pairs" not in name}
    without.load_state_dict(weights)
    assert torch.equal(with_pairs(ids), without(ids))
    with_pairs(ids).square().sum().backward()
    touched = with_pairs.embedding.pairs.weight.grad.abs().sum(1).nonzero()
    assert len(touched) == 4


def test_pair_vectors_distinguish_token_order_without_positions():
    made = encoder(positions="none", num_layers=1)
    first, second = torch.tensor([[8, 9]]), torch.tensor([[9, 8]])
    head = Classifier(made.config, 2)
    torch.testing.assert_close(head(made(first), None), head(made(second), None))
    torch.nn.init.normal_(made.embedding.pairs.weight)
    assert not torch.allclose(head(made(first), None), head(made(second), None))


@pytest.mark.parametrize("unpadding", [False, True])
def test_padding_and_other_rows_do_not_change_output(unpadding):
    made = encoder(unpadding=unpadding)
    torch.nn.init.normal_(made.embedding.pairs.weight)
    alone = made(torch.tensor([[2, 8, 3]]), torch.ones(1, 3, dtype=torch.bool))
    ids, mask = torch.tensor([[2, 9, 9, 9, 3], [2, 8, 3, 0, 0]]), torch.tensor([[1] * 5, [1, 1, 1, 0, 0]]).bool()
    torch.testing.assert_close(made(ids, mask)[1, :3], alone[0], atol=1e-5, rtol=1e-5)


def test_pair_parameters_match_listed_shapes():
    for changes in ({}, {"d_embedding": 8}):
        made = encoder(**changes)
        shapes = {name: tuple(value.shape) for name, value in made.state_dict().items()}
        assert shapes == parameters.encoder(made.config)
        assert shapes["embedding.pairs.weight"] == (97, changes.get("d_embedding", 16))


def test_config_without_pairs_omits_field_and_older_config_loads():
    written = ModelConfig(**SMALL, preset="bert").model_dump(mode="json")
    assert "bigram_buckets" not in written
    assert "bigram_buckets" not in json.loads(ModelConfig(**SMALL).model_dump_json())
    assert ModelConfig(**written | {"preset": "gone"}).bigram_buckets == 0, (
        "whole without them: its preset is not asked"
    )
    kept = ModelConfig(**PAIRS)
    assert kept.model_dump()["bigram_buckets"] == 97
    assert ModelConfig(**kept.model_dump()) == kept
    assert kept.with_changes({"dropout": 0.1}).bigram_buckets == 97


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"network": "recurrent"}, "network=recurrent has no vectors of pairs"),
        ({"network": "convolutional"}, "network=convolutional has no vectors of pairs"),
        ({"patch_size": 4}, "an image has none"),
        ({"bigram_buckets": -1}, "bigram_buckets"),
    ],
)
def test_invalid_bigram_buckets_are_refused(fields, told):
    with pytest.raises(ValidationError, match=told):
        Architecture(**{"bigram_buckets": 97} | fields)


def test_decoder_and_export_refuse_bigram_buckets():
    with pytest.raises(ValueError, match="bigram_buckets is for encoders alone"):
        Decoder(ModelConfig(**PAIRS))
    with pytest.raises(FolderError, match="bigram_buckets"):
        family_of(ModelConfig(**PAIRS), ("encoder",))
