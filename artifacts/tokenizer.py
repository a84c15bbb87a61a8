"""A Tokenizer: text to token ids, with the ids of its special tokens.

tokenizer.model    a sentencepiece model (a protobuf: data, never code); ours have byte fallback, so every text comes back
huggingface.json   or, in its place: a file of the library `tokenizers`, imported from another model
vocabulary.json    with tokenizer.model: ids of its pieces, if they differ from their positions (Marian)
target.model       with vocabulary.json: the sentencepiece model of targets
tokenizer.json     special ids, if they are not ours, and measurements on the validation split
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from copy import copy
from pathlib import Path
from typing import Any

from artifacts import atomic
from artifacts.artifact import Artifact, ArtifactError, Output
from artifacts.pieces import FAST, MODEL, NUMBERS, NumberedPieces, Pieces, RememberingPieces, SentencePieces, pieces_of

INFO, TARGET = "tokenizer.json", "target.model"
_CUTS = (FAST, MODEL, NUMBERS, TARGET)  # what cuts, of texts and of targets; a tokenizer has some of them
PAD, UNKNOWN, CLS, SEP, MASK = "[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"
SPECIAL = (PAD, UNKNOWN, CLS, SEP, MASK)  # ids 0 to 4, in this order, where the tokenizer is ours
NONE = -1  # in place of the id of a special token that a tokenizer does not have


class Tokenizer:
    """Text to token ids and back. Reads any folder that holds its files: an artifact, or a checkpoint's copy."""

    pad_id, unk_id, cls_id, sep_id, mask_id = range(5)
    special_ids: tuple[int, ...] = (0, 1, 2, 3, 4)
    first_id = len(SPECIAL)  # of what is no special token
    opens = True  # whether a sequence begins with [CLS]; T5's and Marian's sources do not

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.info: dict[str, Any] = atomic.read_json(folder / INFO)
        self._pieces: Pieces = pieces_of(folder, ours="special" not in self.info)
        if special := self.info.get("special"):
            self.pad_id, self.unk_id, self.cls_id = special["pad"], special["unk"], special["cls"]
            self.sep_id, self.mask_id, self.opens = special["sep"], special["mask"], special["opens"]
            self.special_ids = tuple(special["all"])
            self.first_id = next(i for i in range(len(self.special_ids) + 1) if i not in self.special_ids)

    @property
    def vocab_size(self) -> int:
        """Number of ids, special tokens included."""
        return self._pieces.size

    @property
    def digest(self) -> str:
        """sha256 of what cuts: two tokenizers with the same digest cut every text alike."""
        held = [atomic.sha256(self.folder / name) for name in _CUTS if (self.folder / name).exists()]
        return held[0] if len(held) == 1 else atomic.digest_of(held)

    @property
    def never(self) -> tuple[int, ...]:
        """Ids that no text that is made holds: special ones, but for the end."""
        return tuple(i for i in self.special_ids if i != self.sep_id)

    @property
    def target(self) -> Tokenizer:
        """The tokenizer of targets: this one, but for Marian, whose targets are cut by a model of their own."""
        if not (self.folder / TARGET).exists():
            return self
        other = Tokenizer(self.folder)
        other._pieces = NumberedPieces(self.folder / TARGET, self.folder / NUMBERS)
        return other

    def encode(self, text: str) -> list[int]:
        """Token ids of a text, without [CLS] and [SEP]."""
        return self._pieces.encode([text])[0]

    def encode_batch(self, texts: Sequence[str]) -> list[list[int]]:
        """Token ids of many texts."""
        return self._pieces.encode(texts)

    def encode_with_offsets(self, text: str) -> tuple[list[int], list[tuple[int, int]]]:
        """Token ids of a text, and from which to which of its characters each one goes."""
        return self._pieces.encode_with_offsets(text)

    def decode(self, ids: Sequence[int]) -> str:
        """The text that these ids stand for; special tokens are left out."""
        return self._pieces.decode([int(i) for i in ids if i not in self.special_ids])

    def restores(self, text: str, ids: Sequence[int]) -> bool:
        """Whether these ids of a text stand for it, but for what the tokenizer's normalization changes on purpose."""
        decoded = self.decode(ids)
        if decoded == text or self.normalization == "none" or not isinstance(self._pieces, SentencePieces):
            return decoded == text
        return self._pieces.normalize(decoded) == self._pieces.normalize(text)

    @property
    def normalization(self) -> str:
        """Changes to a text before it is cut, by the option's name."""
        return str(self.info.get("normalization", "none"))

    def pieces(self, ids: Sequence[int]) -> list[str]:
        """The written form of each id."""
        return [self._pieces.piece(int(i)) for i in ids]

    def vocabulary(self) -> list[str]:
        """The written form of every id."""
        return self.pieces(range(self.vocab_size))

    def with_ends(self, ids: Sequence[int], max_length: int) -> list[int]:
        """[CLS] ids [SEP], cut to `max_length` in all; without [CLS] where sequences do not open with it."""
        if not self.opens:
            return [*ids[: max_length - 1], self.sep_id]
        return [self.cls_id, *ids[: max_length - 2], self.sep_id]

    def remembering(self) -> Tokenizer:
        """The same tokenizer, which cuts each text once however often it is asked: for the time of one answer."""
        other = copy(self)
        other._pieces = RememberingPieces(self._pieces)
        return other

    def copy_into(self, output: Output) -> None:
        """Put the files into a checkpoint, so that it can predict on its own."""
        for name in (*_CUTS, INFO):
            if (self.folder / name).exists():
                shutil.copyfile(self.folder / name, output.file(f"tokenizer/{name}"))

    @staticmethod
    def of(artifact: Artifact | None) -> Tokenizer:
        """The tokenizer that a step was given, if it was."""
        return Tokenizer(artifact.path) if artifact else Tokenizer.none()

    @staticmethod
    def none() -> Tokenizer:
        """Placeholder for data that is not text; any use of it raises an error."""
        return _NoTokenizer()


class _NoTokenizer(Tokenizer):
    def __init__(self) -> None:
        self.folder, self.info, self._pieces = Path(), {}, _NoPieces()

    @property
    def digest(self) -> str:
        return ""

    def copy_into(self, output: Output) -> None:
        return


def _missing() -> ArtifactError:
    return ArtifactError("this task is on text and needs a tokenizer: give the input `tokenizer`")


class _NoPieces:
    @property
    def size(self) -> int:
        raise _missing()

    def encode(self, texts: Sequence[str]) -> list[list[int]]:
        raise _missing()

    def encode_with_offsets(self, text: str) -> tuple[list[int], list[tuple[int, int]]]:
        raise _missing()

    def decode(self, ids: Sequence[int]) -> str:
        raise _missing()

    def piece(self, number: int) -> str:
        raise _missing()
