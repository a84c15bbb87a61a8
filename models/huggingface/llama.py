"""Llama (Touvron et al. 2023): `LlamaModel`, `LlamaForCausalLM`, with grouped queries where `num_key_value_heads` has them.

RoPE turns the pairs (i, i + K/2) in both, so no rows change places. Scaled RoPE is not supported.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, ClassVar

from models.config import ModelConfig
from models.huggingface.family import (
    GATES,
    Family,
    FolderError,
    Keys,
    Parts,
    Row,
    attention_sizes,
    both,
    common_limits,
    their_activation,
)
from models.huggingface.gpt2 import end_of


class Llama(Family):
    """Norms before the sublayers, RMSNorm, RoPE, gated feed-forward."""

    model_type, kind, prefix = "llama", "decoder", "model."
    classes: ClassVar = {"": "LlamaModel", "lm": "LlamaForCausalLM"}
    left_out = (r"rotary_emb\.inv_freq$",)
    tied: ClassVar = {"lm_head.weight": "decoder.embedding.tokens.weight"}

    def architecture(self, keys: Keys) -> dict[str, Any]:
        keys.must_be("pretraining_tp", 1, why="sums of slices are taken in another order")
        bias = keys.get("attention_bias", False)
        keys.must_be("mlp_bias", bias, why="our biases are in all matrices or in none; attention_bias is another")
        if bias and "mlp_bias" not in keys.values:
            raise FolderError(f"{keys.source}: attention_bias=True without mlp_bias is not supported")
        activation = keys.activation("hidden_act", "silu")
        if activation not in GATES:
            raise FolderError(f"{keys.source}: hidden_act={keys.get('hidden_act', '')!r} is not supported in a gate")
        heads = keys.get("num_attention_heads", 32)
        dropout = keys.get("attention_dropout", 0.0)
        return {
            "d_model": keys.get("hidden_size", 4096), "num_layers": keys.get("num_hidden_layers", 32),
            "num_heads": heads, "num_kv_heads": keys.get("num_key_value_heads", heads),
            "d_head": keys.get("head_dim", 0), "d_ff": keys.get("intermediate_size", 11008),
            "max_length": min(keys.get("max_position_embeddings", 2048), 131_072), "positions": "rope",
            "rope_base": _rope_base(keys), "norm": "pre", "norm_kind": "rms", "bias": bias,
            "layer_norm_epsilon": keys.get("rms_norm_eps", 1e-6), "activation": GATES[activation],
            "tie_embeddings": keys.get("tie_word_embeddings", False), "pooling": "last",
            "initializer_std": keys.get("initializer_range", 0.02), "attention_dropout": dropout or None,
            "vocab_size": keys.get("vocab_size", 32000), "pad_id": max(keys.get("pad_token_id", end_of(keys, 2)), 0),
        }  # fmt: skip

    def config(self, config: ModelConfig, parts: Parts) -> dict[str, Any]:
        gates = {gated: their_activation(plain) for plain, gated in GATES.items()}
        return {
            "hidden_size": config.d_model, "num_hidden_layers": config.num_layers,
            "num_attention_heads": config.num_heads, "num_key_value_heads": config.kv_heads,
            "head_dim": config.head_width, "intermediate_size": config.d_ff,
            "max_position_embeddings": config.max_length, "rms_norm_eps": config.layer_norm_epsilon,
            # The second for releases of transformers before 5.
            "rope_parameters": {"rope_theta": config.rope_base, "rope_type": "default"}, "rope_theta": config.rope_base,
            "hidden_act": gates.get(config.activation, config.activation), "attention_bias": config.bias,
            "mlp_bias": config.bias, "tie_word_embeddings": config.tie_embeddings,
            "initializer_range": config.initializer_std, "attention_dropout": config.dropout_of_attention,
            "vocab_size": config.vocab_size, "pad_token_id": config.pad_id,
        }  # fmt: skip

    def limits(self, config: ModelConfig, parts: Parts) -> Iterable[tuple[str, bool]]:
        return [
            *common_limits(config), ("norm", config.norm == "pre"), ("norm_kind", config.norm_kind == "rms"),
            ("embedding_norm", not config.has_embedding_norm), ("positions", config.positions == "rope"),
            ("activation", config.activation in GATES.values()), ("scale_attention", config.scale_attention),
            ("scale_embeddings", not config.scale_embeddings), ("scale_logits", not config.scale_logits),
            ("token_types", not config.token_types), ("output_bias", not config.output_bias),
            ("d_model", config.d_model % config.num_heads == 0),
        ]  # fmt: skip

    def parts(self, names: Iterable[str], prefix: str) -> Parts:
        return ("decoder", "lm")

    def refine(self, found: dict[str, Any], shapes: Mapping[str, tuple[int, ...]]) -> dict[str, Any]:
        # A folder of LlamaModel has no output matrix, and no prefix: a head on it begins with the embedding.
        return {**found, "tie_embeddings": True} if "embed_tokens.weight" in shapes else found

    def rows(self, config: ModelConfig, parts: Parts, prefix: str) -> list[Row]:
        rows = [
            Row("decoder.embedding.tokens.weight", (f"{prefix}embed_tokens.weight",)),
            Row("decoder.final_norm.weight", (f"{prefix}norm.weight",)),
        ]
        for number in range(config.num_layers):
            rows += self.layer(config, f"decoder.layers.{number}", f"{prefix}layers.{number}")
        return rows if config.tie_embeddings else [*rows, Row("head.output.weight", ("lm_head.weight",))]

    def layer(self, config: ModelConfig, ours: str, theirs: str) -> list[Row]:
        """The rows of one layer."""
        own, sizes, bias = f"{theirs}.self_attn", attention_sizes(config), config.bias
        return [
            Row(f"{ours}.attention_norm.weight", (f"{theirs}.input_layernorm.weight",)),
            *both(f"{ours}.attention.qkv", *(f"{own}.{one}_proj" for one in "qkv"), bias=bias, sizes=sizes),
            *both(f"{ours}.attention.output", f"{own}.o_proj", bias=bias),
            Row(f"{ours}.feed_forward_norm.weight", (f"{theirs}.post_attention_layernorm.weight",)),
            *both(f"{ours}.feed_forward.inner", f"{theirs}.mlp.gate_proj", f"{theirs}.mlp.up_proj", bias=bias),
            *both(f"{ours}.feed_forward.outer", f"{theirs}.mlp.down_proj", bias=bias),
        ]


def _rope_base(keys: Keys) -> float:
    about = keys.get("rope_parameters", keys.get("rope_scaling", {}))
    kind = about.get("rope_type", about.get("type", "default"))
    if kind != "default":
        key = "rope_parameters" if keys.values.get("rope_parameters") else "rope_scaling"
        raise FolderError(f"{keys.source}: {key}: rope_type={kind!r} is not supported: our wavelengths are not scaled")
    return float(about.get("rope_theta", keys.get("rope_theta", 10_000.0)))


FAMILY = Llama()
