"""A network as tasks see it: its parts by name, and the calls that answer questions. No framework.

Shapes: B rows, T length, S source length, H heads, D d_model, E width of a vector, M answers, C choices.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from models.config import ModelConfig
from models.devices import Compute
from models.question import Arrays, Question

Weights = dict[str, NDArray[Any]]
TRUNK = ("encoder", "decoder")  # parts that read; all others are heads
MEMORY = "memory"  # of attention: the decoder's to the source


@dataclass(frozen=True)
class Part:
    """One part of a network: a class of its family (`Encoder`, `Decoder`, `EncoderDecoder`), or of `heads.py`."""

    kind: str
    options: Mapping[str, Any] = field(default_factory=dict)  # of the head, in addition to the config
    config: ModelConfig | None = None  # its own, if it differs from the network's
    shares: Mapping[str, str] = field(default_factory=dict)  # a module of this part -> the module that takes its place


Parts = Mapping[str, Part]  # by the names that begin their parameters' names


class Network(Protocol):
    """A network with its heads, for answering: no dropout, no gradients."""

    @property
    def compute(self) -> Compute:
        """The framework, device and precision that it computes with."""

    @property
    def parts(self) -> Sequence[str]:
        """The names of its parts: `encoder`, `decoder`, `head`, ..."""

    def logits(self, question: Question, head: str = "") -> NDArray[np.float32]:
        """[M, C]: the choices of a head at each place; without a name, of the only one."""

    def nats(self, question: Question) -> NDArray[np.float32]:
        """[M]: the negative log-probability of each label."""

    def vectors(self, inputs: Arrays) -> NDArray[np.float32]:
        """[B, E]: a vector of length 1 for each row. Of networks with an EmbeddingHead."""

    def attends(self, part: str) -> bool:
        """Whether a part has attention to look at."""

    def attention(self, inputs: Arrays, part: str) -> list[NDArray[np.float32]]:
        """[B, H, T, S] of each layer: of `encoder`, of `decoder`, or of `memory`, the decoder's to the source. An empty list
        where a decoder does not attend to what it wrote."""

    def weights(self) -> Weights:
        """Copies of all parameters, by name."""

    def load_weights(self, weights: Mapping[str, NDArray[Any]]) -> None:
        """Take these parameters, which are all there are."""
