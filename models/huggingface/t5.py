"""T5 and T5 1.1 (Raffel et al. 2020): `T5ForConditionalGeneration`, `T5Model`.

T5 divides by sqrt(d_model) before its tied output matrix; 1.1 has an output matrix of its own, and a gate with GELU. The
biases of relative positions are in the first layer of each stack and serve all.
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


class T5(Family):
    """Norms before the sublayers, RMSNorm, relative positions, no biases and no scale of scores."""

    model_type, kind = "t5", "both"
    classes: ClassVar = {"": "T5Model", "lm": "T5ForConditionalGeneration"}
    # Older folders hold a bias in the first cross-attention, which no release of transformers has used since 3.
    left_out = (r"^decoder\.block\.0\.layer\.1\.EncDecAttention\.relative_attention_bias\.weight$",)
    tied: ClassVar = {
        "encoder.embed_tokens.weight": "encoder.embedding.tokens.weight",
        "decoder.embed_tokens.weight": "encoder.embedding.tokens.weight",
        "lm_head.weight": "encoder.embedding.tokens.weight",
    }

    def architecture(self, keys: Keys) -> dict[str, Any]:
        keys.must_be("is_encoder_decoder", True, why="encoder and decoder are wanted")
        gate, _, name = str(keys.get("feed_forward_proj", "relu")).rpartition("-")
        # "gated-gelu" has the approximation by tanh (T5Config)
        function = "gelu_new" if (gate, name) == ("gated", "gelu") else name
        activation = Keys({"feed_forward_proj": function}, keys.source).activation("feed_forward_proj", "relu")
        if gate not in ("", "gated") or (gate and activation not in GATES):
            projection = keys.get("feed_forward_proj", "")
            raise FolderError(f"{keys.source}: feed_forward_proj={projection!r} is not supported")
        layers = keys.get("num_layers", 6)
        scaled = keys.get("scale_decoder_outputs", keys.get("tie_word_embeddings", True))
        return {
            "d_model": keys.get("d_model", 512), "num_layers": layers,
            "num_decoder_layers": keys.get("num_decoder_layers", layers), "num_heads": keys.get("num_heads", 8),
            "d_head": keys.get("d_kv", 64), "d_ff": keys.get("d_ff", 2048), "max_length": keys.get("n_positions", 512),
            "positions": "relative", "relative_buckets": keys.get("relative_attention_num_buckets", 32),
            "relative_distance": keys.get("relative_attention_max_distance", 128), "scale_attention": False,
            "norm": "pre", "norm_kind": "rms", "layer_norm_epsilon": keys.get("layer_norm_epsilon", 1e-6),
            "bias": False, "activation": GATES[activation] if gate else activation, "scale_logits": scaled,
            "dropout": keys.get("dropout_rate", 0.1), "vocab_size": keys.get("vocab_size", 32128),
            "pad_id": keys.get("pad_token_id", 0),
        }  # fmt: skip

    def config(self, config: ModelConfig, parts: Parts) -> dict[str, Any]:
        gates = {gated: their_activation(plain) for plain, gated in GATES.items()}
        plain = their_activation(config.activation)
        gated = "gelu" if config.activation == "geglu_tanh" else gates.get(config.activation)
        return {
            "d_model": config.d_model, "num_layers": config.num_layers, "num_decoder_layers": config.decoder_layers,
            "num_heads": config.num_heads, "d_kv": config.head_width, "d_ff": config.d_ff,
            "n_positions": config.max_length, "relative_attention_num_buckets": config.relative_buckets,
            "relative_attention_max_distance": config.relative_distance,
            "layer_norm_epsilon": config.layer_norm_epsilon,
            "feed_forward_proj": f"gated-{gated}" if config.has_gate else plain, "dropout_rate": config.dropout,
            "vocab_size": config.vocab_size, "pad_token_id": config.pad_id, "decoder_start_token_id": config.pad_id,
            # transformers scales logits if this is set, and ties the matrices if there is only one
            "tie_word_embeddings": config.scale_logits, "is_encoder_decoder": True,
        }  # fmt: skip

    def limits(self, config: ModelConfig, parts: Parts) -> Iterable[tuple[str, bool]]:
        return [
            *common_limits(config), ("norm", config.norm == "pre"), ("norm_kind", config.norm_kind == "rms"),
            ("embedding_norm", not config.has_embedding_norm), ("positions", config.positions == "relative"),
            ("bias", not config.bias), ("scale_attention", not config.scale_attention),
            ("activation", config.activation != "geglu"),  # T5Config takes "gated-gelu" for the one by tanh
            ("num_kv_heads", config.kv_heads == config.num_heads), ("token_types", not config.token_types),
            ("scale_embeddings", not config.scale_embeddings), ("output_bias", not config.output_bias),
            ("tie_embeddings", config.tie_embeddings or not config.scale_logits),
        ]  # fmt: skip

    def parts(self, names: Iterable[str], prefix: str) -> Parts:
        return ("encoder", "decoder", "lm")

    def refine(self, found: dict[str, Any], shapes: Mapping[str, tuple[int, ...]]) -> dict[str, Any]:
        # Tied or not, T5's config does not say (T5Config makes it True): the file does.
        return {**found, "tie_embeddings": found["scale_logits"] or "lm_head.weight" not in shapes}

    def rows(self, config: ModelConfig, parts: Parts, prefix: str) -> list[Row]:
        rows = [Row("encoder.embedding.tokens.weight", ("shared.weight",))]
        if not config.tie_embeddings:
            rows.append(Row("head.output.weight", ("lm_head.weight",)))
        for stack, layers in (("encoder", config.num_layers), ("decoder", config.decoder_layers)):
            first = f"{stack}.block.0.layer.0.SelfAttention.relative_attention_bias.weight"
            rows.append(Row(f"{stack}.final_norm.weight", (f"{stack}.final_layer_norm.weight",)))
            rows.append(Row(f"{stack}.relative.weight", (first,)))
            for number in range(layers):
                rows += self.block(config, f"{stack}.layers.{number}", f"{stack}.block.{number}", stack == "decoder")
        return rows

    def block(self, config: ModelConfig, ours: str, theirs: str, cross: bool) -> list[Row]:
        """The rows of one layer."""
        own, sizes = f"{theirs}.layer.0.SelfAttention", attention_sizes(config)
        rows = [
            *both(f"{ours}.attention.qkv", f"{own}.q", f"{own}.k", f"{own}.v", bias=False, sizes=sizes),
            *both(f"{ours}.attention.output", f"{own}.o", bias=False),
            *both(f"{ours}.attention_norm", f"{theirs}.layer.0.layer_norm", bias=False),
        ]
        if cross:
            other = f"{theirs}.layer.1.EncDecAttention"
            rows += [
                *both(f"{ours}.cross.query", f"{other}.q", bias=False),
                *both(f"{ours}.cross.key_value", f"{other}.k", f"{other}.v", bias=False),
                *both(f"{ours}.cross.output", f"{other}.o", bias=False),
                *both(f"{ours}.cross_norm", f"{theirs}.layer.1.layer_norm", bias=False),
            ]
        last = f"{theirs}.layer.{2 if cross else 1}"
        inner = [f"{last}.DenseReluDense.{one}" for one in (("wi_0", "wi_1") if config.has_gate else ("wi",))]
        return [
            *rows,
            *both(f"{ours}.feed_forward.inner", *inner, bias=False),
            *both(f"{ours}.feed_forward.outer", f"{last}.DenseReluDense.wo", bias=False),
            *both(f"{ours}.feed_forward_norm", f"{last}.layer_norm", bias=False),
        ]


FAMILY = T5()
