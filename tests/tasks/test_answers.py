"""Logits to probabilities: by hand, and where a plain exponential would overflow."""

import numpy as np

from tasks.answers import sigmoid, softmax


def test_softmax_matches_definition():
    logits = np.log(np.array([[1, 2, 5], [4, 4, 8]], np.float32))
    np.testing.assert_allclose(softmax(logits), [[0.125, 0.25, 0.625], [0.25, 0.25, 0.5]], rtol=1e-6)
    assert softmax(logits).dtype == np.float64


def test_softmax_and_sigmoid_handle_large_and_infinite_logits():
    found = softmax(np.array([[1e4, 1e4, -np.inf], [-1e4, -np.inf, -1e4]], np.float32))
    np.testing.assert_array_equal(found, [[0.5, 0.5, 0], [0.5, 0, 0.5]])
    np.testing.assert_array_equal(sigmoid(np.array([1e4, -1e4, 0], np.float32)), [1, 0, 0.5])


def test_sigmoid_is_softmax_against_zero():
    logits = np.linspace(-9, 9, 19)
    both = softmax(np.stack([logits, np.zeros_like(logits)], -1))
    np.testing.assert_allclose(sigmoid(logits), both[:, 0], rtol=1e-12)
