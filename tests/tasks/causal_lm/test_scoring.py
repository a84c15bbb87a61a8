"""Each token of a text is counted once, with as much before it as the model reads."""

import numpy as np
import pytest

from models.config import ModelConfig
from models.question import Question
from tasks.answers import softmax
from tasks.causal_lm.scoring import token_nats, windows
from tasks.causal_lm.task import TASK
from tasks.model import Model
from tests import networks


class Letters:
    """A tokenizer of single letters, for tests."""

    pad_id, unk_id, cls_id, sep_id, mask_id = range(5)
    first_id = 5
    special_ids, never, opens = (0, 1, 2, 3, 4), (0, 1, 2, 4), True

    def encode(self, text):
        return [5 + ord(letter) - ord("a") for letter in text]

    def encode_batch(self, texts):
        return [self.encode(text) for text in texts]

    def decode(self, ids):
        return "".join(chr(ord("a") + i - 5) for i in ids if i >= 5)


def model(max_length=10, **changes):
    config = ModelConfig(
        **{"d_model": 16, "d_ff": 24, "num_heads": 2, "num_layers": 2, "max_length": max_length, "vocab_size": 31}
        | changes
    )
    network = networks.new_network(TASK, config, std=config.initializer_std)
    random = np.random.default_rng(1)
    network.load_weights(
        {
            name: value + 0.2 * random.standard_normal(value.shape).astype(np.float32)
            for name, value in network.weights().items()
        }
    )
    return Model(network, Letters(), config, "causal_lm", {})


@pytest.mark.parametrize("stride", [1, 3, 5])
@pytest.mark.parametrize("length", [1, 4, 5, 6, 11, 23])
def test_windows_count_each_token_once_with_enough_context(length, stride):
    found = list(windows(length, 5, stride))
    assert [place for window in found for place in range(window.counted, window.end)] == list(range(length))
    assert all(window.end - window.start <= 5 for window in found)
    assert all(window.counted - window.start >= 5 - stride for window in found[1:])


@pytest.mark.parametrize("stride", [1, 4, 0])
def test_token_nats_match_windows_computed_one_by_one(stride):
    some, texts = model(), ["abcab", "", "hello" * 7, "z", "abcdefghi", "abcdefgh"]
    for text, found in zip(texts, token_nats(some, texts, stride), strict=True):
        ids, wanted = [*some.tokenizer.encode(text), 3], []
        for window in windows(len(ids), 9, stride or 4):
            given = np.array([[2, *ids[window.start : window.end - 1]]])
            places = np.arange(given.shape[1])
            asked = Question({"input_ids": given}, places, np.zeros(0, np.int64), np.zeros_like(places))
            nats = -np.log(softmax(some.network.logits(asked)))
            own = range(window.counted - window.start, window.end - window.start)
            wanted += [nats[place, ids[window.start + place]] for place in own]
        np.testing.assert_allclose(found, wanted, atol=1e-4)


def test_token_nats_of_empty_list_are_empty():
    assert token_nats(model(), []) == []
