"""ESM (Rives et al. 2021), used here not for proteins but as an encoder with norms before the sublayers.

`EsmModel`, `EsmForMaskedLM`, `EsmForSequenceClassification` with learned positions and no dropout of masked tokens are the
encoder that the `docs` pipeline pretrains; BERT's class has its norms after the sublayers. Positions begin behind
padding's, as RoBERTa's.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, ClassVar

import numpy as np

from models.config import ModelConfig
from models.huggingface.family import Family, Keys, Parts, Row, Weights, attention_sizes, both, common_limits
from models.huggingface.roberta import head_rows, parts_held


class Esm(Family):
    """Norms before the sublayers, GELU, learned positions or RoPE."""

    model_type, prefix = "esm", "esm."
    classes: ClassVar = {
        "": "EsmModel",
        "masked_lm": "EsmForMaskedLM",
        "classifier": "EsmForSequenceClassification",
    }
    left_out = (r"contact_head\.", r"^(esm\.)?pooler\.", r"embeddings\.position_ids$", r"rotary_embeddings\.inv_freq$")
    tied: ClassVar = {"lm_head.decoder.weight": "encoder.embedding.tokens.weight", "lm_head.decoder.bias": "head.bias"}

    def architecture(self, keys: Keys) -> dict[str, Any]:
        keys.must_be("is_decoder", False, why="an encoder is wanted")
        keys.must_be("is_folding_model", False, why="proteins are not folded here")
        keys.must_be("token_dropout", False, why="embeddings are not scaled by how many tokens are masked")
        keys.must_be("tie_word_embeddings", True, why="the output matrix of a masked-LM head is the embedding")
        kind = keys.get("position_embedding_type", "absolute")
        keys.must_be("position_embedding_type", "absolute", "rotary", why="positions are learned or RoPE")
        dropout = keys.get("hidden_dropout_prob", 0.1)
        attention, pad_id = keys.get("attention_probs_dropout_prob", 0.1), keys.get("pad_token_id", 0)
        return {
            "d_model": keys.get("hidden_size", 768), "num_layers": keys.get("num_hidden_layers", 12),
            "num_heads": keys.get("num_attention_heads", 12), "d_ff": keys.get("intermediate_size", 3072),
            "max_length": keys.get("max_position_embeddings", 1026) - pad_id - 1,
            "positions": "learned" if kind == "absolute" else "rope", "rope_base": keys.get("rope_theta", 10_000.0),
            "norm": "pre", "norm_kind": "layer", "embedding_norm": keys.get("emb_layer_norm_before", False),
            "bias": True, "layer_norm_epsilon": keys.get("layer_norm_eps", 1e-12), "activation": "gelu_exact",
            "pooling": "cls", "initializer_std": keys.get("initializer_range", 0.02), "dropout": dropout,
            "attention_dropout": None if attention == dropout else attention,
            "vocab_size": keys.get("vocab_size", 33), "pad_id": pad_id, "mask_id": keys.get("mask_token_id", -1),
        }  # fmt: skip

    def config(self, config: ModelConfig, parts: Parts) -> dict[str, Any]:
        return {
            "hidden_size": config.d_model, "num_hidden_layers": config.num_layers,
            "num_attention_heads": config.num_heads, "intermediate_size": config.d_ff,
            "max_position_embeddings": config.max_length + config.pad_id + 1,
            "position_embedding_type": "absolute" if config.positions == "learned" else "rotary",
            "rope_theta": config.rope_base, "emb_layer_norm_before": config.has_embedding_norm,
            "layer_norm_eps": config.layer_norm_epsilon, "initializer_range": config.initializer_std,
            "hidden_dropout_prob": config.dropout, "attention_probs_dropout_prob": config.dropout_of_attention,
            "token_dropout": False, "mask_token_id": config.mask_id, "is_folding_model": False,
            "vocab_size": config.vocab_size, "pad_token_id": config.pad_id, "tie_word_embeddings": True,
        }  # fmt: skip

    def limits(self, config: ModelConfig, parts: Parts) -> Iterable[tuple[str, bool]]:
        return [
            *common_limits(config),
            ("image_height", not config.image_height),
            ("norm", config.norm == "pre"),
            ("norm_kind", config.norm_kind == "layer"),
            ("positions", config.positions in ("learned", "rope")),
            ("bias", config.bias),
            ("activation", config.activation == "gelu_exact"),
            ("token_types", not config.token_types),
            ("num_kv_heads", config.kv_heads == config.num_heads),
            ("d_head", config.head_width * config.num_heads == config.d_model),
            ("scale_embeddings", not config.scale_embeddings),
            ("scale_attention", config.scale_attention),
            ("pooling", "classifier" not in parts or config.pooling == "cls"),
            # Its RoPE base is fixed, so it cannot differ between layers.
            ("window_rope_base", not config.window_rope_base),
        ]

    def parts(self, names: Iterable[str], prefix: str) -> Parts:
        return parts_held(names)

    def rows(self, config: ModelConfig, parts: Parts, prefix: str) -> list[Row]:
        ours, theirs = "encoder.embedding", f"{prefix}embeddings"
        rows = [
            Row(f"{ours}.tokens.weight", (f"{theirs}.word_embeddings.weight",)),
            *both("encoder.final_norm", f"{prefix}encoder.emb_layer_norm_after"),
        ]
        if config.positions == "learned":
            table = f"{theirs}.position_embeddings.weight"
            rows.append(Row(f"{ours}.positions.weight", (table,), skipped=config.pad_id + 1))
        if config.has_embedding_norm:
            rows += both(f"{ours}.norm", f"{theirs}.layer_norm")
        for number in range(config.num_layers):
            rows += self.layer(config, f"encoder.layers.{number}", f"{prefix}encoder.layer.{number}")
        return rows + head_rows(parts)

    def layer(self, config: ModelConfig, ours: str, theirs: str) -> list[Row]:
        """The rows of one layer."""
        own = f"{theirs}.attention.self"
        return [
            *both(f"{ours}.attention_norm", f"{theirs}.attention.LayerNorm"),
            *both(f"{ours}.attention.qkv", f"{own}.query", f"{own}.key", f"{own}.value", sizes=attention_sizes(config)),
            *both(f"{ours}.attention.output", f"{theirs}.attention.output.dense"),
            *both(f"{ours}.feed_forward_norm", f"{theirs}.LayerNorm"),
            *both(f"{ours}.feed_forward.inner", f"{theirs}.intermediate.dense"),
            *both(f"{ours}.feed_forward.outer", f"{theirs}.output.dense"),
        ]

    def constants(self, config: ModelConfig, parts: Parts, prefix: str) -> Weights:
        # A head that guesses which parts of a protein touch; every class has it, and none asks it.
        shapes = {"weight": (1, config.num_layers * config.num_heads), "bias": (1,)}
        found = {f"{prefix}contact_head.regression.{name}": np.zeros(s, np.float32) for name, s in shapes.items()}
        if config.positions == "rope":  # a table that it keeps among its weights
            rates = config.rope_base ** (-np.arange(0, config.head_width, 2) / config.head_width)
            found[f"{prefix}rotary_embeddings.inv_freq"] = rates.astype(np.float32)
        return found


FAMILY = Esm()
