"""A checkpoint -> a folder that `transformers` loads with AutoModel... and AutoTokenizer, without extra code."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

from models.export.checkpoint import Checkpoint
from models.export.sentencepiece_json import convert, exact
from models.huggingface import family_of, write

# Files of a tokenizer of ours (artifacts/tokenizer.py), and their names over there.
_MARIAN = {"tokenizer.model": "source.spm", "target.model": "target.spm", "vocabulary.json": "vocab.json"}
_OURS = {"pad": 0, "unk": 1, "cls": 2, "sep": 3, "mask": 4, "all": [0, 1, 2, 3, 4], "opens": True}
_NAMES = {"pad": "[PAD]", "unk": "[UNK]", "cls": "[CLS]", "sep": "[SEP]", "mask": "[MASK]"}


def export(checkpoint: Checkpoint, folder: Path, family: str = "") -> list[str]:
    """Write the folder. Returns lines that describe it. FolderError if no class of theirs is this network."""
    name = family or family_of(checkpoint.config, checkpoint.parts)
    special = _special(checkpoint)
    write(
        folder,
        name,
        checkpoint.config,
        checkpoint.parts,
        checkpoint.weights,
        labels=checkpoint.labels,
        special=_ids(checkpoint, special),
    )
    lines = [f"{folder}: {name}, {', '.join(checkpoint.parts)}"]
    if "decoder" in checkpoint.parts:
        _write_json(folder / "generation_config.json", _generation(checkpoint, special))
    if checkpoint.tokenizer is not None:
        lines += _tokenizer(checkpoint, name, special, folder)
    return lines


def _special(checkpoint: Checkpoint) -> dict[str, Any]:
    if checkpoint.tokenizer is None:
        return {}
    about = json.loads((checkpoint.tokenizer / "tokenizer.json").read_text("utf-8"))
    return {**_OURS, **about.get("special", {})}


def _ids(checkpoint: Checkpoint, special: dict[str, Any]) -> dict[str, int]:
    """Keys of `config.json`."""
    if not special:
        return {}
    ids = {"pad_token_id": special["pad"], "eos_token_id": special["sep"]}
    if {"encoder", "decoder"} <= set(checkpoint.parts):
        return {**ids, "decoder_start_token_id": special["cls"]}
    return {**ids, "bos_token_id": special["cls"], "mask_token_id": special["mask"]}


def _generation(checkpoint: Checkpoint, special: dict[str, Any]) -> dict[str, Any]:
    """Settings with which `generate` makes the texts that our decoding makes: special tokens are never made, but for the end."""
    never = [number for number in special["all"] if number != special["sep"]]
    ids = {name: number for name, number in _ids(checkpoint, special).items() if name != "mask_token_id"}
    return {**ids, **({"suppress_tokens": never} if never else {}), "max_length": checkpoint.config.max_length}


def _tokenizer(checkpoint: Checkpoint, family: str, special: dict[str, Any], folder: Path) -> list[str]:
    held = checkpoint.tokenizer
    assert held is not None
    about: dict[str, Any] = {"model_max_length": checkpoint.config.max_length, "clean_up_tokenization_spaces": False}
    about["split_special_tokens"] = True  # what looks like a special token in a text is text, as with ours
    if (held / "vocabulary.json").exists():
        for ours, theirs in _MARIAN.items():
            shutil.copyfile(held / ours, folder / theirs)
        _write_json(folder / "tokenizer_config.json", {**about, "tokenizer_class": "MarianTokenizer"})
        return ["tokenizer: source.spm, target.spm and vocab.json, as they were taken over"]
    if (held / "huggingface.json").exists():
        shutil.copyfile(held / "huggingface.json", folder / "tokenizer.json")
        names = _written_forms(held / "huggingface.json", special)
        _write_json(folder / "tokenizer_config.json", _config(about, names))
        return ["tokenizer: tokenizer.json, as it was taken over"]
    if special["all"] != _OURS["all"]:  # taken over as sentencepiece: T5's or Llama's
        name = "spiece.model" if family == "t5" else "tokenizer.model"
        shutil.copyfile(held / "tokenizer.model", folder / name)
        classes = {"t5": "T5Tokenizer", "llama": "LlamaTokenizer"}
        _write_json(folder / "tokenizer_config.json", {**about, "tokenizer_class": classes.get(family, "T5Tokenizer")})
        return [f"tokenizer: {name}, as it was taken over"]
    template = ["[CLS]", "$A"] if checkpoint.parts[0] == "decoder" else ["[CLS]", "$A", "[SEP]"]
    (folder / "tokenizer.json").write_text(convert(held / "tokenizer.model", template), "utf-8")
    _write_json(folder / "tokenizer_config.json", _config(about, _NAMES))
    rounded = exact(held / "tokenizer.model")
    return ["tokenizer: tokenizer.json, which cuts as ours does" + ("" if rounded else (
        ", but for ties between cuts that are equally likely: this one was trained before scores were rounded"
    ))]  # fmt: skip


def _config(about: dict[str, Any], names: dict[str, str]) -> dict[str, Any]:
    theirs = {"pad": "pad_token", "unk": "unk_token", "cls": "cls_token", "sep": "sep_token", "mask": "mask_token"}
    tokens = {theirs[name]: piece for name, piece in names.items()}
    ends = {"bos_token": names.get("cls"), "eos_token": names.get("sep")}
    tokens |= {name: piece for name, piece in ends.items() if piece}
    return {**about, "tokenizer_class": "PreTrainedTokenizerFast", **tokens}


def _written_forms(file: Path, special: dict[str, Any]) -> dict[str, str]:
    from tokenizers import Tokenizer

    made = Tokenizer.from_file(str(file))
    found = {name: made.id_to_token(special[name]) for name in _NAMES if special[name] >= 0}
    return {name: piece for name, piece in found.items() if piece is not None}


def _write_json(path: Path, value: dict[str, Any]) -> None:
    path.write_text(json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False) + "\n", "utf-8")
