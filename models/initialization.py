"""The weights that a training starts from, in numpy: the same in every framework, whatever the order in which they are asked for.

    normal   N(0, std); Devlin et al. 2019 (google-research/bert, modeling.py)
    xavier   U(-a, a), a = sqrt(6 / (inputs + outputs)); Glorot and Bengio 2010, equation 16. Embeddings: N(0, 1/D)
    gpt2     as normal, but what is added to the residual stream by 1/sqrt(2 layers); Radford et al. 2019, section 2.3

Biases 0, norms 1, the vector of padding 0. Where a paper has a start of its own, it is in `_special`:

    patches            N(0, 1/inputs), LeCun's, and positions N(0, 0.02): google-research/vision_transformer; CCT's positions: 0.2
    convolutions       of images: N(0, 2/inputs), He et al. 2015 (arXiv 1502.01852), equation 10
    recurrent          orthogonal, so that gradients keep their length where tanh is steep: Saxe et al. 2014 (arXiv 1312.6120);
                       an LSTM's forget bias is 1: Gers et al. 2000; Jozefowicz et al. 2015, section 2.2
    class token, relative positions, hashed pairs of tokens    0

A parameter's name and shape say which; matrices are [outputs, inputs, ...]. Each is drawn from a generator of its own, keyed by
the seed and its name.
"""

from __future__ import annotations

import math
import zlib

import numpy as np
from numpy.typing import NDArray

from models.chance import generator_of
from models.config import ModelConfig

GATES = {"rnn": 1, "lstm": 4, "gru": 3}  # matrices that a cell stacks: i, f, g, o of an LSTM; r, z, g of a GRU
_ZERO = ("embedding.class_token.weight", "relative.weight", "embedding.pairs.weight")
_RESIDUAL = ("attention.output.weight", "feed_forward.outer.weight")  # added to the residual stream
Array = NDArray[np.float32]


def start(name: str, shape: tuple[int, ...], config: ModelConfig, seed: int) -> Array:
    """One parameter at the start."""
    random = generator_of(seed, zlib.crc32(name.encode()))
    parts = name.split(".")
    if parts[-1].startswith("bias"):
        return _bias(parts[-1], shape, config, recurrent="kernel" in parts)
    if len(shape) == 1 and len(parts) > 1 and parts[-2].endswith("norm"):
        return np.ones(shape, np.float32)
    if f".{name}".endswith(tuple(f".{one}" for one in _ZERO)):
        return np.zeros(shape, np.float32)
    special = _special(name, shape, config, random)
    return _matrix(name, shape, config, random) if special is None else special


def _bias(name: str, shape: tuple[int, ...], config: ModelConfig, *, recurrent: bool) -> Array:
    bias = np.zeros(shape, np.float32)
    if recurrent and config.cell == "lstm" and name.startswith("bias_ih"):  # the other of the two biases stays 0
        np.split(bias, GATES["lstm"])[1][:] = 1
    return bias


def _special(name: str, shape: tuple[int, ...], config: ModelConfig, random: np.random.Generator) -> Array | None:
    kind = name.rpartition(".")[2]
    inputs = math.prod(shape[1:])
    if kind.startswith("weight_hh"):
        gates = shape[0] // shape[1]
        return np.concatenate([_orthogonal(shape[0] // gates, random) for _ in range(gates)])
    if kind.startswith("weight_ih") and config.initializer == "xavier":
        gates = GATES[config.cell]
        return np.concatenate([_xavier((shape[0] // gates, *shape[1:]), random) for _ in range(gates)])
    if name.endswith("embedding.positions.weight") and config.image_height:
        return _normal(shape, 0.2 if config.convolutional_stem else 0.02, random)
    if len(shape) == 4:
        return _normal(shape, math.sqrt((1 if name.endswith("patches.weight") else 2) / inputs), random)
    return None


def _matrix(name: str, shape: tuple[int, ...], config: ModelConfig, random: np.random.Generator) -> Array:
    std = config.initializer_std
    if is_embedding := "embedding" in name.split(".")[:-2]:
        is_embedding = not name.endswith("projection.weight")
    if config.initializer == "xavier":
        if not is_embedding:
            return _xavier(shape, random)
        std = shape[-1] ** -0.5
    elif config.initializer == "gpt2" and name.endswith(_RESIDUAL):
        std /= math.sqrt(2 * config.num_layers)
    matrix = _normal(shape, std, random)
    if name.endswith("embedding.tokens.weight"):
        matrix[config.pad_id] = 0
    return matrix


def _normal(shape: tuple[int, ...], std: float, random: np.random.Generator) -> Array:
    return random.standard_normal(shape, np.float32) * np.float32(std)


def _xavier(shape: tuple[int, ...], random: np.random.Generator) -> Array:
    field = math.prod(shape[2:])
    bound = math.sqrt(6 / ((shape[0] + shape[1]) * field))
    return (random.random(shape, np.float32) * 2 - 1) * np.float32(bound)


def _orthogonal(size: int, random: np.random.Generator) -> Array:
    """[size, size], each as likely as any other: Q of a normal matrix's QR, with the signs of R's diagonal (Mezzadri 2007)."""
    q, r = np.linalg.qr(random.standard_normal((size, size)))
    return (q * np.sign(np.diag(r))).astype(np.float32)
