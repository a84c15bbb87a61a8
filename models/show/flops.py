"""FLOPs of a token: a multiplication and an addition are two.

Kaplan et al. 2020 (arXiv 2001.08361), section 2.1 and table 1: each weight of a matrix is used once a token, and attention
adds what grows with the length; norms, activations, biases and softmax are left out, as there:

    matrices    2 N                  N: their weights; tables that are only looked up (embeddings) cost nothing
    attention   4 S H K a layer      q . k for S keys, and as much again for the sum of values; H heads of width K
    output      2 V E                the product with the V token vectors, for each token that is predicted
    backward    2 x forward          a product for the gradient of each of its two factors

Kaplan's attention term is half of ours: of causal attention half of the scores are needed. Ours is what is computed: the
kernel is given a mask, and skips nothing. The share left by a mask is shown next to it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from models.config import ModelConfig
from models.show.subject import CLASSES, ShowError, Subject

MASKED = 0.15  # share of the tokens that a masked LM predicts (Devlin et al. 2019, section 3.1)
TRAINING = 3  # forward and backward
_COUNTED = 32  # tokens that are run to count: a recurrent network runs one after the other, which takes its time
_TABLES = (
    "embedding.tokens.",
    "embedding.pairs.",
    "embedding.positions.",
    "embedding.types.",
    "relative.",
)  # looked up, not multiplied


@dataclass(frozen=True)
class Term:
    """A part of the cost of one token. `of` says which: of a pair, source and target tokens cost differently."""

    what: str
    formula: str
    flops: float
    of: str = "token"


def terms(subject: Subject, length: int) -> list[Term]:
    """The parts of a forward pass's cost, for sequences of `length` tokens (source and target alike)."""
    if not subject.is_text_transformer:
        return [*_count_by_torch(subject, length), *_head(subject, length)]
    limit = subject.config.max_length
    if subject.config.positions == "learned" and length > limit:
        raise ShowError(f"--length {length}: learned positions end at max_length={limit}")
    stacks = [term for side in ("encoder", "decoder") for term in _stack(subject, side, length)]
    return [*stacks, *_head(subject, length)]


def totals(found: list[Term]) -> dict[str, float]:
    """FLOPs of a forward pass for each kind of token."""
    kinds = dict.fromkeys(term.of for term in found)
    return {kind: sum(term.flops for term in found if term.of == kind) for kind in kinds}


def visible_keys(config: ModelConfig, layer: int, length: int, *, causal: bool) -> float:
    """Keys that the masks leave visible to a query, on average over a sequence."""
    window = config.window_of(layer)
    if causal:
        seen = min(window or length, length)  # the first queries see fewer
        return (seen * (seen + 1) / 2 + (length - seen) * seen) / length
    if not window:
        return length
    side = min(window // 2, length - 1)
    return (length * (2 * side + 1) - side * (side + 1)) / length


def _stack(subject: Subject, side: str, length: int) -> list[Term]:
    config = subject.config
    mine = {name: shape for name, shape in subject.shapes.items() if name.startswith(f"{side}.")}
    if not mine:
        return []
    pair, decoder = subject.part == "encoder_decoder", side == "decoder"
    layers = config.decoder_layers if pair and decoder else config.num_layers
    used = layers if config.share_layers else 1
    weights = {name: count * (used if ".layers." in name else 1) for name, count in _matrices(mine).items()}
    of_memory = {name: count for name, count in weights.items() if ".cross.key_value." in name}
    own, memory = sum(weights.values()) - sum(of_memory.values()), sum(of_memory.values())
    of = "token" if not pair else "target token" if decoder else "source token"
    heads = f"{config.num_heads} heads x {config.head_width} x {layers} layers"
    scored = 4.0 * length * config.num_heads * config.head_width * layers
    left = sum(visible_keys(config, layer, length, causal=decoder) for layer in range(layers)) / layers
    masked = f"; masks leave {left:,.1f} keys" if left < length else ""
    found = [
        Term(f"{side}: matrices", f"2 x {own:,} weights", 2.0 * own, of),
        Term(f"{side}: attention", f"4 x {length} keys x {heads}{masked}", scored, of),
    ]
    if pair and decoder:
        found += [
            Term("decoder: cross", f"4 x {length} keys of the source x {heads}", scored, of),
            Term("decoder: cross", f"keys and values of the memory, 2 x {memory:,}", 2.0 * memory, "source token"),
        ]
    return found


def _head(subject: Subject, length: int) -> list[Term]:
    """The cost of the head: of each predicted token, or once a sequence."""
    config = subject.config
    own = sum(_matrices({n: s for n, s in subject.shapes.items() if n.startswith(("head.", "classifier."))}).values())
    if subject.head == "classifier":
        a_sequence = f"2 x {own:,} weights, once a sequence"
        once = Term("classifier", f"2 x {own:,} weights", 2.0 * own, "image")
        return [once if config.image_height else Term("classifier", a_sequence, 2.0 * own / length)]
    tied = 0 if any(name.startswith("head.output.") for name in subject.shapes) else _vectors(config)
    if subject.head == "masked_lm":
        formula = f"{MASKED:.0%} of the tokens x 2 x ({own:,} + {tied:,} of the embedding)"
        return [Term("head: masked_lm", formula, MASKED * 2.0 * (own + tied))]
    of = "target token" if subject.part == "encoder_decoder" else "token"
    if subject.head == "lm":
        return [Term("head: lm", f"2 x {own + tied:,} weights of the output matrix", 2.0 * (own + tied), of)]
    return [Term("head", f"2 x {own:,} weights, of each token", 2.0 * own, of)] if own else []


def _count_by_torch(subject: Subject, length: int) -> list[Term]:
    """FLOPs of a family without formulas, as counted by PyTorch while it runs the network."""
    from models.torch.introspection import flops_of

    config = subject.config
    length = min(length, _COUNTED)
    found = flops_of(CLASSES[subject.part], config, length)
    if config.image_height:
        size = f"{config.image_channels} x {config.image_height} x {config.image_width}"
        return [Term(subject.part, f"counted by PyTorch on an image of {size}", found, "image")]
    pair = subject.part == "encoder_decoder"
    formula = f"counted by PyTorch on {'a pair' if pair else 'one'} of {length}"
    return [Term(subject.part, formula, found / length, "target token" if pair else "token")]


def _matrices(shapes: Mapping[str, tuple[int, ...]]) -> dict[str, int]:
    """The weights that a token is multiplied with."""
    return {
        name: math.prod(shape)
        for name, shape in shapes.items()
        if len(shape) > 1 and not any(table in name for table in _TABLES)
    }


def _vectors(config: ModelConfig) -> int:
    return config.vocab_size * (config.d_embedding or config.d_model)
