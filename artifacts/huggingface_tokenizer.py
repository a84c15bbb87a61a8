"""A tokenizer taken over from a folder as `transformers` saves it: its files as they are, and what its special ids are.

tokenizer.json                             of the library `tokenizers`
source.spm, target.spm, vocab.json         Marian
spiece.model or tokenizer.model            sentencepiece: T5, Llama
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from artifacts import atomic
from artifacts.artifact import ArtifactError
from artifacts.manifest import ManifestError, hub_blobs, plain_file
from artifacts.pieces import FAST, MODEL, NUMBERS, FastPieces, NumberedPieces, Pieces, SentencePieces
from artifacts.tokenizer import NONE, TARGET

# The first whose files are all there, and what they are called with us.
_KINDS = (
    {"tokenizer.json": FAST},
    {"source.spm": MODEL, "target.spm": TARGET, "vocab.json": NUMBERS},
    {"spiece.model": MODEL},
    {"tokenizer.model": MODEL},
)
_ABOUT = ("config.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json")
# Our token -> their names of it, the first that is given counts.
_NAMES = {
    "pad": ("pad_token", "eos_token"),
    "unk": ("unk_token",),
    "cls": ("cls_token", "bos_token"),
    "sep": ("sep_token", "eos_token"),
    "mask": ("mask_token",),
}


def has_tokenizer(folder: Path) -> bool:
    """Whether a folder holds a tokenizer that is read."""
    return any(all((folder / name).is_file() for name in kind) for kind in _KINDS)


def files(folder: Path) -> list[Path]:
    """The files of a folder that its tokenizer is made of."""
    return [
        *(folder / name for name in _kind(folder)),
        *(folder / name for name in _ABOUT if (folder / name).is_file()),
    ]


def take_over(folder: Path, to: Callable[[str], Path]) -> dict[str, Any]:
    """Copy a folder's tokenizer, each file to the path that `to` gives for its name. Returns the content of `tokenizer.json`.

    ArtifactError if there is none, or if it does not define how a sequence ends.
    """
    kind = _kind(folder)
    for name in (*kind, *_ABOUT):
        _check(folder, name)
    for name, ours in kind.items():
        shutil.copyfile(folder / name, to(ours))
    try:
        return {"special": _special(folder, _pieces(folder, kind))}
    except ArtifactError:
        raise
    except Exception as error:  # of any kind: the files come from others, and each library has errors of its own
        why = " ".join(str(error).split())[:200] or type(error).__name__
        raise ArtifactError(
            f"{folder}: its tokenizer cannot be read: {why}; save it once more by transformers"
        ) from error


def _check(folder: Path, name: str) -> None:
    """ArtifactError for a file that is no plain one of this folder, or of the hub's cache that the folder is in."""
    try:
        plain_file(folder, name, hub_blobs(folder))
    except FileNotFoundError:
        return
    except ManifestError as error:
        raise ArtifactError(f"{folder / name}: {error}; copy the file there") from None


def _kind(folder: Path) -> dict[str, str]:
    for kind in _KINDS:
        if all((folder / name).is_file() for name in kind):
            return kind
    wanted = ", or ".join(" and ".join(kind) for kind in _KINDS)
    raise ArtifactError(
        f"{folder}: no tokenizer that is read: {wanted}. AutoTokenizer.from_pretrained(...).save_pretrained(FOLDER) writes "
        "tokenizer.json for most models"
    )


def _pieces(folder: Path, kind: dict[str, str]) -> Pieces:
    if FAST in kind.values():
        return FastPieces(folder / "tokenizer.json")
    if NUMBERS in kind.values():
        return NumberedPieces(folder / "source.spm", folder / "vocab.json")
    return SentencePieces(folder / next(iter(kind)))


def _special(folder: Path, pieces: Pieces) -> dict[str, Any]:
    """Ids of our five tokens (-1 if missing), all ids that stand for no text, and whether sequences open with one."""
    settings = {**_json(folder / "special_tokens_map.json"), **_json(folder / "tokenizer_config.json")}
    config = _json(folder / "config.json")
    numbers = {pieces.piece(number): number for number in reversed(range(pieces.size))}

    def id_of(names: tuple[str, ...]) -> int:
        for name in names:
            token = settings.get(name)
            token = token.get("content") if isinstance(token, dict) else token
            if token is not None and token in numbers:
                return numbers[token]
            number = config.get(f"{name}_id")
            if isinstance(number, list):
                number = number[0] if number else None
            if number is not None and 0 <= number < pieces.size:
                return int(number)
        return NONE

    ids: dict[str, Any] = {ours: id_of(names) for ours, names in _NAMES.items()}
    if ids["sep"] == NONE:
        raise ArtifactError(
            f"{folder}: its tokenizer names neither sep_token nor eos_token, so nothing ends a sequence"
        )
    ids["opens"] = ids["cls"] != NONE and not config.get("is_encoder_decoder")
    if not ids["opens"]:  # what a decoder begins with
        start = config.get("decoder_start_token_id")
        ids["cls"] = ids["pad"] if start is None else int(start)
    added = {int(number) for number, token in settings.get("added_tokens_decoder", {}).items() if token.get("special")}
    if (folder / "tokenizer.json").is_file():
        tokens = _json(folder / "tokenizer.json").get("added_tokens") or []
        added |= {int(token["id"]) for token in tokens if token.get("special")}
    ids["all"] = sorted({ids[name] for name in _NAMES if ids[name] != NONE} | {n for n in added if n < pieces.size})
    return ids


def _json(path: Path) -> dict[str, Any]:
    try:
        return dict(atomic.read_json(path))
    except FileNotFoundError:
        return {}
    except (ValueError, TypeError) as error:
        raise ArtifactError(f"{path}: cannot be read: {error}") from None
