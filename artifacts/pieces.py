"""What cuts a text: a sentencepiece model, one whose pieces another file numbers, or a file of the library `tokenizers`.

All are data, never code, and each is loaded at the first use.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

from artifacts import durable

MODEL, NUMBERS, FAST = "tokenizer.model", "vocabulary.json", "huggingface.json"


class Pieces(Protocol):
    """Text to ids and back, with no special tokens of its own making."""

    @property
    def size(self) -> int: ...
    def encode(self, texts: Sequence[str]) -> list[list[int]]: ...
    def encode_with_offsets(self, text: str) -> tuple[list[int], list[tuple[int, int]]]: ...
    def decode(self, ids: Sequence[int]) -> str: ...
    def piece(self, number: int) -> str: ...


def pieces_of(folder: Path) -> Pieces:
    """What the files of a folder say."""
    if (folder / FAST).exists():
        return FastPieces(folder / FAST)
    if (folder / NUMBERS).exists():
        return NumberedPieces(folder / MODEL, folder / NUMBERS)
    return SentencePieces(folder / MODEL)


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
        found = self.processor.encode(text, return_type="offset_mapping")
        return list(found["ids"]), list(found["offsets"])

    def decode(self, ids: Sequence[int]) -> str:
        return str(self.processor.decode(list(ids)))

    def piece(self, number: int) -> str:
        return str(self.processor.id_to_piece(number))


class NumberedPieces(SentencePieces):
    """Sentencepiece cuts, a table says which id a piece has: Marian's, whose source and target share one table."""

    def __init__(self, file: Path, numbers: Path) -> None:
        super().__init__(file)
        self._numbers = numbers

    @cached_property
    def _ids(self) -> dict[str, int]:
        return dict(durable.read_json(self._numbers))

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

        made = tokenizers.Tokenizer.from_file(str(self.file))
        made.no_padding()
        made.no_truncation()
        made.encode_special_tokens = True
        return made

    @property
    def size(self) -> int:
        return int(self._tokenizer.get_vocab_size())

    def encode(self, texts: Sequence[str]) -> list[list[int]]:
        return [list(one.ids) for one in self._tokenizer.encode_batch(list(texts), add_special_tokens=False)]

    def encode_with_offsets(self, text: str) -> tuple[list[int], list[tuple[int, int]]]:
        found = self._tokenizer.encode(text, add_special_tokens=False)
        return list(found.ids), [(begin, end) for begin, end in found.offsets]

    def decode(self, ids: Sequence[int]) -> str:
        return str(self._tokenizer.decode(list(ids), skip_special_tokens=False))

    def piece(self, number: int) -> str:
        return str(self._tokenizer.id_to_token(number) or "")
