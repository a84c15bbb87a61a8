"""Distance of our logits from those of `transformers`, with the same weights, in float32: one line per architecture.

    python -m benchmarks.parity

Each network is built by `transformers` from a small config, its weights drawn by seed (biases and norms too, which start at
0 and 1 otherwise), saved as it saves them, and read by `models.huggingface`. Nothing is downloaded. The tests ask for the
same figures (`tests/models/huggingface/test_parity.py`).
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

BAR = 1e-5
VOCABULARY, LONGEST = 61, 24
_LENGTHS = (17, 24, 3, 9)


@dataclass(frozen=True)
class Case:
    """A class of `transformers` and its small config."""

    cls: str
    config: dict[str, Any] = field(default_factory=dict)


_BODY = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 48,
    "vocab_size": VOCABULARY,
    "max_position_embeddings": LONGEST,
    "initializer_range": 0.2,
}
_DISTILLED = {
    "dim": 32,
    "n_layers": 2,
    "n_heads": 4,
    "hidden_dim": 48,
    "vocab_size": VOCABULARY,
    "max_position_embeddings": LONGEST,
    "initializer_range": 0.2,
}
_GPT2 = {
    "n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": LONGEST, "vocab_size": VOCABULARY, "eos_token_id": 1,
    "bos_token_id": 1, "initializer_range": 0.2,
}  # fmt: skip
_T5 = {
    "d_model": 32, "d_kv": 12, "d_ff": 48, "num_layers": 2, "num_decoder_layers": 3, "num_heads": 4,
    "vocab_size": VOCABULARY, "relative_attention_num_buckets": 8, "relative_attention_max_distance": 16,
    "decoder_start_token_id": 0,
}  # fmt: skip
_GATED = {"feed_forward_proj": "gated-gelu", "tie_word_embeddings": False, "initializer_factor": 0.3}
_MARIAN = {
    "d_model": 32, "encoder_layers": 2, "decoder_layers": 3, "encoder_attention_heads": 4,
    "decoder_attention_heads": 4, "encoder_ffn_dim": 48, "decoder_ffn_dim": 48, "vocab_size": VOCABULARY,
    "max_position_embeddings": LONGEST, "pad_token_id": 60, "decoder_start_token_id": 60, "eos_token_id": 0,
    "forced_eos_token_id": None, "scale_embedding": True, "activation_function": "swish", "init_std": 0.2,
}  # fmt: skip
_VIT = {
    "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 48, "image_size": 8,
    "patch_size": 2, "num_channels": 3, "initializer_range": 0.2,
}  # fmt: skip
_ROBERTA = _BODY | {"max_position_embeddings": LONGEST + 2, "type_vocab_size": 1}
_ESM = _BODY | {
    "pad_token_id": 0,
    "mask_token_id": 4,
    "max_position_embeddings": LONGEST + 1,
    "emb_layer_norm_before": False,
    "position_embedding_type": "absolute",
    "token_dropout": False,
}

CASES = {
    "bert": Case("BertForMaskedLM", _BODY),
    "bert-classifier": Case("BertForSequenceClassification", _BODY | {"num_labels": 3}),
    "bert-body": Case("BertModel", _BODY),
    "roberta": Case("RobertaForMaskedLM", _ROBERTA),
    "roberta-classifier": Case("RobertaForSequenceClassification", _ROBERTA | {"num_labels": 3}),
    "distilbert": Case("DistilBertForMaskedLM", _DISTILLED),
    "esm": Case("EsmForMaskedLM", _ESM),
    "esm-rotary": Case("EsmForMaskedLM", _ESM | {"position_embedding_type": "rotary"}),
    "esm-classifier": Case("EsmForSequenceClassification", _ESM | {"emb_layer_norm_before": True, "num_labels": 3}),
    "gpt2": Case("GPT2LMHeadModel", _GPT2),
    "llama": Case("LlamaForCausalLM", _BODY | {"num_key_value_heads": 2, "rope_theta": 500.0}),
    "llama-tied": Case("LlamaForCausalLM", _BODY | {"head_dim": 16, "tie_word_embeddings": True}),
    "t5": Case("T5ForConditionalGeneration", _T5),
    "t5-gated": Case("T5ForConditionalGeneration", _T5 | _GATED),
    "marian": Case("MarianMTModel", _MARIAN),
    "vit": Case("ViTForImageClassification", _VIT | {"num_labels": 3}),
    "vit-body": Case("ViTModel", _VIT | {"image_size": [8, 12]}),
}


def build(name: str, **changes: Any) -> Any:
    """A model of `transformers` with weights drawn by seed, in evaluation mode; `changes` are of its config."""
    import torch
    import transformers

    case = CASES[name]
    transformers.logging.set_verbosity_error()  # type: ignore[no-untyped-call]
    transformers.logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    torch.manual_seed(0)
    kind = getattr(transformers, case.cls)
    model = kind(kind.config_class(**case.config | changes)).eval()
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn(parameter.shape, generator=generator))
        for kept, buffer in model.named_buffers():
            if kept == "final_logits_bias":
                buffer.add_(torch.randn(buffer.shape, generator=generator))
        for kept, parameter in model.named_parameters():
            if "embed_positions" in kept:  # of Marian: computed
                parameter.copy_(model.model.encoder.embed_positions.create_weight())
            if kept.endswith("position_embeddings.weight") and name.startswith(("roberta", "esm")):
                parameter[: model.config.pad_token_id + 1] = 0  # rows that are never looked at
    return model


def sequences(seed: int = 2, lowest: int = 5) -> tuple[Any, Any]:
    """Token ids and mask [B, T], of mixed lengths."""
    import torch

    generator = torch.Generator().manual_seed(seed)
    ids = torch.randint(lowest, VOCABULARY - 1, (len(_LENGTHS), max(_LENGTHS)), generator=generator)
    mask = torch.arange(max(_LENGTHS)) < torch.tensor(_LENGTHS).unsqueeze(-1)
    return ids, mask


def compare(model: Any, folder: Path) -> tuple[float, float]:
    """The largest difference between the model's logits and ours, read from its folder, and the largest of its logits."""
    import torch

    from models.huggingface import read
    from models.torch.with_heads import assemble, fill

    pretrained = read(folder)
    network = fill(assemble(pretrained.config, pretrained.parts, len(pretrained.labels)), pretrained.weights)
    with torch.no_grad():
        theirs, ours = _OF[_kind(pretrained)](model, network)
    return float((theirs - ours).abs().max()), float(theirs.abs().max())


def _kind(pretrained: Any) -> str:
    if pretrained.family == "vit":
        return "images"
    return "both" if {"encoder", "decoder"} <= set(pretrained.parts) else str(pretrained.parts[0])


def _encoders(model: Any, network: Any) -> tuple[Any, Any]:
    ids, mask = sequences()
    ids = ids.where(mask, model.config.pad_token_id)
    theirs, memory = model(input_ids=ids, attention_mask=mask.long()), network.encoder(ids, mask)
    if "classifier" in network.heads:
        return theirs.logits, network.classifier(memory, mask)
    if "head" not in network.heads:
        return theirs.last_hidden_state[mask], memory[mask]
    return theirs.logits[mask], network.head(memory[mask], network.encoder.embedding.tokens.weight)


def _images(model: Any, network: Any) -> tuple[Any, Any]:
    import torch

    sides = network.encoder.config
    shape = (3, sides.image_channels, sides.image_height, sides.image_width)
    pixels = torch.rand(shape, generator=torch.Generator().manual_seed(4))
    theirs, memory = model(pixel_values=pixels), network.encoder(pixels)
    if "classifier" in network.heads:
        return theirs.logits, network.classifier(memory, None)
    return theirs.last_hidden_state, memory


def _decoders(model: Any, network: Any) -> tuple[Any, Any]:
    ids, mask = sequences()
    theirs = model(input_ids=ids, attention_mask=mask.long()).logits
    hidden = network.decoder(ids, mask)
    return theirs[mask], network.head(hidden[mask], network.decoder.embedding.tokens.weight)


def _translators(model: Any, network: Any) -> tuple[Any, Any]:
    ids, mask = sequences()
    ids = ids.where(mask, model.config.pad_token_id)
    target, target_mask = sequences(3)
    target[:, 0] = model.config.decoder_start_token_id
    theirs = model(
        input_ids=ids, attention_mask=mask.long(), decoder_input_ids=target, decoder_attention_mask=target_mask.long()
    ).logits
    memory = network.encoder(ids, mask)
    hidden = network.decoder(target, target_mask, memory=memory, memory_mask=mask)
    ours = network.head(hidden, network.encoder.embedding.tokens.weight)
    return theirs[target_mask], ours[target_mask]


_OF: dict[str, Callable[[Any, Any], tuple[Any, Any]]] = {
    "encoder": _encoders,
    "images": _images,
    "decoder": _decoders,
    "both": _translators,
}


def main() -> None:
    """Measure and keep the figures."""
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    from benchmarks.results import keep

    figures = []
    for name, case in CASES.items():
        with tempfile.TemporaryDirectory(prefix="glassformer-") as folder:
            model = build(name)
            model.save_pretrained(folder)
            found, largest = compare(model, Path(folder))
        figures.append({
            "what": f"logits of {name} ({case.cls}) from those of transformers, float32, the largest {largest:.1f}",
            "value": float(f"{found:.1e}"), "unit": "", "bar": f"at most {BAR:g}", "ok": found <= BAR, "detail": True,
        })  # fmt: skip
    farthest = max(figures, key=lambda figure: figure["value"])
    what = f"logits of {len(figures)} architectures from those of transformers, float32, the farthest"
    figures.append({**farthest, "what": what, "ok": all(figure["ok"] for figure in figures), "detail": False})
    keep("parity", "python -m benchmarks.parity", figures)


if __name__ == "__main__":
    main()
