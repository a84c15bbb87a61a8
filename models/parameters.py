"""Names and shapes of an encoder's parameters: the checkpoint format, the same for every framework.

Matrices are stored as PyTorch's Linear keeps them, [outputs, inputs]; `attention.qkv` stacks query, key and value.
"""

from __future__ import annotations

from models.config import EncoderConfig

Shapes = dict[str, tuple[int, ...]]


def encoder(config: EncoderConfig) -> Shapes:
    """Parameters of the encoder, without a head."""
    d, f = config.d_model, config.d_ff
    shapes: Shapes = {
        "embedding.tokens.weight": (config.vocab_size, d),
        "embedding.positions.weight": (config.max_length, d),
        **_norm("embedding.norm" if config.norm == "post" else "final_norm", d),
    }
    for layer in range(config.num_layers):
        name = f"layers.{layer}"
        shapes |= {
            **_norm(f"{name}.attention_norm", d),
            **_linear(f"{name}.attention.qkv", 3 * d, d),
            **_linear(f"{name}.attention.output", d, d),
            **_norm(f"{name}.feed_forward_norm", d),
            **_linear(f"{name}.feed_forward.inner", f, d),
            **_linear(f"{name}.feed_forward.outer", d, f),
        }
    return shapes


def masked_lm_head(config: EncoderConfig) -> Shapes:
    """Parameters of the masked-LM head; its output matrix is the token embedding (tied)."""
    d = config.d_model
    return {**_linear("dense", d, d), **_norm("norm", d), "bias": (config.vocab_size,)}


def classifier(config: EncoderConfig, num_labels: int) -> Shapes:
    """Parameters of the classification head."""
    return {**_linear("dense", config.d_model, config.d_model), **_linear("output", num_labels, config.d_model)}


def _linear(name: str, outputs: int, inputs: int) -> Shapes:
    return {f"{name}.weight": (outputs, inputs), f"{name}.bias": (outputs,)}


def _norm(name: str, width: int) -> Shapes:
    return {f"{name}.weight": (width,), f"{name}.bias": (width,)}
