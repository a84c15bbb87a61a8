"""What a model is asked: words of the command line, files, or the lines of standard input."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import IO, Any

from tasks.predict import PredictError

TOGETHER = 64  # lines that are answered at once where nobody waits for each


@dataclass(frozen=True)
class Asked:
    """One input: what the task takes, and what people call it (a text itself, a file by its path)."""

    content: Any
    name: str


def given(texts: Sequence[str], files: Sequence[str], kind: str) -> list[Asked]:
    """Inputs from the command line: `kind` is the task's input column. Images are named by their paths."""
    if kind == "image":
        return [Asked(content_of(path), path) for path in [*texts, *files]]
    return [Asked(text, text) for text in [*texts, *(text_of(path) for path in files)]]


def lines(stream: IO[str], kind: str, together: int) -> Iterator[list[Asked]]:
    """Inputs from a stream, one a line, `together` at a time."""
    try:
        while some := [line.rstrip("\r\n") for line in islice(stream, together)]:
            yield given(some, [], kind)
    except UnicodeDecodeError as error:
        raise PredictError(f"standard input is not UTF-8: {error.reason} at byte {error.start}") from None


def text_of(path: str) -> str:
    """A file's text."""
    try:
        return content_of(path).decode("utf-8")
    except UnicodeDecodeError as error:
        raise PredictError(f"{path}: not UTF-8: {error.reason} at byte {error.start}") from None


def content_of(path: str) -> bytes:
    """A file's content."""
    try:
        return Path(path).expanduser().read_bytes()
    except OSError as error:
        raise PredictError(f"{path}: {error.strerror or error}") from None
