"""A sentencepiece model of ours -> a `tokenizer.json` of the library `tokenizers` that cuts every text into the same ids.

Unigram (Kudo 2018, arXiv 1804.10959) keeps its pieces and scores. BPE keeps pieces in the order in which they were merged;
the merges themselves are written out again: of each piece, the pairs of pieces that make it up.

Ours have no normalisation and put no space in front, unless identifiers are words to them (`artifacts/identifiers.py`).
Sentencepiece writes a space as U+2581; here pieces are written with spaces as they stand, so that U+2581 in a text is a character
like any other, and spelled in bytes as ours does.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from models.huggingface import FolderError

SPACE = "\u2581"
# `artifacts/identifiers.py`, which models/ does not import: at these seams a text is divided, and these characters become a space.
_IDENTIFIERS, _SPACES, _MARK = "identifiers", "_\t\n\r\u2581", r"[!-/:-@\[-\^`{-~]"
_SEAMS = rf"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])|(?<=[\s\S])(?={_MARK})|(?<={_MARK})(?=[\s\S])"
_UNIGRAM, _BPE = 1, 2  # sentencepiece's ModelType
_NORMAL, _UNKNOWN, _CONTROL, _BYTE = 1, 2, 3, 6  # and its kinds of pieces
# A control or byte piece is never to be found in a text: its score is below any way to write it with other pieces.
_NEVER = -1e4


def convert(file: Path, template: list[str]) -> str:
    """The text of a `tokenizer.json`. `template` lists the pieces around a text, with "$A" for the text.

    FolderError for a model that normalises, or is of another kind: it would cut differently.
    """
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors

    proto = _proto(file)
    pieces = [(_plain_text(piece), float(piece.score), int(piece.type)) for piece in proto.pieces]
    if proto.trainer_spec.model_type == _UNIGRAM:
        vocabulary = [(piece, score if kind == _NORMAL else _NEVER) for piece, score, kind in pieces]
        unknown = next(number for number, (_, _, kind) in enumerate(pieces) if kind == _UNKNOWN)
        model: Any = models.Unigram(vocabulary, unknown, byte_fallback=True)
    else:
        numbers = {piece: number for number, (piece, _, _) in enumerate(pieces)}
        unknown_piece = next(piece for piece, _, kind in pieces if kind == _UNKNOWN)
        model = models.BPE(numbers, _merges(pieces), unk_token=unknown_piece, fuse_unk=True, byte_fallback=True)
    made = Tokenizer(model)
    if proto.normalizer_spec.name == _IDENTIFIERS:
        made.normalizer = normalizers.Sequence([
            normalizers.Replace(Regex(_SEAMS), " "), normalizers.Lowercase(),
            normalizers.Replace(Regex(f"[{_SPACES}]"), " "), normalizers.Replace(Regex("^ +| +$"), ""),
            normalizers.Replace(Regex(" {2,}"), " "), normalizers.Prepend(" "),
        ])  # fmt: skip
    if proto.trainer_spec.model_type == _UNIGRAM:
        made.pre_tokenizer = pre_tokenizers.Split(Regex(_unknown_characters(pieces)), "isolated")
    made.decoder = decoders.Sequence([
        decoders.ByteFallback(), decoders.Fuse(),
        *([decoders.Strip(" ", 1, 0)] if made.normalizer else []),
    ])  # fmt: skip
    special = [(number, piece) for number, (piece, _, kind) in enumerate(pieces) if kind in (_UNKNOWN, _CONTROL)]
    made.add_special_tokens([AddedToken(piece, special=True, normalized=False) for _, piece in special])
    around = " ".join(template)
    ids = {piece: number for number, piece in special}
    made.post_processor = processors.TemplateProcessing(
        single=around,
        pair=f"{around} {around.replace('$A', '$B').removeprefix('[CLS] ')}",
        special_tokens=[(piece, ids[piece]) for piece in template if piece != "$A"],
    )
    return str(made.to_str(pretty=False))


def _plain_text(piece: Any) -> str:
    """A piece of text with its spaces as they stand."""
    text = str(piece.piece)
    return text.replace(SPACE, " ") if piece.type == _NORMAL else text


def _unknown_characters(pieces: list[tuple[str, float, int]]) -> str:
    """A pattern for one character that no piece of text holds.

    Each stands alone, as it does with ours. Else the library would take a control piece for any text that spells it with one such
    character, for it counts an unknown character as worse than any piece.
    """
    known = sorted({ord(character) for piece, _, kind in pieces if kind == _NORMAL for character in piece})
    ranges = list[list[int]]()
    for code in known:
        if ranges and ranges[-1][1] == code - 1:
            ranges[-1][1] = code
        else:
            ranges.append([code, code])
    return "[^" + "".join(f"\\x{{{first:x}}}-\\x{{{last:x}}}" for first, last in ranges) + "]"


def _proto(file: Path) -> Any:
    from sentencepiece import sentencepiece_model_pb2

    proto = sentencepiece_model_pb2.ModelProto()
    proto.ParseFromString(file.read_bytes())
    normalizer, trainer = proto.normalizer_spec, proto.trainer_spec
    divides = normalizer.name == _IDENTIFIERS
    odd = [
        name
        for name, wrong in (
            ("model_type", trainer.model_type not in (_UNIGRAM, _BPE)),
            ("byte_fallback", not trainer.byte_fallback),
            ("normalization_rule", bool(normalizer.precompiled_charsmap) and not divides),
            ("add_dummy_prefix", normalizer.add_dummy_prefix != divides),
            ("remove_extra_whitespaces", normalizer.remove_extra_whitespaces != divides),
        )
        if wrong
    ]
    if odd:
        raise FolderError(f"{file}: {odd[0]} is not that of a tokenizer trained here; it is not converted")
    return proto


def _merges(pieces: list[tuple[str, float, int]]) -> list[tuple[str, str]]:
    """All pairs of pieces that make up a piece, those of the piece with the highest score first."""
    normal = {piece: score for piece, score, kind in pieces if kind == _NORMAL}
    found = [
        (-score, normal_order, at, piece)
        for normal_order, (piece, score) in enumerate(normal.items())
        for at in range(1, len(piece))
        if piece[:at] in normal and piece[at:] in normal
    ]
    return [(piece[:at], piece[at:]) for _, _, at, piece in sorted(found)]


def exact(file: Path) -> bool:
    """Whether sums of scores are exact, so that ties are cut alike everywhere (see `steps/train_tokenizer/tokenization.py`)."""
    proto = _proto(file)
    return proto.trainer_spec.model_type == _BPE or all(piece.score * 256 % 1 == 0 for piece in proto.pieces)
