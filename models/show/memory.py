"""Bytes of training and decoding, in float32: 4 a number.

Parameters, gradients and AdamW's two moments are known exactly. What a forward pass keeps for the backward one is an
*estimate*, of our own modules without dropout, from what each operation's gradient needs. A layer keeps for each token

    4 D                  what goes into both norms, and what comes out of them; RMSNorm keeps 2 D more
    (H + 2 G) K          queries, keys, values; RoPE turns copies of them, grouped heads are repeated
    H K                  what attention gives
    F, 2 F or 4 F        feed-forward: with ReLU, another function, a gate

and no scores: the kernel of `scaled_dot_product_attention` computes them again. With a learned bias on them (T5) it cannot,
and 2 H S are kept. (Korthikanti et al. 2022, arXiv 2205.05198, section 4.1, counts another implementation's in this way.)

Letters as in models/torch: D d_model, H heads, G heads of keys and values, K head width, F d_ff, V vocabulary.
"""

from __future__ import annotations

from dataclasses import dataclass

from models.config import ModelConfig
from models.show.flops import MASKED
from models.show.subject import Subject

BYTES = 4


@dataclass(frozen=True)
class Need:
    """A use of memory."""

    what: str
    formula: str
    bytes: float


def needs(subject: Subject, length: int, batch: int) -> list[Need]:
    """The needs of training, then those of decoding, for `batch` sequences of `length` tokens."""
    count, config = subject.count, subject.config
    found = [
        Need("parameters", f"{BYTES} bytes each", BYTES * count),
        Need("gradients", "as much", BYTES * count),
        Need("AdamW", "two moments of each", 2 * BYTES * count),
    ]
    if not subject.is_text_transformer:
        return found
    kept = BYTES * batch * activations(subject, length)
    found.append(Need("activations", f"estimate, kept for the backward pass of {batch} x {length} tokens", kept))
    if subject.part != "encoder":
        layers = config.decoder_layers if subject.part == "encoder_decoder" else config.num_layers
        a_token = BYTES * 2 * layers * config.kv_heads * config.head_width
        formula = (
            f"a token: keys and values, 2 x {layers} layers x {config.kv_heads} heads x {config.head_width} x {BYTES}"
        )
        found.append(Need("cache", formula, a_token))
        if subject.part == "encoder_decoder":
            found.append(Need("cache", "a token of the source: as much, for cross-attention", a_token))
        found.append(
            Need(
                "cache",
                f"of {batch} x {length} tokens{' and their sources' * (len(found) > 5)}",
                a_token * batch * length * (1 + (subject.part == "encoder_decoder")),
            )
        )
    return found


def activations(subject: Subject, length: int) -> float:
    """Numbers kept for one sequence (or pair) of `length` tokens: the estimate above."""
    config, pair = subject.config, subject.part == "encoder_decoder"
    scores = 2 * config.num_heads * length if config.positions == "relative" else 0
    a_token = 0.0
    if subject.part != "decoder":
        a_token += config.num_layers * (_layer(config) + scores) + _around(config)
    if subject.part != "encoder":
        layers = config.decoder_layers if pair else config.num_layers
        a_token += layers * (_layer(config) + scores + (_cross(config) if pair else 0)) + _around(config)
    width = config.d_embedding or config.d_model
    if subject.head == "masked_lm":  # the dense layer, GELU, norm, and the logarithms of the softmax
        a_token += MASKED * (config.d_model + 3 * width + config.vocab_size)
    elif subject.head == "lm":
        a_token += config.vocab_size
    return length * a_token


def _layer(config: ModelConfig) -> float:
    norms = (6 if config.norm_kind == "rms" else 4) * config.d_model
    inner = {"relu": 1}.get(config.activation, 4 if config.has_gate else 2)
    return norms + _attention(config) + inner * config.d_ff


def _attention(config: ModelConfig) -> float:
    heads, grouped = config.num_heads * config.head_width, config.kv_heads * config.head_width
    repeated = 2 * heads if grouped < heads else 0
    if config.positions != "rope":
        return heads + 2 * grouped + repeated + heads
    return heads + (repeated or heads + 3 * grouped) + heads


def _cross(config: ModelConfig) -> float:
    heads, grouped = config.num_heads * config.head_width, config.kv_heads * config.head_width
    repeated = 2 * heads if grouped < heads else 0
    norms = (3 if config.norm_kind == "rms" else 2) * config.d_model
    return norms + heads + (repeated or 2 * grouped) + heads


def _around(config: ModelConfig) -> float:
    """The norms before and after the layers."""
    return (2 if config.has_embedding_norm else 0) * config.d_model + (
        2 if config.norm == "pre" else 0
    ) * config.d_model
