"""Tiny networks with random weights for the tests of decoding, what is asked of them, and the same without a cache."""

from __future__ import annotations

import itertools
from typing import Any

import torch
from torch import Tensor, nn

from models.config import ModelConfig
from models.decoding import Alphabet
from models.torch import LMHead, build, initialize
from models.torch.decoding.decodable import Continuation, Translation
from models.torch.decoding.filters import among

SMALL = {"d_model": 16, "d_ff": 24, "num_heads": 4, "num_layers": 2, "max_length": 32, "vocab_size": 30}
KINDS: dict[str, dict[str, Any]] = {
    "gpt2": {"activation": "gelu_tanh"},
    "llama": {"positions": "rope", "norm_kind": "rms", "activation": "swiglu", "bias": False, "num_kv_heads": 2,
              "tie_embeddings": False},
    "t5": {"positions": "relative", "norm_kind": "rms", "bias": False, "scale_attention": False, "d_head": 6,
           "scale_logits": True},
    "2017": {"positions": "sinusoidal", "norm": "post", "embedding_norm": False, "scale_embeddings": True},
    "window": {"positions": "rope", "window": 3, "global_every": 2},
    "lstm": {"network": "recurrent", "cell": "lstm"},
    "gru": {"network": "recurrent", "cell": "gru", "alignment": "additive"},
}  # fmt: skip
ENDS = {  # added to the logit of the end: some rows come to it, others do not
    "gpt2": -1.0,
    "llama": 0.0,
    "t5": 1.0,
    "2017": 4.0,
    "window": 3.0,
    "lstm": 0.2,
    "gru": 2.3,
}
ALPHABET = Alphabet(end_id=3, never=(0, 1, 2, 4))
BEGIN = 2


class Language:
    """A decoder alone. Its logits are made larger, so that decoding has something to choose."""

    def __init__(self, kind: str, **changes: Any) -> None:
        self.config = ModelConfig(**SMALL | KINDS[kind] | changes)
        self.decoder, self.head = _started(build("Decoder", self.config), self.config, kind)

    def prompts(self, lengths: list[int], seed: int = 5) -> list[list[int]]:
        """Made-up prompts."""
        draw = torch.Generator().manual_seed(seed)
        return [[BEGIN, *_ids(length - 1, self.config, draw)] for length in lengths]

    def decodable(self, prompts: list[list[int]], room: int) -> Continuation:
        return Continuation(self.decoder, self.head, *padded(prompts), room)

    def logits(self, prompt: list[int], made: list[int]) -> Tensor:
        """Of the next token [V], everything computed anew."""
        hidden = self.decoder(torch.tensor([prompt + made]))[0, -1]
        return self.head(hidden, self.decoder.embedding.tokens.weight)


class SourceToTarget:
    """An encoder and a decoder, used in the same way."""

    def __init__(self, kind: str, **changes: Any) -> None:
        self.config = ModelConfig(**SMALL | KINDS[kind] | changes)
        self.network, self.head = _started(build("EncoderDecoder", self.config), self.config, kind)
        self.decoder = self.network.decoder

    def prompts(self, lengths: list[int], seed: int = 5) -> list[list[int]]:
        """Made-up sources."""
        draw = torch.Generator().manual_seed(seed)
        return [_ids(length, self.config, draw) for length in lengths]

    def decodable(self, prompts: list[list[int]], room: int) -> Translation:
        return Translation(self.network, self.head, *padded(prompts), room, BEGIN)

    def logits(self, prompt: list[int], made: list[int]) -> Tensor:
        hidden = self.network(torch.tensor([prompt]), None, torch.tensor([[BEGIN, *made]]))[0, -1]
        return self.head(hidden, self.decoder.embedding.tokens.weight)


ALL: list[tuple[Any, str]] = [
    (Language, "gpt2"),
    (Language, "llama"),
    (Language, "window"),
    (SourceToTarget, "t5"),
    (SourceToTarget, "2017"),
    (Language, "lstm"),
    (SourceToTarget, "gru"),
]


def padded(rows: list[list[int]]) -> tuple[Tensor, Tensor]:
    """One block [B, T] and its mask."""
    lengths = torch.tensor([len(row) for row in rows])
    width = int(lengths.max())
    block = torch.tensor([[*row, *[5] * (width - len(row))] for row in rows])
    return block, torch.arange(width) < lengths[:, None]


def log_probabilities(network: Language | SourceToTarget, prompt: list[int], made: list[int]) -> Tensor:
    """Of the next token [V], uncached."""
    return among(network.logits(prompt, made)[None], ALPHABET)[0]


def every_sequence(tokens: list[int], end: int, longest: int) -> list[list[int]]:
    """All sequences over an alphabet: those that end, and those that are as long as allowed."""
    found = []
    for length in range(longest):
        found += [[*middle, end] for middle in itertools.product(tokens, repeat=length)]
    return found + [list(middle) for middle in itertools.product(tokens, repeat=longest)]


def _ids(count: int, config: ModelConfig, draw: torch.Generator) -> list[int]:
    return torch.randint(5, config.vocab_size, (count,), generator=draw).tolist()


class _Head(LMHead):
    likes_end: float

    def forward(self, hidden: Tensor, embedding: Tensor) -> Tensor:
        logits = super().forward(hidden, embedding)
        logits[..., ALPHABET.end_id] += self.likes_end
        return logits


def _started(network: nn.Module, config: ModelConfig, kind: str) -> tuple[Any, nn.Module]:
    both = nn.ModuleDict({"network": network, "head": _Head(config)})
    initialize(both, config, 0)
    both["head"].likes_end = ENDS[kind]
    draw = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in both.parameters():
            parameter.add_(0.3 * torch.randn(parameter.shape, generator=draw))
    return both["network"].eval(), both["head"].eval()
