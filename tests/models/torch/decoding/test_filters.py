"""Tokens that may be drawn, by hand."""

import pytest
import torch

from models.decoding import Alphabet, Decoding
from models.torch.decoding.filters import among, filter_probabilities, min_p, top_k, top_p

P = torch.tensor([[0.1, 0.4, 0.2, 0.25, 0.05]], dtype=torch.float64)


def test_top_k_keeps_the_k_likeliest():
    torch.testing.assert_close(top_k(P, 2), torch.tensor([[0, 0.4, 0, 0.25, 0]], dtype=torch.float64) / 0.65)
    torch.testing.assert_close(top_k(P, 1), torch.tensor([[0, 1.0, 0, 0, 0]], dtype=torch.float64))
    torch.testing.assert_close(top_k(P, 9), P)


@pytest.mark.parametrize(
    ("mass", "kept"),
    [(0.01, [1]), (0.4, [1]), (0.41, [1, 3]), (0.65, [1, 3]), (0.7, [1, 2, 3]), (0.96, [0, 1, 2, 3, 4])],
)
def test_top_p_keeps_smallest_set_with_given_mass(mass, kept):
    found = top_p(P, mass)[0]
    assert found.nonzero().squeeze(-1).tolist() == kept
    torch.testing.assert_close(found[kept], P[0, kept] / P[0, kept].sum())


def test_min_p_is_relative_to_likeliest_token():
    torch.testing.assert_close(min_p(P, 0.5), torch.tensor([[0, 0.4, 0.2, 0.25, 0]], dtype=torch.float64) / 0.85)
    torch.testing.assert_close(min_p(P, 1.0), torch.tensor([[0, 1.0, 0, 0, 0]], dtype=torch.float64))


def test_top_k_and_top_p_keep_lower_ids_on_ties():
    even = torch.full((1, 4), 0.25, dtype=torch.float64)
    assert top_k(even, 2).tolist() == [[0.5, 0.5, 0, 0]]
    assert top_p(even, 0.5).tolist() == [[0.5, 0.5, 0, 0]]
    assert min_p(even, 1.0).tolist() == [[0.25] * 4]


def test_probabilities_are_renormalized_over_allowed_tokens():
    logits = torch.log(torch.tensor([[4.0, 2.0, 1.0, 1.0]]))
    before = logits.clone()
    found = among(logits, Alphabet(end_id=3, never=(0,)))
    torch.testing.assert_close(found.exp(), torch.tensor([[0, 0.5, 0.25, 0.25]]))
    assert torch.equal(logits, before), "the network's own logits are left as they are"


def test_temperature_raises_probabilities_to_a_power():
    squared = filter_probabilities(P.log(), Decoding(method="sample", temperature=0.5))
    torch.testing.assert_close(squared, P**2 / (P**2).sum())
    torch.testing.assert_close(filter_probabilities(P.log(), Decoding(method="sample")), P)


def test_filters_apply_in_sequence_and_exclude_impossible_tokens():
    impossible = torch.cat([P, torch.zeros(1, 1)], -1).log()
    found = filter_probabilities(impossible, Decoding(method="sample", top_k=4, top_p=0.7, min_p=0.6))[0]
    # top-k leaves 0.1 0.4 0.2 0.25; 0.7 of their 0.95 is passed by the third; 0.2 is under 0.6 * 0.4
    torch.testing.assert_close(found, torch.tensor([0, 0.4, 0, 0.25, 0, 0], dtype=torch.float64) / 0.65)
