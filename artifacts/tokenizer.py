"""A Tokenizer: a sentencepiece model with byte fallback, so that every text can be written and read back.

tokenizer.model    sentencepiece's own file (a protobuf: data, never code)
tokenizer.json     special ids and what was measured on the validation split
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from artifacts import durable
from artifacts.folder import Artifact, ArtifactError, Output

MODEL, INFO = "tokenizer.model", "tokenizer.json"
PAD, UNKNOWN, CLS, SEP, MASK = "[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"
SPECIAL = (PAD, UNKNOWN, CLS, SEP, MASK)  # ids 0 to 4, in this order


class Tokenizer:
    """Text to token ids and back. Reads any folder that holds the two files: an artifact, or a checkpoint's copy."""

    pad_id, unk_id, cls_id, sep_id, mask_id = range(5)
    first_id = len(SPECIAL)  # of what is no special token

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.info: dict[str, Any] = durable.read_json(folder / INFO)
        self._processor: Any = None

    @property
    def processor(self) -> Any:
        """Sentencepiece's processor, loaded at the first use."""
        if self._processor is None:
            import sentencepiece

            self._processor = sentencepiece.SentencePieceProcessor(model_file=str(self.folder / MODEL))
        return self._processor

    @property
    def vocab_size(self) -> int:
        """Number of ids, special tokens included."""
        return int(self.processor.get_piece_size())

    @property
    def digest(self) -> str:
        """sha256 of the model: two tokenizers with the same digest cut every text alike."""
        return durable.sha256(self.folder / MODEL)

    def encode(self, text: str) -> list[int]:
        """Token ids of a text, without [CLS] and [SEP]."""
        return list(self.processor.encode(text))

    def encode_batch(self, texts: Sequence[str]) -> list[list[int]]:
        """Token ids of many texts."""
        return [list(ids) for ids in self.processor.encode(list(texts), num_threads=1)]

    def encode_with_offsets(self, text: str) -> tuple[list[int], list[tuple[int, int]]]:
        """Token ids of a text, and from which to which of its characters each one goes."""
        found = self.processor.encode(text, return_type="offset_mapping")
        return list(found["ids"]), list(found["offsets"])

    def decode(self, ids: Sequence[int]) -> str:
        """The text that these ids stand for; special tokens are left out."""
        return str(self.processor.decode([int(i) for i in ids if i >= self.first_id]))

    def pieces(self, ids: Sequence[int]) -> list[str]:
        """The written form of each id."""
        return [SPECIAL[i] if i < self.first_id else str(self.processor.id_to_piece(int(i))) for i in ids]

    def with_ends(self, ids: Sequence[int], max_length: int) -> list[int]:
        """[CLS] ids [SEP], cut to `max_length` in all."""
        return [self.cls_id, *ids[: max_length - 2], self.sep_id]

    def copy_into(self, output: Output) -> None:
        """Put the files into a checkpoint, so that it can predict on its own."""
        for name in (MODEL, INFO):
            shutil.copyfile(self.folder / name, output.file(f"tokenizer/{name}"))

    @staticmethod
    def of(artifact: Artifact | None) -> Tokenizer:
        """The tokenizer that a step was given, if it was."""
        return Tokenizer(artifact.path) if artifact else Tokenizer.none()

    @staticmethod
    def none() -> Tokenizer:
        """In place of a tokenizer, where the data is no text: whoever asks it for one gets an error."""
        return _NoTokenizer()


class _NoTokenizer(Tokenizer):
    def __init__(self) -> None:
        self.folder, self.info = Path(), {}

    @property
    def processor(self) -> Any:
        raise ArtifactError("this task is on text and needs a tokenizer: give the input `tokenizer`")

    @property
    def digest(self) -> str:
        return ""

    def copy_into(self, output: Output) -> None:
        return
