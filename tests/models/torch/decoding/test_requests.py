"""Decoding asked for in numpy is the same search on the same network, of a decoder alone and of one beside an encoder."""

import numpy as np
import pytest
import torch

from models.config import ModelConfig
from models.decoding import Decoding
from models.torch.decoding import requests
from models.torch.decoding.decodable import Continuation, Translation
from models.torch.decoding.search import decode
from tasks.causal_lm.task import TASK as CAUSAL_LM
from tasks.generation import pad_texts
from tasks.span_corruption.task import TASK as SPAN_CORRUPTION
from tests.models.torch.decoding.networks import ALPHABET, BEGIN, SMALL, padded
from tests.networks import new_network

ROOM = 8
ROWS = [[2, 9, 8, 20], [2], [2, 29, 5, 6, 7, 11, 12]]


@pytest.fixture(params=[CAUSAL_LM, SPAN_CORRUPTION], ids=lambda task: task.name)
def network(request):
    return new_network(request.param, ModelConfig(**SMALL), std=0.5)


def begun(network, rows):
    module, block = network.module, padded(rows)
    if "encoder" in network.parts:
        return Translation(module, module.head, *block, ROOM, BEGIN)
    return Continuation(module.decoder, module.head, *block, ROOM)


@pytest.mark.parametrize(
    "options",
    [{}, {"method": "sample", "n_best": 2, "seed": 4}, {"method": "beam", "beams": 3, "n_best": 3}],
    ids=lambda options: options.get("method", "greedy"),
)
def test_numpy_requests_match_search_on_module(network, options):
    chosen = Decoding(max_new_tokens=ROOM, **options)
    network.module.train()  # as between two updates of a training
    found = requests.decode(network, pad_texts(ROWS, 0), chosen, ALPHABET, BEGIN)
    assert not network.module.training
    with torch.inference_mode():
        wanted = decode(begun(network, ROWS), chosen, ALPHABET)
    assert found == wanted
    assert {len(row) for row in found} == {chosen.n_best}
    assert torch.is_grad_enabled()


@pytest.mark.parametrize("options", [{}, {"method": "sample", "seed": 4}], ids=str)
def test_stream_yields_decoded_sequence_token_by_token(network, options):
    chosen = Decoding(max_new_tokens=ROOM, **options)
    for row in ROWS:
        tokens = list(requests.stream(network, pad_texts([row], 0), chosen, ALPHABET, BEGIN))
        ((one,),) = requests.decode(network, pad_texts([row], 0), chosen, ALPHABET, BEGIN)
        assert tokens == [*one.ids, *([ALPHABET.end_id] if one.ended else [])]


def test_missing_mask_equals_all_true_mask(network):
    ids = np.array([[2, 9, 8, 20], [2, 7, 7, 6]])
    chosen = Decoding(max_new_tokens=ROOM)
    found = [
        requests.decode(network, inputs, chosen, ALPHABET, BEGIN)
        for inputs in ({"input_ids": ids}, {"input_ids": ids, "attention_mask": np.ones(ids.shape, bool)})
    ]
    assert found[0] == found[1]
