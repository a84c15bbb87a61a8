"""Short notes on the modules of the tree: input and output shapes, and the config choice behind each.

Shapes: B batch, T length (of an encoder-decoder's decoder: of the target), S source length.
"""

from __future__ import annotations

from models.config import ModelConfig
from models.show.subject import Subject


def note(path: tuple[str, ...], subject: Subject) -> str:
    """A note on the module at this path; empty if the config has none."""
    if not path or not subject.is_text_transformer:
        return ""
    config, name, side = subject.config, path[-1], path[0]
    length = "S" if side == "encoder" and subject.part == "encoder_decoder" else "T"
    width = config.d_model
    if len(path) == 1:
        return _of_a_child(side, subject, length)
    if name == "embedding":
        return _embedding(config)
    if name == "positions":
        return "learned: a vector for each position"
    if name == "pairs":
        return "a vector for each hash of a token and the one before it, added"
    if name == "types":
        return "a vector for each kind of segment"
    if name == "layers" or (path[-2] == "layers" and name[:1].isdigit()):
        return _layers(config, side)
    if name == "attention":
        return _attention(config, length, causal=side == "decoder")
    if name == "cross":
        return f"{_heads(config)}, to the encoder's memory: scores [B, {config.num_heads}, T, S]"
    if name == "feed_forward":
        return f"[B, {length}, {width}] -> [.., {config.d_ff}] -> [B, {length}, {width}], {config.activation}"
    if name == "relative":
        return "T5's bias on scores, for each bucket of distances and head, of all layers"
    return _norm(config, name) if name.endswith("norm") else ""


def _of_a_child(name: str, subject: Subject, length: str) -> str:
    config = subject.config
    if name in ("encoder", "decoder"):
        also = ", memory [B, S, D]" if name == "decoder" and subject.part == "encoder_decoder" else ""
        return f"[B, {length}]{also} -> [B, {length}, {config.d_model}]"
    if name == "head":
        tied = subject.head == "masked_lm" or config.tie_embeddings
        return f"-> logits [.., {config.vocab_size}]{', times the embedding (tied)' if tied else ''}"
    return f"[B, T, {config.d_model}], pooled by {config.pooling} -> logits" if name == "classifier" else ""


def _embedding(config: ModelConfig) -> str:
    parts = {
        "sinusoidal": "sines of the position added",
        "rope": "positions: RoPE in the attention",
        "alibi": "positions: ALiBi's bias on scores",
        "relative": "positions: a bias on scores",
        "none": "no positions",
    }
    notes = [parts[config.positions]] if config.positions in parts else []
    if config.scale_embeddings:
        notes.insert(0, "times sqrt(d_model)")
    return ", ".join(notes)


def _layers(config: ModelConfig, side: str) -> str:
    notes = [f"norm {'before' if config.norm == 'pre' else 'after'} each sublayer"]
    count = config.num_layers if side == "encoder" else config.decoder_layers
    if config.share_layers:
        notes.append(f"one layer, used {count} times")
    if config.window and config.global_every:
        notes.append(
            f"window {config.window}, but layers 0, {config.global_every}, {2 * config.global_every} … look at all"
        )
    elif config.window:
        notes.append(f"window {config.window}")
    return ", ".join(notes)


def _attention(config: ModelConfig, length: str, *, causal: bool) -> str:
    turned = {"rope": ", RoPE", "alibi": ", ALiBi"}.get(config.positions, "")
    past = "causal, " if causal else ""
    return f"{past}{_heads(config)}{turned}: scores [B, {config.num_heads}, {length}, {length}]"


def _heads(config: ModelConfig) -> str:
    grouped = f", {config.kv_heads} of keys and values" if config.kv_heads != config.num_heads else ""
    return f"{config.num_heads} heads of {config.head_width}{grouped}"


def _norm(config: ModelConfig, name: str) -> str:
    kind = "RMSNorm" if config.norm_kind == "rms" else "LayerNorm"
    return f"{kind}, epsilon {config.layer_norm_epsilon:g}" if name in ("final_norm", "norm") else kind
