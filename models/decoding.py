"""Decoding without a framework: options as a user sets them, the tokens that a sequence may hold, and a decoded sequence."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator


class Decoding(BaseModel):
    """Decoding options. A task adopts these as its `PredictOptions`, with its own defaults."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    method: Literal["greedy", "beam", "sample"] = Field(
        "greedy", description="The likeliest token each time, a beam of hypotheses, or tokens drawn by chance"
    )
    max_new_tokens: int = Field(64, ge=1, le=131_072, description="Longest sequence that is made, [SEP] included")
    n_best: int = Field(1, ge=1, le=1024, description="Sequences of each row: the best of a beam, or so many draws")
    seed: int = Field(1, ge=0, description="Fixes what is drawn")

    beams: int = Field(4, ge=1, le=1024, description="Beam: hypotheses of each row that are followed")
    length_penalty: float = Field(
        0.6, ge=0, le=10, description="Beam: alpha of Wu et al. 2016 (arXiv 1609.08144), equation 14; 0: none"
    )

    temperature: float = Field(1.0, gt=0, le=100, description="Sample: logits are divided by it (Ackley et al. 1985)")
    top_k: int = Field(0, ge=0, description="Sample: from the k likeliest tokens (arXiv 1805.04833, 5.4); 0: all")
    top_p: float = Field(1.0, gt=0, le=1, description="Sample: from the nucleus of this mass (arXiv 1904.09751, 3.1)")
    min_p: float = Field(0.0, ge=0, le=1, description="Sample: from tokens p >= min_p * max p (arXiv 2407.01082, 3)")

    @model_validator(mode="after")
    def _n_best_can_be_had(self) -> Decoding:
        if self.method == "greedy" and self.n_best > 1:
            raise ValueError("n_best: greedy decoding makes one sequence; choose method=beam or method=sample")
        if self.method == "beam" and self.n_best > self.beams:
            raise ValueError(f"n_best={self.n_best}, but a beam of {self.beams} has no more; set beams")
        return self

    @property
    def rows(self) -> int:
        """Rows of the batch that each row of the input becomes."""
        return {"greedy": 1, "beam": self.beams, "sample": self.n_best}[self.method]


@dataclass(frozen=True)
class Alphabet:
    """The token that ends a sequence, and those that no sequence holds (padding, [CLS], [MASK])."""

    end_id: int
    never: tuple[int, ...] = ()


@dataclass(frozen=True)
class Hypothesis:
    """A sequence that was made. `ids` are without the end; `ended` says whether it came to one."""

    ids: tuple[int, ...]
    log_probability: float  # the network's own, of all tokens, the end included
    score: float  # what a beam orders by: with the length penalty; else the log-probability
    ended: bool

    @property
    def tokens(self) -> int:
        """Number of tokens that the probability covers."""
        return len(self.ids) + self.ended

    @classmethod
    def of(cls, tokens: Sequence[int], log_probability: float, score: float, end_id: int) -> Hypothesis:
        """From tokens, the last of which may be the end."""
        ended = tokens[-1] == end_id
        return cls(tuple(tokens[:-1] if ended else tokens), log_probability, score, ended)
