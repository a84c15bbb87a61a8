"""DistilBERT (Sanh et al. 2019, arXiv 1910.01108): BERT without segments and pooler.

Its classifier has ReLU where ours has tanh, so only the body is imported, and a new classifier is trained.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, ClassVar

from models.config import ModelConfig
from models.huggingface.bert import post_norm_limits
from models.huggingface.family import Family, Keys, Parts, Row, attention_sizes, both, common_limits, their_activation


class DistilBert(Family):
    """`DistilBertModel`, `DistilBertForMaskedLM`; of `DistilBertForSequenceClassification` the body."""

    model_type, prefix = "distilbert", "distilbert."
    classes: ClassVar = {"": "DistilBertModel", "masked_lm": "DistilBertForMaskedLM"}
    left_out = (r"^(pre_)?classifier\.",)
    tied: ClassVar = {"vocab_projector.weight": "encoder.embedding.tokens.weight"}

    def architecture(self, keys: Keys) -> dict[str, Any]:
        keys.must_be("tie_word_embeddings", True, why="the output matrix of a masked-LM head is the embedding")
        dropout, attention = keys.get("dropout", 0.1), keys.get("attention_dropout", 0.1)
        return {
            "d_model": keys.get("dim", 768), "num_layers": keys.get("n_layers", 6), "num_heads": keys.get("n_heads", 12),
            "d_ff": keys.get("hidden_dim", 3072), "max_length": keys.get("max_position_embeddings", 512),
            # Sinusoidal ones are in the folder as a table like any other.
            "positions": "learned", "norm": "post", "norm_kind": "layer", "embedding_norm": True, "bias": True,
            "layer_norm_epsilon": 1e-12, "activation": keys.activation("activation", "gelu"), "token_types": 0,
            "pooling": "cls", "initializer_std": keys.get("initializer_range", 0.02), "dropout": dropout,
            "attention_dropout": None if attention == dropout else attention,
            "vocab_size": keys.get("vocab_size", 30522), "pad_id": keys.get("pad_token_id", 0),
        }  # fmt: skip

    def config(self, config: ModelConfig, parts: Parts) -> dict[str, Any]:
        return {
            "dim": config.d_model, "n_layers": config.num_layers, "n_heads": config.num_heads,
            "hidden_dim": config.d_ff, "max_position_embeddings": config.max_length, "sinusoidal_pos_embds": False,
            "activation": their_activation(config.activation), "initializer_range": config.initializer_std,
            "dropout": config.dropout, "attention_dropout": config.dropout_of_attention,
            "vocab_size": config.vocab_size, "pad_token_id": config.pad_id, "tie_word_embeddings": True,
        }  # fmt: skip

    def limits(self, config: ModelConfig, parts: Parts) -> Iterable[tuple[str, bool]]:
        return [
            *common_limits(config),
            ("image_height", not config.image_height),
            *post_norm_limits(config, parts),
            ("token_types", not config.token_types),
            ("layer_norm_epsilon", config.layer_norm_epsilon == 1e-12),
            ("task", "classifier" not in parts),
        ]

    def parts(self, names: Iterable[str], prefix: str) -> Parts:
        return ("encoder", "masked_lm") if "vocab_transform.weight" in set(names) else ("encoder",)

    def rows(self, config: ModelConfig, parts: Parts, prefix: str) -> list[Row]:
        ours, theirs = "encoder.embedding", f"{prefix}embeddings"
        rows = [
            Row(f"{ours}.tokens.weight", (f"{theirs}.word_embeddings.weight",)),
            Row(f"{ours}.positions.weight", (f"{theirs}.position_embeddings.weight",)),
            *both(f"{ours}.norm", f"{theirs}.LayerNorm"),
        ]
        for number in range(config.num_layers):
            rows += self.layer(config, f"encoder.layers.{number}", f"{prefix}transformer.layer.{number}")
        if "masked_lm" in parts:
            rows += both("head.dense", "vocab_transform") + both("head.norm", "vocab_layer_norm")
            rows.append(Row("head.bias", ("vocab_projector.bias",)))
        return rows

    def layer(self, config: ModelConfig, ours: str, theirs: str) -> list[Row]:
        """The rows of one layer."""
        own = f"{theirs}.attention"
        return [
            *both(
                f"{ours}.attention.qkv", f"{own}.q_lin", f"{own}.k_lin", f"{own}.v_lin", sizes=attention_sizes(config)
            ),
            *both(f"{ours}.attention.output", f"{own}.out_lin"),
            *both(f"{ours}.attention_norm", f"{theirs}.sa_layer_norm"),
            *both(f"{ours}.feed_forward.inner", f"{theirs}.ffn.lin1"),
            *both(f"{ours}.feed_forward.outer", f"{theirs}.ffn.lin2"),
            *both(f"{ours}.feed_forward_norm", f"{theirs}.output_layer_norm"),
        ]


FAMILY = DistilBert()
