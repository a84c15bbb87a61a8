"""BERT (Devlin et al. 2019): `BertModel`, `BertForMaskedLM`, `BertForPreTraining`, `BertForSequenceClassification`.

Its pooler is our classifier's `dense` (Devlin et al. 2019, section 3.2; google-research/bert, modeling.py).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, ClassVar

import numpy as np

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


class Bert(Family):
    """Norms after the sublayers, learned positions, segments."""

    model_type, prefix = "bert", "bert."
    classes: ClassVar = {"": "BertModel", "masked_lm": "BertForMaskedLM", "classifier": "BertForSequenceClassification"}
    left_out = (r"embeddings\.position_ids$", r"^cls\.seq_relationship\.")  # a buffer; the next-sentence head
    tied: ClassVar = {
        "cls.predictions.decoder.weight": "encoder.embedding.tokens.weight",
        "cls.predictions.decoder.bias": "head.bias",
    }

    def architecture(self, keys: Keys) -> dict[str, Any]:
        keys.must_be("position_embedding_type", "absolute", why="relative positions of this kind are not ours")
        keys.must_be("is_decoder", False, why="an encoder is wanted; for a decoder take GPT-2 or Llama")
        keys.must_be("add_cross_attention", False, why="an encoder is wanted")
        keys.must_be("tie_word_embeddings", True, why="the output matrix of a masked-LM head is the embedding")
        dropout = keys.get("hidden_dropout_prob", 0.1)
        attention = keys.get("attention_probs_dropout_prob", 0.1)
        return {
            "d_model": keys.get("hidden_size", 768), "num_layers": keys.get("num_hidden_layers", 12),
            "num_heads": keys.get("num_attention_heads", 12), "d_ff": keys.get("intermediate_size", 3072),
            "max_length": keys.get("max_position_embeddings", 512) - self.offset_of(keys.get("pad_token_id", 0)),
            "positions": "learned", "norm": "post", "norm_kind": "layer", "embedding_norm": True, "bias": True,
            "layer_norm_epsilon": keys.get("layer_norm_eps", 1e-12),
            "activation": keys.activation("hidden_act", "gelu"),
            "token_types": keys.get("type_vocab_size", 2), "pooling": "cls",
            "initializer_std": keys.get("initializer_range", 0.02),
            "dropout": dropout, "attention_dropout": None if attention == dropout else attention,
            "vocab_size": keys.get("vocab_size", 30522), "pad_id": keys.get("pad_token_id", 0),
        }  # fmt: skip

    def offset_of(self, pad_id: int) -> int:
        """Rows of the position table that come before that of the first position."""
        return 0

    def config(self, config: ModelConfig, parts: Parts) -> dict[str, Any]:
        offset = self.offset_of(config.pad_id)
        return {
            "hidden_size": config.d_model, "num_hidden_layers": config.num_layers,
            "num_attention_heads": config.num_heads, "intermediate_size": config.d_ff,
            "max_position_embeddings": config.max_length + offset, "layer_norm_eps": config.layer_norm_epsilon,
            "hidden_act": their_activation(config.activation), "type_vocab_size": max(config.token_types, 1),
            "initializer_range": config.initializer_std, "hidden_dropout_prob": config.dropout,
            "attention_probs_dropout_prob": config.dropout_of_attention, "classifier_dropout": config.dropout,
            "vocab_size": config.vocab_size, "pad_token_id": config.pad_id, "tie_word_embeddings": True,
        }  # fmt: skip

    def limits(self, config: ModelConfig, parts: Parts) -> Iterable[tuple[str, bool]]:
        return [*common_limits(config), ("image_height", not config.image_height), *post_norm_limits(config, parts)]

    def parts(self, names: Iterable[str], prefix: str) -> Parts:
        held = set(names)
        heads = {
            "masked_lm": "cls.predictions.transform.dense.weight",
            "classifier": "classifier.weight",
            "pooler": f"{prefix}pooler.dense.weight",
        }
        found = [part for part, name in heads.items() if name in held]
        return ("encoder", *[part for part in found if part != "pooler" or "classifier" not in found])

    def rows(self, config: ModelConfig, parts: Parts, prefix: str) -> list[Row]:
        rows = self.body(config, prefix)
        if "masked_lm" in parts:
            rows += both("head.dense", "cls.predictions.transform.dense")
            rows += both("head.norm", "cls.predictions.transform.LayerNorm")
            rows += [Row("head.bias", ("cls.predictions.bias",))]
        if "pooler" in parts or "classifier" in parts:
            rows += both("classifier.dense", f"{prefix}pooler.dense")
        return rows + (both("classifier.output", "classifier") if "classifier" in parts else [])

    def body(self, config: ModelConfig, prefix: str) -> list[Row]:
        """The encoder's rows."""
        ours, theirs = "encoder.embedding", f"{prefix}embeddings"
        rows = [
            Row(f"{ours}.tokens.weight", (f"{theirs}.word_embeddings.weight",)),
            Row(
                f"{ours}.positions.weight",
                (f"{theirs}.position_embeddings.weight",),
                skipped=self.offset_of(config.pad_id),
            ),
            *both(f"{ours}.norm", f"{theirs}.LayerNorm"),
        ]
        if config.token_types:
            rows.append(Row(f"{ours}.types.weight", (f"{theirs}.token_type_embeddings.weight",)))
        for number in range(config.num_layers):
            rows += layer(config, f"encoder.layers.{number}", f"{prefix}encoder.layer.{number}")
        return rows

    def constants(self, config: ModelConfig, parts: Parts, prefix: str) -> Weights:
        if config.token_types:
            return {}
        return {f"{prefix}embeddings.token_type_embeddings.weight": np.zeros((1, config.d_model), np.float32)}


def layer(config: ModelConfig, ours: str, theirs: str) -> list[Row]:
    """One layer of BERT or RoBERTa."""
    own = f"{theirs}.attention.self"
    return [
        *both(f"{ours}.attention.qkv", f"{own}.query", f"{own}.key", f"{own}.value", sizes=attention_sizes(config)),
        *both(f"{ours}.attention.output", f"{theirs}.attention.output.dense"),
        *both(f"{ours}.attention_norm", f"{theirs}.attention.output.LayerNorm"),
        *both(f"{ours}.feed_forward.inner", f"{theirs}.intermediate.dense"),
        *both(f"{ours}.feed_forward.outer", f"{theirs}.output.dense"),
        *both(f"{ours}.feed_forward_norm", f"{theirs}.output.LayerNorm"),
    ]


def post_norm_limits(config: ModelConfig, parts: Parts) -> list[tuple[str, bool]]:
    """Limits that encoders of BERT's kind have in common."""
    return [
        ("norm", config.norm == "post"),
        ("norm_kind", config.norm_kind == "layer"),
        ("embedding_norm", config.has_embedding_norm),
        ("positions", config.positions == "learned"),
        ("bias", config.bias),
        ("activation", config.activation in ACTIVATIONS.values()),
        ("num_kv_heads", config.kv_heads == config.num_heads),
        ("d_head", config.head_width * config.num_heads == config.d_model),
        ("scale_embeddings", not config.scale_embeddings),
        ("scale_attention", config.scale_attention),
        # BERT's masked-LM head has the body's activation; ours has GELU.
        ("activation", "masked_lm" not in parts or config.activation == "gelu_exact"),
        ("pooling", "classifier" not in parts or config.pooling == "cls"),
    ]


FAMILY = Bert()
