"""ViT (Dosovitskiy et al. 2021): `ViTModel`, `ViTForImageClassification`.

Its classifier stands on the class token alone. Images are of one size: positions are not stretched to another.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, ClassVar

from models.config import ModelConfig
from models.huggingface.family import (
    ACTIVATIONS,
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


class ViT(Family):
    """Patches of pixels, a class token, learned positions, norms before the sublayers."""

    model_type, prefix = "vit", "vit."
    classes: ClassVar = {"": "ViTModel", "image_classifier": "ViTForImageClassification"}
    left_out = (r"^(vit\.)?pooler\.", r"embeddings\.mask_token$")  # for other work than classification

    def architecture(self, keys: Keys) -> dict[str, Any]:
        keys.must_be("qkv_bias", True, why="our biases are in all matrices or in none")
        height, width = _pair(keys, "image_size", 224)
        patch, other = _pair(keys, "patch_size", 16)
        if patch != other:
            raise FolderError(f"{keys.source}: patch_size={[patch, other]} is not supported: patches are squares")
        dropout, attention = keys.get("hidden_dropout_prob", 0.0), keys.get("attention_probs_dropout_prob", 0.0)
        return {
            "d_model": keys.get("hidden_size", 768), "num_layers": keys.get("num_hidden_layers", 12),
            "num_heads": keys.get("num_attention_heads", 12), "d_ff": keys.get("intermediate_size", 3072),
            "positions": "learned", "norm": "pre", "norm_kind": "layer", "embedding_norm": False, "bias": True,
            "layer_norm_epsilon": keys.get("layer_norm_eps", 1e-12),
            "activation": keys.activation("hidden_act", "gelu"), "patch_size": patch, "pooling": "cls",
            "initializer_std": keys.get("initializer_range", 0.02), "dropout": dropout,
            "attention_dropout": None if attention == dropout else attention, "image_height": height,
            "image_width": width, "image_channels": keys.get("num_channels", 3),
        }  # fmt: skip

    def config(self, config: ModelConfig, parts: Parts) -> dict[str, Any]:
        size = config.image_height, config.image_width
        return {
            "hidden_size": config.d_model, "num_hidden_layers": config.num_layers,
            "num_attention_heads": config.num_heads, "intermediate_size": config.d_ff,
            "layer_norm_eps": config.layer_norm_epsilon, "hidden_act": their_activation(config.activation),
            "image_size": size[0] if size[0] == size[1] else list(size), "patch_size": config.patch_size,
            "num_channels": config.image_channels, "qkv_bias": True, "initializer_range": config.initializer_std,
            "hidden_dropout_prob": config.dropout, "attention_probs_dropout_prob": config.dropout_of_attention,
        }  # fmt: skip

    def limits(self, config: ModelConfig, parts: Parts) -> Iterable[tuple[str, bool]]:
        return [
            *common_limits(config), ("image_height", config.image_height > 0), ("patch_size", config.patch_size > 0),
            ("norm", config.norm == "pre"), ("norm_kind", config.norm_kind == "layer"),
            ("embedding_norm", not config.has_embedding_norm), ("positions", config.positions == "learned"),
            ("bias", config.bias), ("activation", config.activation in ACTIVATIONS.values()),
            ("num_kv_heads", config.kv_heads == config.num_heads),
            ("d_head", config.head_width * config.num_heads == config.d_model),
            ("scale_attention", config.scale_attention), ("pooling", config.pooling == "cls"),
        ]  # fmt: skip

    def parts(self, names: Iterable[str], prefix: str) -> Parts:
        return ("encoder", "image_classifier") if "classifier.weight" in set(names) else ("encoder",)

    def rows(self, config: ModelConfig, parts: Parts, prefix: str) -> list[Row]:
        ours, theirs, width = "encoder.embedding", f"{prefix}embeddings", config.d_model
        places = config.image_height * config.image_width // config.patch_size**2 + 1
        rows = [
            *both(f"{ours}.patches", f"{theirs}.patch_embeddings.projection"),
            Row(f"{ours}.class_token.weight", (f"{theirs}.cls_token",), axes=(1, 1, width)),
            Row(f"{ours}.positions.weight", (f"{theirs}.position_embeddings",), axes=(1, places, width)),
            *both("encoder.final_norm", f"{prefix}layernorm"),
        ]
        for number in range(config.num_layers):
            rows += self.layer(config, f"encoder.layers.{number}", f"{prefix}encoder.layer.{number}")
        return rows + (both("classifier.output", "classifier") if "image_classifier" in parts else [])

    def layer(self, config: ModelConfig, ours: str, theirs: str) -> list[Row]:
        """The rows of one layer."""
        own = f"{theirs}.attention.attention"
        return [
            *both(f"{ours}.attention_norm", f"{theirs}.layernorm_before"),
            *both(f"{ours}.attention.qkv", f"{own}.query", f"{own}.key", f"{own}.value", sizes=attention_sizes(config)),
            *both(f"{ours}.attention.output", f"{theirs}.attention.output.dense"),
            *both(f"{ours}.feed_forward_norm", f"{theirs}.layernorm_after"),
            *both(f"{ours}.feed_forward.inner", f"{theirs}.intermediate.dense"),
            *both(f"{ours}.feed_forward.outer", f"{theirs}.output.dense"),
        ]


def _pair(keys: Keys, name: str, default: int) -> tuple[int, int]:
    value = keys.get(name, default)
    pair = (value, value) if isinstance(value, int) else tuple(value)
    if len(pair) != 2 or not all(isinstance(one, int) and one > 0 for one in pair):
        raise FolderError(f"{keys.source}: {name}={value!r} is no size")
    return pair[0], pair[1]


FAMILY = ViT()
