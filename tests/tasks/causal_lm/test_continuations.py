"""How texts go on: whole, in pieces, and within what the model reads."""

import pytest

from tasks.causal_lm.continuations import Continuing, continue_texts, prompts_of, stream_text
from tasks.generation import pieces
from tests.tasks.causal_lm.test_scoring import model
from training.errors import TrainingError

TEXTS = ["hello", "", "abcabcabcabcabc", "z"]


@pytest.mark.parametrize(
    "options", [{}, {"method": "sample", "seed": 3, "temperature": 2.0}, {"method": "beam"}], ids=str
)
def test_batched_single_and_streamed_continuations_match(options):
    some, chosen = model(32), Continuing(max_new_tokens=9, **options)
    together = continue_texts(some, TEXTS, chosen)
    for text, (found,) in zip(TEXTS, together, strict=True):
        assert continue_texts(some, [text], chosen)[0][0].text == found.text
        assert "".join(stream_text(some, text, chosen)) == found.text
        assert 0 < found.probability <= 1


def test_prompt_is_first_tokens_or_last_that_leave_room():
    some = model(10)
    assert prompts_of(some, ["abcdefghijkl"], Continuing(max_new_tokens=5)) == [[2, 13, 14, 15, 16]]
    assert prompts_of(some, ["abcdefghijkl", ""], Continuing(max_new_tokens=5, prompt_tokens=2)) == [[2, 5, 6], [2]]


def test_explicit_max_new_tokens_beyond_model_length_is_refused():
    some = model(10)
    with pytest.raises(TrainingError, match="max_new_tokens=9, but the model reads 10 tokens in all; give at most 8"):
        continue_texts(some, ["a"], Continuing(max_new_tokens=9))
    assert Continuing().within(10).max_new_tokens == 5
    assert len(continue_texts(some, ["a"], Continuing(max_new_tokens=8, method="sample", n_best=2))[0]) == 2


def test_pieces_hold_back_incomplete_characters():
    snowman = "\N{SNOWMAN}".encode()
    bytes_of = [b"a", snowman[:1], snowman[1:2], snowman[2:], b"b", snowman[:1]]
    told = list(pieces(iter(range(6)), lambda ids: b"".join(bytes_of[i] for i in ids).decode(errors="replace")))
    assert told == ["a", "\N{SNOWMAN}", "b", "\N{REPLACEMENT CHARACTER}"]
