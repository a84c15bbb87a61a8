"""GPT-2 (Radford et al. 2019): `GPT2Model`, `GPT2LMHeadModel`.

Its matrices are kept [inputs, outputs] (`Conv1D`), query, key and value stacked already.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, ClassVar

from models.config import ModelConfig
from models.huggingface.family import ACTIVATIONS, Family, Keys, Parts, Row, both, common_limits, their_activation


class GPT2(Family):
    """Norms before the sublayers, learned positions, tied embeddings."""

    model_type, kind, prefix = "gpt2", "decoder", "transformer."
    classes: ClassVar = {"": "GPT2Model", "lm": "GPT2LMHeadModel"}
    left_out = (r"\.attn\.(masked_)?bias$",)  # the causal mask, in older folders
    tied: ClassVar = {"lm_head.weight": "decoder.embedding.tokens.weight"}

    def architecture(self, keys: Keys) -> dict[str, Any]:
        keys.must_be("scale_attn_by_inverse_layer_idx", False, why="our scores have one scale in all layers")
        keys.must_be("add_cross_attention", False, why="a decoder alone is wanted")
        keys.must_be("tie_word_embeddings", True, why="GPT-2's output matrix is its embedding")
        width, dropout, attention = keys.get("n_embd", 768), keys.get("resid_pdrop", 0.1), keys.get("attn_pdrop", 0.1)
        return {
            "d_model": width, "num_layers": keys.get("n_layer", 12), "num_heads": keys.get("n_head", 12),
            "d_ff": keys.get("n_inner", 4 * width), "max_length": keys.get("n_positions", 1024),
            "positions": "learned", "norm": "pre", "norm_kind": "layer", "bias": True, "tie_embeddings": True,
            "layer_norm_epsilon": keys.get("layer_norm_epsilon", 1e-5),
            "activation": keys.activation("activation_function", "gelu_new"),
            "scale_attention": keys.get("scale_attn_weights", True), "pooling": "last", "initializer": "gpt2",
            "initializer_std": keys.get("initializer_range", 0.02), "dropout": dropout,
            "attention_dropout": None if attention == dropout else attention,
            # It has no padding: the end of a text stands for it, masked wherever it is.
            "vocab_size": keys.get("vocab_size", 50257), "pad_id": keys.get("pad_token_id", end_of(keys, 50256)),
        }  # fmt: skip

    def config(self, config: ModelConfig, parts: Parts) -> dict[str, Any]:
        return {
            "n_embd": config.d_model, "n_layer": config.num_layers, "n_head": config.num_heads, "n_inner": config.d_ff,
            "n_positions": config.max_length, "layer_norm_epsilon": config.layer_norm_epsilon,
            "activation_function": their_activation(config.activation), "scale_attn_weights": config.scale_attention,
            "initializer_range": config.initializer_std, "resid_pdrop": config.dropout, "embd_pdrop": config.dropout,
            "attn_pdrop": config.dropout_of_attention, "vocab_size": config.vocab_size, "pad_token_id": config.pad_id,
            "tie_word_embeddings": True,
        }  # fmt: skip

    def limits(self, config: ModelConfig, parts: Parts) -> Iterable[tuple[str, bool]]:
        return [
            *common_limits(config), ("norm", config.norm == "pre"), ("norm_kind", config.norm_kind == "layer"),
            ("embedding_norm", not config.has_embedding_norm), ("positions", config.positions == "learned"),
            ("bias", config.bias), ("activation", config.activation in ACTIVATIONS.values()),
            ("num_kv_heads", config.kv_heads == config.num_heads),
            ("d_head", config.head_width * config.num_heads == config.d_model),
            ("scale_embeddings", not config.scale_embeddings), ("tie_embeddings", config.tie_embeddings),
            ("scale_logits", not config.scale_logits), ("token_types", not config.token_types),
            ("output_bias", not config.output_bias),
        ]  # fmt: skip

    def parts(self, names: Iterable[str], prefix: str) -> Parts:
        return ("decoder", "lm")

    def rows(self, config: ModelConfig, parts: Parts, prefix: str) -> list[Row]:
        rows = [
            Row("decoder.embedding.tokens.weight", (f"{prefix}wte.weight",)),
            Row("decoder.embedding.positions.weight", (f"{prefix}wpe.weight",)),
            *both("decoder.final_norm", f"{prefix}ln_f"),
        ]
        for number in range(config.num_layers):
            ours, theirs = f"decoder.layers.{number}", f"{prefix}h.{number}"
            rows += [
                *both(f"{ours}.attention_norm", f"{theirs}.ln_1"),
                *both(f"{ours}.attention.qkv", f"{theirs}.attn.c_attn", transposed=True),
                *both(f"{ours}.attention.output", f"{theirs}.attn.c_proj", transposed=True),
                *both(f"{ours}.feed_forward_norm", f"{theirs}.ln_2"),
                *both(f"{ours}.feed_forward.inner", f"{theirs}.mlp.c_fc", transposed=True),
                *both(f"{ours}.feed_forward.outer", f"{theirs}.mlp.c_proj", transposed=True),
            ]
        return rows


def end_of(keys: Keys, default: int) -> int:
    """The id that ends a text; of several, the first."""
    end = keys.get("eos_token_id", default)
    return int(end[0] if isinstance(end, list) else end)


FAMILY = GPT2()
