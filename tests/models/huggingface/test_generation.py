"""The same texts as `transformers.generate`, greedy and by beam, from the same weights."""

import pytest
import torch

from benchmarks import parity
from models.decoding import Alphabet, Decoding
from models.huggingface import read
from models.torch.decoding.decodable import Continuation, Translation
from models.torch.decoding.search import decode
from models.torch.with_heads import assemble, fill

NEW = 12


@pytest.fixture(scope="module", params=["gpt2", "llama", "llama-tied", "t5", "t5-gated", "marian"])
def pair(request, tmp_path_factory):
    """A model of transformers and ours from its folder."""
    folder = tmp_path_factory.mktemp(request.param)
    # The cache of transformers 5.23 has as many layers as T5's encoder: with a deeper decoder it fails.
    model = parity.build(request.param, **({"num_decoder_layers": 2} if "t5" in request.param else {}))
    model.save_pretrained(folder)
    pretrained = read(folder)
    return model, fill(assemble(pretrained.config, pretrained.parts), pretrained.weights)


def ours(pair, options, end_id):
    """All rows in one batch, of mixed lengths."""
    model, network = pair
    ids, mask = parity.sequences()
    ids, mask = ids[:, :10], mask[:, :10]
    if hasattr(network, "encoder"):
        start = model.config.decoder_start_token_id
        asked = Translation(network, network.head, ids, mask, NEW, start)
    else:
        asked = Continuation(network.decoder, network.head, ids, mask, NEW)
    with torch.no_grad():
        found = decode(asked, options, Alphabet(end_id))
    return [[(*one.ids, end_id) if one.ended else one.ids for one in row] for row in found]


def theirs(pair, end_id, **options):
    """Row by row, without padding."""
    model, _ = pair
    ids, mask = parity.sequences()
    found = []
    for row, kept in zip(ids[:, :10], mask[:, :10], strict=True):
        made = model.generate(
            row[kept].unsqueeze(0),
            attention_mask=torch.ones(1, int(kept.sum()), dtype=torch.long),
            max_new_tokens=NEW,
            do_sample=False,
            eos_token_id=end_id,
            pad_token_id=60,
            **options,
        )
        start = 1 if model.config.is_encoder_decoder else int(kept.sum())
        found.append([_ended(one[start:].tolist(), end_id) for one in made])
    return found


def _ended(ids, end_id):
    return tuple(ids[: ids.index(end_id) + 1] if end_id in ids else ids)


def a_token_that_is_made(pair):
    """An end that some rows come to and others don't: what the first row has third."""
    return ours(pair, Decoding(max_new_tokens=NEW), -1 % parity.VOCABULARY)[0][0][2]


def test_greedy_matches_transformers_generate(pair):
    end_id = a_token_that_is_made(pair)
    found = ours(pair, Decoding(max_new_tokens=NEW), end_id)
    assert found == theirs(pair, end_id, num_beams=1)
    assert found[0][0][-1] == end_id


@pytest.mark.parametrize("beams", [2, 5])
def test_beam_search_matches_transformers_generate(pair, beams):
    """Without a length penalty: transformers' is another (see `models/torch/decoding/beam.py`)."""
    end_id = a_token_that_is_made(pair)
    options = Decoding(method="beam", beams=beams, n_best=2, length_penalty=0, max_new_tokens=NEW)
    assert ours(pair, options, end_id) == theirs(
        pair, end_id, num_beams=beams, num_return_sequences=2, length_penalty=0.0, early_stopping=False
    )
