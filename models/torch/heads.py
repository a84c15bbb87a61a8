"""What stands on top of an encoder.

Devlin et al. 2019, "BERT" (arXiv 1810.04805): section 3.1, task 1 (masked LM), and section 3.2 (fine-tuning on [CLS]).

Shapes: B batch, T length, D d_model, V vocabulary, M masked positions, C classes.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from models.config import EncoderConfig


class MaskedLMHead(nn.Module):
    """logits = Norm(GELU(h W + b)) E^T + c, with E the token embedding (tied: Press and Wolf 2017, arXiv 1608.05859).

    It is given the vectors of masked positions alone: the product with E is the dearest of the whole model, and the
    other 85 % of positions have no part in the loss.
    """

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        self.dense = nn.Linear(config.d_model, config.d_model)
        self.norm = nn.LayerNorm(config.d_model, eps=config.layer_norm_epsilon)
        self.bias = nn.Parameter(self.dense.weight.new_zeros(config.vocab_size))

    def forward(self, hidden: Tensor, embedding: Tensor) -> Tensor:
        """[M, D], and the embedding [V, D] -> logits [M, V]."""
        return F.linear(self.norm(F.gelu(self.dense(hidden))), embedding, self.bias)


class Classifier(nn.Module):
    """logits = tanh(m W + b) U + c, with m the mean of the sequence's vectors.

    BERT takes the vector of [CLS]. The mean learns quicker where little or no pretraining has taught [CLS] to gather
    the sequence (Reimers and Gurevych 2019, arXiv 1908.10084, table 6, compares the two).
    """

    def __init__(self, config: EncoderConfig, num_labels: int) -> None:
        super().__init__()
        self.dropout = config.dropout
        self.dense = nn.Linear(config.d_model, config.d_model)
        self.output = nn.Linear(config.d_model, num_labels)

    def forward(self, memory: Tensor, attention_mask: Tensor | None) -> Tensor:
        """[B, T, D] -> [B, C]; padding has no part in the mean."""
        if attention_mask is None:
            mean = memory.mean(1)
        else:
            weight = attention_mask.unsqueeze(-1).to(memory.dtype)  # [B, T, 1]
            mean = (memory * weight).sum(1) / weight.sum(1)
        out: Tensor = self.output(F.dropout(self.dense(mean).tanh(), self.dropout, self.training))
        return out
