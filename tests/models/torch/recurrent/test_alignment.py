"""Attention before the transformer, by hand and one place after the other."""

import pytest
import torch

from models.config import ModelConfig
from models.torch.recurrent.alignment import Additive, Multiplicative, attend

CONFIG = ModelConfig(network="recurrent", d_model=8, d_ff=8, vocab_size=10)


def additive(layer, state, place):
    """Bahdanau et al. 2015, A.1.2: v . tanh(W s + U m + b)."""
    return layer.score.weight[0] @ torch.tanh(
        layer.state.weight @ state + layer.memory.weight @ place + layer.memory.bias
    )


def multiplicative(layer, state, place):
    """Luong et al. 2015, section 3.1, "general": s W m."""
    return state @ layer.memory.weight @ place


@pytest.mark.parametrize(("kind", "score"), [(Additive, additive), (Multiplicative, multiplicative)])
def test_alignment_scores_match_papers(kind, score):
    layer, states, memory = kind(CONFIG), torch.randn(2, 3, 8), torch.randn(2, 5, 8)
    expected = torch.stack(
        [torch.stack([torch.stack([score(layer, s, m) for m in memory[b]]) for s in states[b]]) for b in range(2)]
    )
    torch.testing.assert_close(layer(states, layer.keys(memory)), expected)


def test_context_is_weighted_mean_without_padding():
    scores, memory = torch.tensor([[[3.0, 1.0, 9.0]]]).log(), torch.randn(1, 3, 4)
    context, weights = attend(scores, memory, torch.tensor([[True, True, False]]))
    torch.testing.assert_close(weights, torch.tensor([[[0.75, 0.25, 0.0]]]))
    torch.testing.assert_close(context[0, 0], 0.75 * memory[0, 0] + 0.25 * memory[0, 1])
