"""The losses by hand, on networks that answer what a test gives them."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from models.question import Objective, Question, ask_each_row
from models.torch.objectives import Contrast, Terms, choices, function_of, sum_by_row


class Vectors:
    """A network whose vectors of queries, and of documents, are given."""

    def __init__(self, queries, documents):
        self.queries, self.documents, self.device = queries, documents, torch.device("cpu")

    def vectors(self, inputs):
        return self.queries if inputs["input_ids"].any() else self.documents


class Logits:
    """A network whose logits at each place are given."""

    def __init__(self, logits, *, training):
        self.answers, self.training, self.device = logits, training, torch.device("cpu")

    def logits(self, inputs, places):
        return self.answers


def nats(queries, documents, temperature, symmetric, kinds=None):
    size = len(queries)
    nothing, some = np.zeros((size, 2), np.int64), np.ones((size, 2), np.int64)
    rows = np.arange(size)
    inputs = {"input_ids": nothing, "target_ids": some, "target_mask": some.astype(bool)}
    question = Question(
        inputs, rows, np.zeros(0, np.int64), rows, {"kinds": np.arange(size)[:, None] if kinds is None else kinds}
    )
    terms = Contrast(temperature, symmetric)(Vectors(queries, documents), question)
    assert terms.rows.tolist() == rows.tolist()
    return terms.each


def unit_vectors(count):
    return F.normalize(torch.randn(count, 4), dim=-1)


def test_info_nce_matches_hand_calculation():
    """Equal cosines: each of three documents is as likely, so the loss is log 3; a perfect match at 1 / t = 20."""
    ones = F.normalize(torch.ones(3, 4), dim=-1)
    torch.testing.assert_close(nats(ones, ones, 0.05, True), torch.full((3,), 3.0).log())
    eye = torch.eye(3)
    expected = torch.full((3,), 1 + 2 * np.exp(-20)).log()
    torch.testing.assert_close(nats(eye, eye, 0.05, False), expected, atol=1e-7, rtol=1e-3)


def test_symmetric_contrast_is_mean_of_both_directions():
    queries, documents = unit_vectors(5), unit_vectors(5)
    there, back = nats(queries, documents, 0.1, False), nats(documents, queries, 0.1, False)
    torch.testing.assert_close(nats(queries, documents, 0.1, True), (there + back) / 2)


def test_same_pairs_are_excluded_from_negatives():
    queries, documents, kinds = unit_vectors(3), unit_vectors(3), np.array([[7, 1], [7, 2], [8, 3]])
    scores = (queries @ documents.T / 0.1)[0, [0, 2]]
    torch.testing.assert_close(nats(queries, documents, 0.1, False, kinds)[0], -scores.log_softmax(-1)[0])


def test_choice_loss_is_cross_entropy_smoothed_only_in_training():
    logits, labels = torch.randn(4, 5), np.array([3, 0, 0, 4])
    question = ask_each_row({"input_ids": np.ones((4, 2), np.int64)}, labels)
    chances = logits.double().log_softmax(-1)
    hard = -chances[torch.arange(4), torch.from_numpy(labels)]
    smooth = 0.9 * hard - 0.1 * chances.mean(-1)
    for training, smoothing, expected in ((True, 0.0, hard), (True, 0.1, smooth), (False, 0.1, hard)):
        terms = choices(Logits(logits, training=training), question, label_smoothing=smoothing)
        torch.testing.assert_close(terms.each.double(), expected, atol=1e-6, rtol=1e-6)
        assert terms.rows.tolist() == [0, 1, 2, 3]
    function = function_of(Objective("choices", {"label_smoothing": 0.1}))
    torch.testing.assert_close(
        function(Logits(logits, training=True), question).each.double(), smooth, atol=1e-6, rtol=1e-6
    )


def test_unknown_objective_raises_error():
    with pytest.raises(KeyError, match="nothing"):
        function_of(Objective("nothing"))


def test_sum_by_row_adds_terms_and_gives_zero_for_empty_rows():
    terms = Terms(torch.tensor([1.0, 2.0, 4.0, 8.0]), torch.tensor([2, 0, 2, 0]))
    assert sum_by_row(terms, 4).tolist() == [10, 0, 5, 0]


class Twice(Logits):
    """A network with dropout: its answers differ from call to call."""

    def logits(self, inputs, places):
        return self.answers.pop(0)


def test_r_drop_adds_divergence_of_two_answers_in_training():
    first, second, rows = torch.randn(4, 3), torch.randn(4, 3), np.arange(4)
    question = ask_each_row({"input_ids": np.ones((4, 2), np.int64)}, np.array([0, 1, 2, 0]))
    terms = choices(Twice([first, second], training=True), question, r_drop=3.0)
    labels = torch.from_numpy(question.labels)
    p, q = first.softmax(-1), second.softmax(-1)
    divergence = (p * (p / q).log()).sum(-1) + (q * (q / p).log()).sum(-1)
    mean = (F.cross_entropy(first, labels, reduction="none") + F.cross_entropy(second, labels, reduction="none")) / 2
    torch.testing.assert_close(terms.each, mean + 3 / 4 * divergence)
    assert terms.rows.tolist() == rows.tolist()
    plain = choices(Twice([first], training=False), question, r_drop=3.0)
    torch.testing.assert_close(plain.each, F.cross_entropy(first, labels, reduction="none"))
