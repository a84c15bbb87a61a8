"""Marian (Junczys-Dowmunt et al. 2018, arXiv 1804.00344): `MarianMTModel`, `MarianModel`: the Transformer of 2017.

Its sinusoidal positions have the sines in the first half of a vector and the cosines in the second, where ours have them
in turn, as the paper does. That is the same network with the numbers of its residual stream in another order: reading
puts them in ours, writing back in theirs. Nothing else tells the order of these numbers from another.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from models.config import ModelConfig
from models.huggingface.family import (
    ACTIVATIONS,
    Family,
    Keys,
    Parts,
    Row,
    Weights,
    attention_sizes,
    both,
    common_limits,
    their_activation,
)

# Matrices that write into the residual stream: its numbers are their rows. All others read it: their columns.
_WRITES = ("attention.output", "cross.output", "feed_forward.outer")


class Marian(Family):
    """Norms after the sublayers, sinusoidal positions, one embedding for source, target and output."""

    model_type, kind, prefix = "marian", "both", "model."
    classes: ClassVar = {"": "MarianModel", "lm": "MarianMTModel"}
    left_out = (r"embed_positions\.weight$",)  # computed
    tied: ClassVar = {
        "lm_head.weight": "encoder.embedding.tokens.weight",
        "{prefix}encoder.embed_tokens.weight": "encoder.embedding.tokens.weight",
        "{prefix}decoder.embed_tokens.weight": "encoder.embedding.tokens.weight",
    }

    def architecture(self, keys: Keys) -> dict[str, Any]:
        size, heads, width = (
            keys.get("vocab_size", 58101),
            keys.get("encoder_attention_heads", 16),
            keys.get("d_model", 1024),
        )
        inner, dropout = keys.get("encoder_ffn_dim", 4096), keys.get("dropout", 0.1)
        attention = keys.get("attention_dropout", 0.0)
        why = "source and target share one vocabulary here"
        keys.must_be("share_encoder_decoder_embeddings", True, why=why)
        keys.must_be("decoder_vocab_size", size, why=why)
        keys.must_be("tie_word_embeddings", True, why="the output matrix is the embedding")
        keys.must_be("decoder_attention_heads", heads, why="encoder and decoder are alike here")
        keys.must_be("decoder_ffn_dim", inner, why="encoder and decoder are alike here")
        keys.must_be("normalize_before", False, why="norms stand after the sublayers")
        keys.must_be("normalize_embedding", False, why="the embedding has no norm")
        keys.must_be("static_position_embeddings", True, why="positions are sinusoidal")
        keys.must_be("add_final_layer_norm", False, why="norms stand after the sublayers")
        layers = keys.get("encoder_layers", 12)
        return {
            "d_model": width, "num_layers": layers, "num_decoder_layers": keys.get("decoder_layers", 12),
            "num_heads": heads, "d_ff": inner, "max_length": keys.get("max_position_embeddings", 1024),
            "positions": "sinusoidal", "norm": "post", "norm_kind": "layer", "embedding_norm": False, "bias": True,
            "layer_norm_epsilon": 1e-5, "activation": keys.activation("activation_function", "gelu"),
            "scale_embeddings": keys.get("scale_embedding", False), "tie_embeddings": True, "output_bias": True,
            "initializer_std": keys.get("init_std", 0.02), "dropout": dropout,
            "attention_dropout": None if attention == dropout else attention,
            "vocab_size": size, "pad_id": keys.get("pad_token_id", 58100),
        }  # fmt: skip

    def config(self, config: ModelConfig, parts: Parts) -> dict[str, Any]:
        return {
            "d_model": config.d_model, "encoder_layers": config.num_layers, "decoder_layers": config.decoder_layers,
            "encoder_attention_heads": config.num_heads, "decoder_attention_heads": config.num_heads,
            "encoder_ffn_dim": config.d_ff, "decoder_ffn_dim": config.d_ff,
            "max_position_embeddings": config.max_length, "activation_function": their_activation(config.activation),
            "scale_embedding": config.scale_embeddings, "init_std": config.initializer_std, "dropout": config.dropout,
            "attention_dropout": config.dropout_of_attention, "activation_dropout": 0.0,
            "vocab_size": config.vocab_size, "decoder_vocab_size": config.vocab_size, "pad_token_id": config.pad_id,
            "share_encoder_decoder_embeddings": True, "tie_word_embeddings": True, "is_encoder_decoder": True,
        }  # fmt: skip

    def limits(self, config: ModelConfig, parts: Parts) -> Iterable[tuple[str, bool]]:
        return [
            *common_limits(config), ("norm", config.norm == "post"), ("norm_kind", config.norm_kind == "layer"),
            ("embedding_norm", not config.has_embedding_norm), ("positions", config.positions == "sinusoidal"),
            ("bias", config.bias), ("layer_norm_epsilon", config.layer_norm_epsilon == 1e-5),
            ("activation", config.activation in ACTIVATIONS.values()),
            ("num_kv_heads", config.kv_heads == config.num_heads),
            ("d_head", config.head_width * config.num_heads == config.d_model), ("d_model", config.d_model % 2 == 0),
            ("scale_attention", config.scale_attention), ("tie_embeddings", config.tie_embeddings),
            ("scale_logits", not config.scale_logits), ("token_types", not config.token_types),
        ]  # fmt: skip

    def parts(self, names: Iterable[str], prefix: str) -> Parts:
        return ("encoder", "decoder", "lm")

    def rows(self, config: ModelConfig, parts: Parts, prefix: str) -> list[Row]:
        rows = [Row("encoder.embedding.tokens.weight", (f"{prefix}shared.weight",))]
        if config.output_bias:
            rows.append(Row("head.bias", ("final_logits_bias",), axes=(1, config.vocab_size)))
        for stack, layers in (("encoder", config.num_layers), ("decoder", config.decoder_layers)):
            for number in range(layers):
                ours, theirs = f"{stack}.layers.{number}", f"{prefix}{stack}.layers.{number}"
                rows += self.layer(config, ours, theirs, stack == "decoder")
        return rows

    def layer(self, config: ModelConfig, ours: str, theirs: str, cross: bool) -> list[Row]:
        """The rows of one layer."""
        own, other = f"{theirs}.self_attn", f"{theirs}.encoder_attn"
        rows = [
            *both(
                f"{ours}.attention.qkv",
                f"{own}.q_proj",
                f"{own}.k_proj",
                f"{own}.v_proj",
                sizes=attention_sizes(config),
            ),
            *both(f"{ours}.attention.output", f"{own}.out_proj"),
            *both(f"{ours}.attention_norm", f"{theirs}.self_attn_layer_norm"),
            *both(f"{ours}.feed_forward.inner", f"{theirs}.fc1"),
            *both(f"{ours}.feed_forward.outer", f"{theirs}.fc2"),
            *both(f"{ours}.feed_forward_norm", f"{theirs}.final_layer_norm"),
        ]
        if cross:
            rows += [
                *both(f"{ours}.cross.query", f"{other}.q_proj"),
                *both(f"{ours}.cross.key_value", f"{other}.k_proj", f"{other}.v_proj"),
                *both(f"{ours}.cross.output", f"{other}.out_proj"),
                *both(f"{ours}.cross_norm", f"{theirs}.encoder_attn_layer_norm"),
            ]
        return rows

    def constants(self, config: ModelConfig, parts: Parts, prefix: str) -> Weights:
        return {} if config.output_bias else {"final_logits_bias": np.zeros((1, config.vocab_size), np.float32)}

    def to_ours(self, weights: Weights, config: ModelConfig) -> Weights:
        # Ours at 2 i is theirs at i, ours at 2 i + 1 theirs at i + D / 2.
        return _reorder(weights, np.arange(config.d_model).reshape(2, -1).T.flatten())

    def to_theirs(self, weights: Weights, config: ModelConfig) -> Weights:
        return _reorder(weights, np.arange(config.d_model).reshape(-1, 2).T.flatten())


def _reorder(weights: Weights, order: NDArray[np.int64]) -> Weights:
    """The same network with the numbers of its residual stream in this order."""

    def move(name: str, value: NDArray[np.float32]) -> NDArray[np.float32]:
        place, _, kind = name.rpartition(".")
        if name == "head.bias" or (kind == "bias" and not place.endswith((*_WRITES, "norm"))):
            return value  # of heads, of inner numbers, or of the vocabulary
        return value[order] if place.endswith((*_WRITES, "norm")) else np.ascontiguousarray(value[:, order])

    return {name: move(name, value) for name, value in weights.items()}


FAMILY = Marian()
