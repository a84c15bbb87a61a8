"""Task heads.

Devlin et al. 2019, "BERT" (arXiv 1810.04805): section 3.1, task 1 (masked LM), and section 3.2 (fine-tuning).

Shapes: B batch, T length, D d_model, E width of the token vectors, V vocabulary, M positions, C classes.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.config import ModelConfig
from models.torch.devices import widen
from models.torch.dropout import dropout
from models.torch.position_wise import norm


class MaskedLMHead(nn.Module):
    """logits = Norm(GELU(h W + b)) E^T + c, with E the token embedding (tied: Press and Wolf 2017, arXiv 1608.05859).

    It takes the vectors of masked positions alone: the product with E is the most expensive operation of the model, and the
    other 85 % of positions have no part in the loss.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        width = config.d_embedding or config.d_model
        self.dense = nn.Linear(config.d_model, width, bias=config.bias)
        self.norm = norm(config, width)
        self.bias = nn.Parameter(self.dense.weight.new_zeros(config.vocab_size))

    def forward(self, hidden: Tensor, embedding: Tensor) -> Tensor:
        """[M, D], and the embedding [V, E] -> logits [M, V]."""
        return F.linear(self.norm(widen(F.gelu(self.dense(hidden)))), embedding, self.bias)


class ReplacedTokenHead(nn.Module):
    """logit = GELU(h W + b) w + c: was this token put there by another network?

    Clark et al. 2020, "ELECTRA" (arXiv 2003.10555), section 2; the layer between is that of google-research/electra.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.dense = nn.Linear(config.d_model, config.d_model)
        self.output = nn.Linear(config.d_model, 1)

    def forward(self, memory: Tensor) -> Tensor:
        """[..., D] -> [...]."""
        out: Tensor = self.output(F.gelu(self.dense(memory))).squeeze(-1)
        return out


class LMHead(nn.Module):
    """logits = h E^T, or h W^T where input and output matrices are two, plus a bias where `output_bias` has one.

    T5 divides h by sqrt(D) before a tied matrix.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.scale = 1 / math.sqrt(config.d_model) if config.scale_logits else 1.0
        if config.d_embedding and config.tie_embeddings:
            self.projection = nn.Linear(config.d_model, config.d_embedding, bias=False)
        if config.output_bias:
            self.bias = nn.Parameter(torch.zeros(config.vocab_size))
        self.output = None if config.tie_embeddings else nn.Linear(config.d_model, config.vocab_size, bias=False)

    def forward(self, hidden: Tensor, embedding: Tensor) -> Tensor:
        """[..., D], and the embedding [V, E] -> logits [..., V]."""
        bias = getattr(self, "bias", None)
        if self.output is not None:
            return F.linear(hidden, self.output.weight, bias)
        hidden = hidden * self.scale if self.scale != 1.0 else hidden
        return F.linear(self.projection(hidden) if hasattr(self, "projection") else hidden, embedding, bias)


class Classifier(nn.Module):
    """logits = tanh(p W + b) U + c, with p the sequence's vectors pooled by `pooling`.

    BERT takes the vector of [CLS]. The mean learns quicker where little or no pretraining has taught [CLS] to gather
    the sequence (Reimers and Gurevych 2019, arXiv 1908.10084, table 6, compares mean, max and [CLS]).

    Classifiers of images have no hidden layer, logits = p U + c: so it is in He et al. 2016 (section 3.3), in CCT (section
    3.3) and where ViT is fine-tuned (section 3.1).
    """

    def __init__(self, config: ModelConfig, num_labels: int, *, hidden: bool = True) -> None:
        super().__init__()
        self.dropout, self.pooling = config.dropout, config.pooling
        self.pool = sequence_pool(config)
        if hidden:
            self.dense = nn.Linear(config.d_model, config.d_model)
        self.output = nn.Linear(config.d_model, num_labels)

    def forward(self, memory: Tensor, attention_mask: Tensor | None) -> Tensor:
        """[B, T, D] -> [B, C]; padding has no part in it."""
        pooled = pool(memory, attention_mask, self.pool or self.pooling)
        if hasattr(self, "dense"):
            pooled = dropout(self.dense(pooled).tanh(), self.dropout, self.training)
        out: Tensor = self.output(pooled)
        return out


class SequencePool(nn.Module):
    """softmax(x g)^T x: each vector of a sequence counts as much as it says itself.

    Hassani et al. 2021, "CCT" (arXiv 2104.05704), section 3.3, equations 1 to 3.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.score = nn.Linear(config.d_model, 1)

    def forward(self, memory: Tensor, attention_mask: Tensor | None = None) -> Tensor:
        """[B, T, D] -> [B, D]."""
        return (self.weights(memory, attention_mask).unsqueeze(1) @ memory).squeeze(1)

    def weights(self, memory: Tensor, attention_mask: Tensor | None = None) -> Tensor:
        """Weight of each vector, [B, T]; each row sums to 1, padding has weight 0."""
        scores: Tensor = self.score(memory).squeeze(-1)
        if attention_mask is not None:
            scores = scores.masked_fill(~attention_mask, -math.inf)
        return scores.softmax(-1)


class TokenClassifier(nn.Module):
    """logits = h W + c, of each vector by itself (Devlin et al. 2019, section 5.3, without the CRF)."""

    def __init__(self, config: ModelConfig, num_tags: int) -> None:
        super().__init__()
        self.dropout = config.dropout
        self.output = nn.Linear(config.d_model, num_tags)

    def forward(self, memory: Tensor) -> Tensor:
        """[..., D] -> [..., C]."""
        out: Tensor = self.output(dropout(memory, self.dropout, self.training))
        return out


class EmbeddingHead(nn.Module):
    """One vector of length 1 for a sequence: what `pooling` says (the mean: Reimers and Gurevych 2019, arXiv 1908.10084,
    section 3), projected where `projection` gives a width. Products of two such vectors are their cosines."""

    def __init__(self, config: ModelConfig, projection: int = 0) -> None:
        super().__init__()
        self.pooling = config.pooling
        self.pool = sequence_pool(config)
        self.projection = nn.Linear(config.d_model, projection, bias=False) if projection else None

    def forward(self, memory: Tensor, attention_mask: Tensor | None) -> Tensor:
        """[B, T, D] -> [B, E]; padding has no part in it."""
        pooled = pool(memory, attention_mask, self.pool or self.pooling)
        return F.normalize(widen(pooled if self.projection is None else self.projection(pooled)), dim=-1)


def sequence_pool(config: ModelConfig) -> SequencePool | None:
    """The learned weights of `pooling: sequence`; the other ways have no parameters."""
    return SequencePool(config) if config.pooling == "sequence" else None


def pool(memory: Tensor, attention_mask: Tensor | None, how: str | SequencePool) -> Tensor:
    """One vector for a sequence: [B, T, D] -> [B, D]. `how`: mean, cls (the first), max or last, padding left out; or learned."""
    if isinstance(how, SequencePool):
        pooled: Tensor = how(memory, attention_mask)
        return pooled
    if how == "cls":
        return memory[:, 0]
    if attention_mask is None:
        return {"mean": memory.mean(1), "max": memory.amax(1), "last": memory[:, -1]}[how]
    if how == "last":
        last = attention_mask.sum(1) - 1
        return memory.gather(1, last.view(-1, 1, 1).expand(-1, 1, memory.shape[-1])).squeeze(1)
    if how == "max":
        return memory.masked_fill(~attention_mask.unsqueeze(-1), -math.inf).amax(1)
    weight = attention_mask.unsqueeze(-1).to(memory.dtype)  # [B, T, 1]
    return (memory * weight).sum(1) / weight.sum(1)
