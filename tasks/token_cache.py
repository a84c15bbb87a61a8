"""The examples of a corpus, encoded once for a task and a tokenizer, and read from token files ever after.

The key of the files is a digest of all that decides the numbers: the corpus, the tokenizer with its special ids, the split, the
task with its settings and limits, our code, and the packages that cut. Processes that need the same files wait for the one that
makes them. Files that are damaged are made again.
"""

from __future__ import annotations

import errno
import hashlib
import os
from contextlib import suppress
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from artifacts import atomic, locks, token_files
from artifacts.corpus import Corpus
from artifacts.errors import UserError
from artifacts.home import CHECKOUT
from artifacts.token_files import DamagedTokensError
from tasks.task import Limits
from training.token_files import open_examples, write

if TYPE_CHECKING:
    from artifacts.tokenizer import Tokenizer
    from models.config import ModelConfig
    from tasks.task import Settings, Task
    from telemetry import Observe
    from training.batches import Examples

_PACKAGES = ("pillow", "sentencepiece", "tokenizers")
_SOURCES = ("artifacts", "tasks", "training/batches.py", "training/examples.py", "training/token_files.py")


def examples_of(
    task: Task, corpus: Corpus, tokenizer: Tokenizer, split: str, settings: Settings, model: ModelConfig,
    root: Path, observe: Observe,
) -> Examples:  # fmt: skip
    """The examples of a split, in token files; encoded first, if the store at `root` does not have them."""
    if type(corpus) is not Corpus:
        return task.examples(corpus, tokenizer, split, settings, model)  # a part of a corpus: a few rows
    about = describe(task, corpus, tokenizer, split, settings, Limits.of(model))
    key = atomic.digest_of(about)
    folder = token_files.folder_of(root, key)
    with suppress(FileNotFoundError, DamagedTokensError):
        return _open(folder, tokenizer)

    def wait() -> None:
        observe.log("tokens.waiting", f"another process is encoding the split {split}; waiting for it")

    with locks.hold(root / "locks" / f"tokens-{key}", wait):
        try:
            return _open(folder, tokenizer)  # made meanwhile
        except FileNotFoundError:
            pass
        except DamagedTokensError as error:
            observe.log("tokens.damaged", f"{error}; making the tokens of {split} again", level="warning", split=split)
        try:
            with token_files.replacement(folder, about) as (temporary, arrays):
                encoded = task.encode(corpus, tokenizer, split, settings, Limits.of(model))
                arrays |= write(encoded, temporary, np.min_scalar_type(task.numbers(tokenizer) - 1))
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise UserError(
                    f"{folder.parent}: no space left on the disk for the tokens of the split {split}; free some "
                    "(`python -m artifacts gc`) and run again"
                ) from None
            raise
        message = f"{arrays['examples']:,} examples of the split {split} encoded"
        observe.log("tokens.written", message, split=split, examples=arrays["examples"], path=str(folder))
        return open_examples(folder, arrays, tokenizer.pad_id)


def describe(
    task: Task, corpus: Corpus, tokenizer: Tokenizer, split: str, settings: Settings, limits: Limits
) -> dict[str, Any]:
    """All that decides the numbers of a split."""
    return {
        "corpus": corpus.artifact.digest,
        "tokenizer": [tokenizer.digest, tokenizer.info.get("special")],
        "split": split,
        "task": task.name,
        "settings": dict(settings),
        "limits": limits._asdict(),
        "code": _code(),
        "packages": {name: _version(name) for name in _PACKAGES},
    }


def _open(folder: Path, tokenizer: Tokenizer) -> Examples:
    """The examples in a folder, checked. `python -m artifacts gc` keeps token files for some days after this."""
    examples = open_examples(folder, token_files.read(folder)["arrays"], tokenizer.pad_id)
    with suppress(OSError):
        os.utime(folder)
    return examples


@cache
def _code() -> str:
    """Digest of the files that could decide a number: rather too many than one too few."""
    files: list[Path] = []
    for name in _SOURCES:
        path = CHECKOUT / name
        files += [path] if path.is_file() else sorted(path.rglob("*.py"))
    total = hashlib.sha256()
    for file in files:
        total.update(f"{file.relative_to(CHECKOUT).as_posix()}\0{atomic.sha256(file)}\n".encode())
    return total.hexdigest()


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return ""
