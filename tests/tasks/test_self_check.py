"""The record of a version: questions that can be asked again, and a profile of the data against closed forms."""

import base64
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from tasks import self_check


class Tokenizer:
    """A character is a token; a snowman is spelled in bytes, a question mark unknown."""

    unk_id = 1

    def encode_batch(self, texts):
        return [[1 if c == "?" else 2 if c == "\u2603" else 3 for c in text] for text in texts]

    def pieces(self, ids):
        return ["<0xE2>" if number == 2 else "x" for number in ids]


def model(labels=None):
    return SimpleNamespace(tokenizer=Tokenizer(), settings={"labels": labels} if labels else {})


TEXT, IMAGE = SimpleNamespace(input="text"), SimpleNamespace(input="image")


def test_recorded_questions_are_spread_evenly_with_their_answers():
    texts = [f"text {place}" for place in range(100)]
    answers = pd.DataFrame({"prediction": ["a", "b"] * 50, "probability": np.linspace(0, 1, 100)})
    kept = self_check.record_answers(TEXT, model(["a", "b"]), pd.DataFrame({"text": texts}), answers, {"beams": 4})
    assert len(kept["questions"]) == self_check.ROWS
    assert (kept["questions"][0], kept["questions"][-1]) == ("text 0", "text 99")
    for text, told, sure in zip(
        kept["questions"], kept["answers"]["prediction"], kept["answers"]["probability"], strict=True
    ):
        place = int(text.split()[1])
        assert told == "ab"[place % 2]
        assert sure == pytest.approx(place / 99)
    assert kept["options"] == {"beams": 4}
    assert kept["profile"]["classes"] == {"a": 0.5, "b": 0.5}
    assert kept["profile"]["rows"] == 100


def test_long_texts_are_not_recorded_and_images_are_base64():
    questions = pd.DataFrame({"text": ["x" * 5000, "short", "x" * 5000]})
    answers = pd.DataFrame({"prediction": ["a", "b", "c"]})
    assert self_check.record_answers(TEXT, model(), questions, answers, {})["questions"] == ["short"]
    images = pd.DataFrame({"image": [b"one", b"two"]})
    kept = self_check.record_answers(IMAGE, model(["a", "b"]), images, answers[:2], {})
    assert [base64.b64decode(one) for one in kept["questions"]] == [b"one", b"two"]
    assert "lengths" not in kept["profile"]


def test_length_and_unknown_token_shares_match_hand_calculation():
    shares = self_check.shares_of_lengths([16, 17, 5000, 4096])
    assert shares == [0.25, 0.25, 0, 0, 0, 0, 0, 0, 0.25, 0.25]
    assert self_check.unknown_share(Tokenizer(), ["a?\u2603b", "cccc"]) == 0.25
    assert self_check.unknown_share(Tokenizer(), []) == 0.0


def test_profile_omits_class_shares_for_many_classes():
    labels = [str(place) for place in range(101)]
    assert "classes" not in self_check.profile(TEXT, model(labels), ["a"], ["0"])


def test_recorded_answers_are_those_of_reference():
    """The profile stays that of the answers that the report has."""
    texts = [f"text {place}" for place in range(40)]
    answers = pd.DataFrame({"prediction": ["a"] * 40})
    repeating = SimpleNamespace(
        input="text",
        predict=lambda model, inputs, **options: pd.DataFrame({"prediction": [model + one for one in inputs]}),
    )
    frame = pd.DataFrame({"text": texts})
    kept = self_check.record_answers(repeating, model(["a", "b"]), frame, answers, {}, "the CPU on ")
    assert kept["answers"]["prediction"] == [f"the CPU on {text}" for text in kept["questions"]]
    assert kept["profile"]["classes"] == {"a": 1.0, "b": 0.0}
