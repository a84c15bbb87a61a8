"""The heads by hand."""

import torch
import torch.nn.functional as F

from models.config import ModelConfig
from models.torch import Classifier, MaskedLMHead

CONFIG = ModelConfig(d_model=8, d_ff=8, num_heads=1, vocab_size=10)


def test_masked_lm_scores_are_products_with_the_embedding():
    head, hidden, embedding = MaskedLMHead(CONFIG), torch.randn(3, 8), torch.randn(10, 8)
    with torch.no_grad():
        head.dense.weight.copy_(torch.eye(8))
        head.dense.bias.zero_()
        head.bias.copy_(torch.arange(10.0))
    activated = F.gelu(hidden)
    normed = (activated - activated.mean(-1, keepdim=True)) / (activated.var(-1, False, keepdim=True) + 1e-5).sqrt()
    torch.testing.assert_close(head(hidden, embedding), normed @ embedding.T + torch.arange(10.0))


def test_the_classifier_sees_the_mean_without_padding():
    head, memory = Classifier(CONFIG, 3), torch.randn(2, 4, 8)
    mask = torch.tensor([[True] * 4, [True, True, False, False]])
    means = torch.stack([memory[0].mean(0), memory[1, :2].mean(0)])
    expected = head.output(head.dense(means).tanh())
    torch.testing.assert_close(head(memory, mask), expected)
    torch.testing.assert_close(head(memory[:1], None), expected[:1])
