"""Subword models: sentencepiece, sentencepiece with ids from another file, or a file of the library `tokenizers`.

All are data, never code, and each is loaded at the first use.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

from artifacts import atomic, identifiers

MODEL, NUMBERS, FAST = "tokenizer.model", "vocabulary.json", "huggingface.json"
META = "\u2581"  # sentencepiece's way to write a space: in a text it is a character like any other
_META_BYTES = ("<0xE2>", "<0x96>", "<0x81>")


class Pieces(Protocol):
    """Text to ids and back, with no special tokens of its own making."""

    @property
    def size(self) -> int: ...
    def encode(self, texts: Sequence[str]) -> list[list[int]]: ...
    def encode_with_offsets(self, text: str) -> tuple[list[int], list[tuple[int, int]]]: ...
    def decode(self, ids: Sequence[int]) -> str: ...
    def piece(self, number: int) -> str: ...


def pieces_of(folder: Path, *, ours: bool) -> Pieces:
    """The pieces in the files of a folder. `ours`: trained here, so that each text comes back; else as theirs cut."""
    if (folder / FAST).exists():
        return FastPieces(folder / FAST)
    if (folder / NUMBERS).exists():
        return NumberedPieces(folder / MODEL, folder / NUMBERS)
    return OwnPieces(folder / MODEL) if ours else SentencePieces(folder / MODEL)


class SentencePieces:
    """Sentencepiece: the ids are the places of its pieces."""

    def __init__(self, file: Path) -> None:
        self.file = file

    @cached_property
    def processor(self) -> Any:
        """Sentencepiece's processor."""
        import sentencepiece

        return sentencepiece.SentencePieceProcessor(model_file=str(self.file))

    @property
    def size(self) -> int:
        return int(self.processor.get_piece_size())

    def encode(self, texts: Sequence[str]) -> list[list[int]]:
        return [list(ids) for ids in self.processor.encode(list(texts), num_threads=1)]

    def encode_with_offsets(self, text: str) -> tuple[list[int], list[tuple[int, int]]]:
        encoded = self.processor.encode(text, return_type="offset_mapping")
        return list(encoded["ids"]), list(encoded["offsets"])

    def decode(self, ids: Sequence[int]) -> str:
        return str(self.processor.decode(list(ids)))

    def piece(self, number: int) -> str:
        return str(self.processor.id_to_piece(number))

    def normalize(self, text: str) -> str:
        """The characters that it cuts."""
        return str(self.processor.normalize(text))


class OwnPieces(SentencePieces):
    """Sentencepiece trained here. Unless it divides identifiers, it changes nothing of a text: U+2581, which it would take for a space,
    is cut as bytes."""

    @cached_property
    def divides(self) -> bool:
        """Whether identifiers are words to it."""
        from sentencepiece import sentencepiece_model_pb2

        proto = sentencepiece_model_pb2.ModelProto()
        proto.ParseFromString(self.file.read_bytes())
        return bool(proto.normalizer_spec.name == identifiers.NAME)

    @cached_property
    def _meta(self) -> list[int]:
        return [int(self.processor.piece_to_id(piece)) for piece in _META_BYTES]

    def encode(self, texts: Sequence[str]) -> list[list[int]]:
        if self.divides:
            return super().encode([identifiers.divide(text) for text in texts])
        if not any(META in text for text in texts):
            return super().encode(texts)
        return [self._between(super(OwnPieces, self).encode(text.split(META))) for text in texts]

    def encode_with_offsets(self, text: str) -> tuple[list[int], list[tuple[int, int]]]:
        if self.divides:
            ids, offsets = super().encode_with_offsets(identifiers.divide(text))
            return ids, identifiers.restore(offsets, text)
        if META not in text:
            return super().encode_with_offsets(text)
        parts, offsets, start = list[list[int]](), list[tuple[int, int]](), 0
        for part in text.split(META):
            cut, places = super().encode_with_offsets(part)
            if parts:
                offsets += [(start - 1, start - 1), (start - 1, start - 1), (start - 1, start)]  # as of any other bytes
            parts.append(cut)
            offsets += [(start + begin, start + end) for begin, end in places]
            start += len(part) + 1
        return self._between(parts), offsets

    def normalize(self, text: str) -> str:
        return super().normalize(identifiers.divide(text) if self.divides else text)

    def _between(self, parts: Sequence[list[int]]) -> list[int]:
        """The ids of parts of a text, with those of U+2581 between each two."""
        first, *others = parts
        return [*first, *(number for part in others for number in (*self._meta, *part))]


class NumberedPieces(SentencePieces):
    """Sentencepiece cuts, a table says which id a piece has: Marian's, whose source and target share one table."""

    def __init__(self, file: Path, numbers: Path) -> None:
        super().__init__(file)
        self._numbers = numbers

    @cached_property
    def _ids(self) -> dict[str, int]:
        return dict(atomic.read_json(self._numbers))

    @cached_property
    def _names(self) -> dict[int, str]:
        return {number: piece for piece, number in self._ids.items()}

    @property
    def size(self) -> int:
        return max(self._ids.values()) + 1

    def encode(self, texts: Sequence[str]) -> list[list[int]]:
        unknown = self._ids.get("<unk>", 0)
        cut = self.processor.encode(list(texts), out_type=str, num_threads=1)
        return [[self._ids.get(piece, unknown) for piece in pieces] for pieces in cut]

    def decode(self, ids: Sequence[int]) -> str:
        return str(self.processor.decode([self.piece(number) for number in ids]))

    def piece(self, number: int) -> str:
        return self._names.get(number, "<unk>")


class FastPieces:
    """A `tokenizer.json`. What looks like a special token in a text is text."""

    def __init__(self, file: Path) -> None:
        self.file = file

    @cached_property
    def _tokenizer(self) -> Any:
        os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")  # its threads and our forks do not go together
        import tokenizers

        tokenizer = tokenizers.Tokenizer.from_file(str(self.file))
        tokenizer.no_padding()
        tokenizer.no_truncation()
        tokenizer.encode_special_tokens = True
        return tokenizer

    @property
    def size(self) -> int:
        return int(self._tokenizer.get_vocab_size())

    def encode(self, texts: Sequence[str]) -> list[list[int]]:
        return [list(one.ids) for one in self._tokenizer.encode_batch(list(texts), add_special_tokens=False)]

    def encode_with_offsets(self, text: str) -> tuple[list[int], list[tuple[int, int]]]:
        encoded = self._tokenizer.encode(text, add_special_tokens=False)
        return list(encoded.ids), [(begin, end) for begin, end in encoded.offsets]

    def decode(self, ids: Sequence[int]) -> str:
        return str(self._tokenizer.decode(list(ids), skip_special_tokens=False))

    def piece(self, number: int) -> str:
        return str(self._tokenizer.id_to_token(number) or "")


class RememberingPieces:
    """Other pieces, with the ids of each text that was cut before."""

    def __init__(self, pieces: Pieces) -> None:
        self._pieces, self._known = pieces, dict[str, list[int]]()

    @property
    def size(self) -> int:
        return self._pieces.size

    def encode(self, texts: Sequence[str]) -> list[list[int]]:
        if new := [text for text in dict.fromkeys(texts) if text not in self._known]:
            self._known.update(zip(new, self._pieces.encode(new), strict=True))
        return [list(self._known[text]) for text in texts]

    def encode_with_offsets(self, text: str) -> tuple[list[int], list[tuple[int, int]]]:
        ids, offsets = self._pieces.encode_with_offsets(text)
        self._known[text] = list(ids)
        return ids, offsets

    def decode(self, ids: Sequence[int]) -> str:
        return self._pieces.decode(ids)

    def piece(self, number: int) -> str:
        return self._pieces.piece(number)
