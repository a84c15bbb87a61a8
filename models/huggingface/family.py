"""A family of networks: its keys of `config.json`, and a table of its tensors and our parameters.

A row of the table says where a parameter of ours is held over there. Reading stacks, turns and cuts as the row says;
writing does the opposite. So one table is both directions, and a test of the one is a test of the other.

Parts of a network, by the names of our tasks' networks:

    encoder, decoder    the bodies
    masked_lm           `head` on an encoder: dense, norm, bias
    lm                  `head` on a decoder: the output matrix, where it is not the embedding; its bias
    pooler              `classifier.dense` alone
    classifier          `classifier`: dense and output
    image_classifier    `classifier.output` alone
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from models import parameters
from models.config import ModelConfig

Weights = dict[str, NDArray[np.float32]]

Parts = tuple[str, ...]

# Their names of activations, and ours; gated ones by the function in the gate.
ACTIVATIONS = {
    "relu": "relu",
    "gelu": "gelu_exact",
    "gelu_new": "gelu_tanh",
    "gelu_pytorch_tanh": "gelu_tanh",
    "gelu_fast": "gelu_tanh",
    "silu": "silu",
    "swish": "silu",
}
GATES = {"silu": "swiglu", "gelu_exact": "geglu", "gelu_tanh": "geglu_tanh"}


class FolderError(ValueError):
    """A folder that cannot be read, or a network that cannot be written so: names the key, tensor or field."""


@dataclass(frozen=True)
class Row:
    """`theirs`, stacked along the first axis, are our parameter `ours`."""

    ours: str
    theirs: tuple[str, ...]
    sizes: tuple[int, ...] = ()  # of each along the first axis; empty: equal
    transposed: bool = False  # kept [inputs, outputs]: GPT-2's Conv1D
    skipped: int = 0  # rows at their beginning that we do not have: RoBERTa's positions
    axes: tuple[int, ...] = ()  # their shape, where it is ours written otherwise: a leading 1

    def shapes(self, shape: tuple[int, ...]) -> list[tuple[int, ...]]:
        """The shapes of `theirs`, from ours."""
        sizes = self.sizes or (shape[0] // len(self.theirs),) * len(self.theirs)
        found = [(size + self.skipped, *shape[1:]) for size in sizes]
        if self.axes:
            return [self.axes]
        return [one[::-1] for one in found] if self.transposed else found


@dataclass(frozen=True)
class Keys:
    """`config.json`: missing keys have the default of their class in `transformers`."""

    values: Mapping[str, Any]
    source: str

    def get(self, name: str, default: Any) -> Any:
        """A value; null counts as not given."""
        value = self.values.get(name)
        return default if value is None else value

    def must_be(self, name: str, *allowed: Any, why: str) -> None:
        """FolderError unless a key that changes the computation is absent, null, or one of these."""
        value = self.values.get(name)
        if value is not None and value not in allowed:
            raise FolderError(f"{self.source}: {name}={value!r} is not supported: {why}")

    def activation(self, name: str, default: str) -> str:
        """Our name of an activation."""
        value = self.get(name, default)
        if value not in ACTIVATIONS:
            raise FolderError(f"{self.source}: {name}={value!r} is not supported; known: {', '.join(ACTIVATIONS)}")
        return ACTIVATIONS[value]


class Family(ABC):
    """One `model_type`. Its file defines each of these."""

    model_type: str
    kind: str = "encoder"  # encoder, decoder or both
    prefix: str = ""  # of the body's tensors in a model with a head
    classes: ClassVar[Mapping[str, str]] = {}  # part on top -> the class that has it
    left_out: tuple[
        str, ...
    ] = ()  # regular expressions of tensors that hold no trained weights, or that we do not have
    tied: ClassVar[Mapping[str, str]] = {}  # their tensors that are another name of a parameter of ours

    @abstractmethod
    def architecture(self, keys: Keys) -> dict[str, Any]:
        """Fields of a ModelConfig from `config.json`; FolderError names a key that we cannot follow."""

    @abstractmethod
    def config(self, config: ModelConfig, parts: Parts) -> dict[str, Any]:
        """`config.json` of a network of ours."""

    @abstractmethod
    def limits(self, config: ModelConfig, parts: Parts) -> Iterable[tuple[str, bool]]:
        """Fields of a ModelConfig, and whether this family can have each as it is."""

    @abstractmethod
    def rows(self, config: ModelConfig, parts: Parts, prefix: str) -> list[Row]:
        """The table, for these parts."""

    @abstractmethod
    def parts(self, names: Iterable[str], prefix: str) -> Parts:
        """The parts that a folder has, by its tensors' names."""

    def to_ours(self, weights: Weights, config: ModelConfig) -> Weights:
        """Our parameters as they came, made ours where the same network is written in another order."""
        return weights

    def to_theirs(self, weights: Weights, config: ModelConfig) -> Weights:
        """The opposite of `to_ours`."""
        return weights

    def constants(self, config: ModelConfig, parts: Parts, prefix: str) -> Weights:
        """Neutral values for tensors that the class wants and we do not have."""
        return {}

    def refine(self, found: dict[str, Any], shapes: Mapping[str, tuple[int, ...]]) -> dict[str, Any]:
        """The fields once the tensors are known: some folders say by a tensor what their config does not."""
        return found


def their_activation(ours: str) -> str:
    """The first of their names of an activation of ours."""
    return next((theirs for theirs, one in ACTIVATIONS.items() if one == ours), ours)


def both(
    ours: str, *theirs: str, bias: bool = True, sizes: tuple[int, ...] = (), transposed: bool = False
) -> list[Row]:
    """The rows of a matrix and its bias, or of a norm."""
    rows = [Row(f"{ours}.weight", tuple(f"{one}.weight" for one in theirs), sizes, transposed)]
    return [*rows, Row(f"{ours}.bias", tuple(f"{one}.bias" for one in theirs), sizes)] if bias else rows


def attention_sizes(config: ModelConfig) -> tuple[int, int, int]:
    """Rows of query, key and value in the matrix that stacks them."""
    keys = config.kv_heads * config.head_width
    return config.num_heads * config.head_width, keys, keys


def shapes(config: ModelConfig, parts: Parts, labels: int) -> parameters.Shapes:
    """Our parameters of these parts, by the names of our tasks' networks."""
    under, found = parameters.under, parameters.Shapes()
    if "encoder" in parts and "decoder" in parts:
        found |= parameters.encoder_decoder(config)
    elif "encoder" in parts:
        found |= under("encoder", parameters.encoder(config))
    elif "decoder" in parts:
        found |= under("decoder", parameters.decoder(config))
    if "masked_lm" in parts:
        found |= under("head", parameters.masked_lm_head(config))
    if "lm" in parts:
        found |= under("head", parameters.lm_head(config))
    if "pooler" in parts or "classifier" in parts:
        head = parameters.classifier(config, max(labels, 1))
        held = {name: shape for name, shape in head.items() if "classifier" in parts or name.startswith("dense.")}
        found |= under("classifier", held)
    if "image_classifier" in parts:
        found |= under("classifier", parameters.classifier(config, labels, hidden=False))
    return found


def common_limits(config: ModelConfig) -> list[tuple[str, bool]]:
    """Limits that all families have."""
    return [
        ("network", config.network == "transformer"),
        ("window", not config.window),
        ("share_layers", not config.share_layers),
        ("d_embedding", not config.d_embedding),
        ("positions", config.positions != "alibi"),
        ("convolutional_stem", not config.convolutional_stem),
        ("bigram_buckets", not config.bigram_buckets),
    ]
