"""The baseline of words and pairs: what it tells apart, that C follows the validation rows, and that it repeats itself."""

import numpy as np
import pandas as pd
import pytest
from scipy.sparse import csr_matrix

from tasks.classification import tf_idf
from telemetry import Observe


def frame(rows):
    texts, labels = zip(*rows, strict=True)
    return pd.DataFrame({"text": texts, "expected": labels})


def drawn(count, seed, noise=0.0):
    """Rows of common words with one of the label's own; a share of the labels is another."""
    random = np.random.default_rng(seed)
    rows = []
    for _ in range(count):
        label = random.integers(2)
        words = [f"common{random.integers(30)}" for _ in range(8)] + [f"{'ab'[label]}{random.integers(12)}"]
        rows.append((" ".join(random.permutation(words)), "ab"[label if random.random() >= noise else 1 - label]))
    return frame(rows)


def test_word_pairs_distinguish_texts_with_same_words():
    train = frame([("not good at all really bad", "neg"), ("not bad at all really good", "pos")] * 20)
    asked = frame([("not bad", "pos"), ("not good", "neg"), ("really good", "pos")])
    found = tf_idf.answers(train, None, asked, Observe.silent())
    assert found["prediction"].tolist() == ["pos", "neg", "pos"]
    assert found["probability"].between(0.5, 1).all()


def test_one_letter_words_are_used_as_features():
    train = frame([("grade a", "high"), ("grade f", "low")] * 20)
    assert tf_idf.answers(train, None, train[:2], Observe.silent())["prediction"].tolist() == ["high", "low"]


def test_rows_without_shared_words_still_give_a_vocabulary():
    train = frame([("alpha", "x"), ("beta", "y"), ("gamma", "x")])
    assert len(tf_idf.answers(train, None, frame([("beta", "y"), ("", "x")]), Observe.silent())) == 2


def test_regularization_strength_is_chosen_on_validation_rows():
    """Noisy labels want strong regularisation: as scikit-learn fitted for each value has it."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import f1_score

    random = np.random.default_rng(3)
    weights = random.normal(size=40)

    def made(count, noise):
        x = random.normal(size=(count, 40))
        return csr_matrix(x), np.where(x @ weights + noise * random.normal(size=count) > 0, "a", "b")

    for noise in (0.0, 12.0):
        train, validation = made(80, noise), made(4000, noise)
        strengths = (0.001, 0.1, 10.0)
        scores = [
            f1_score(
                validation[1], LogisticRegression(C=c, max_iter=500).fit(*train).predict(validation[0]), average="macro"
            )
            for c in strengths
        ]
        found = tf_idf.choose_strength(train, validation, Observe.silent(), strengths)
        assert found == strengths[int(np.argmax(scores))]


def test_search_ends_after_two_worse_values(monkeypatch):
    asked = []

    class Model:
        def predict(self, seen):
            return ["a"] * (2 if asked[-1] == 1.0 else 1) + ["b"] * (2 if asked[-1] == 1.0 else 3)

    monkeypatch.setattr(tf_idf, "_fit", lambda seen, labels, strength, before=None: asked.append(strength) or Model())
    validation = (None, ["a", "a", "b", "b"])
    assert tf_idf.choose_strength((None, None), validation, Observe.silent(), (1.0, 2.0, 3.0, 4.0)) == 1.0
    assert asked == [1.0, 2.0, 3.0]


@pytest.mark.parametrize("searched", [40_000_000, 3000])
def test_tf_idf_answers_are_reproducible_with_any_search_size(monkeypatch, searched):
    monkeypatch.setattr(tf_idf, "_SEARCHED", searched)
    train, validation, asked = drawn(300, 1), drawn(100, 2), drawn(100, 3)
    first, second = (tf_idf.answers(train, validation, asked, Observe.silent()) for _ in range(2))
    pd.testing.assert_frame_equal(first, second)
    assert (first["prediction"].to_numpy() == asked["expected"].to_numpy()).mean() > 0.85
