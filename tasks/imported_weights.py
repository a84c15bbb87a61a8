"""A network of another library as the start of a training: its architecture, its weights, and a check of its vocabulary."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from artifacts import atomic, huggingface_tokenizer
from artifacts.pieces import META
from artifacts.tokenizer import INFO, Tokenizer
from tasks.starting_weights import Start
from training.errors import TrainingError

if TYPE_CHECKING:
    from models.config import Architecture, ModelConfig


def start_from(folder: Path) -> Start:
    """The network of a folder. TrainingError names the key or the tensor that is wrong."""
    from models.huggingface import FolderError, read

    try:
        found = read(folder)
    except FolderError as error:
        raise TrainingError(str(error)) from None
    except (
        ArithmeticError,
        AttributeError,
        LookupError,
        TypeError,
        ValueError,
    ) as error:  # of a value that no model has
        raise TrainingError(
            f"{folder}: config.json or a tensor cannot be read: {' '.join(str(error).split())[:200]}"
        ) from error
    return Start(folder, found.family, found.config, found.weights)


def begin(folder: Path, chosen: Architecture, data: ModelConfig, tokenizer: Tokenizer) -> tuple[ModelConfig, Start]:
    """The network's config and weights, of a folder; TrainingError if it is broken or not of this data's kind.

    `data` is the config that the task would have without it: what the data fixes is taken from there.
    """
    start = start_from(folder)
    check_vocabulary(start, tokenizer)
    model = start.model(chosen, data)
    return model, start.with_length(model)


def check_vocabulary(start: Start, tokenizer: Tokenizer) -> None:
    """TrainingError when weights and tokenizer do not belong together: a token would have another token's vector."""
    if not start.config.vocab_size:
        return
    given, wanted = tokenizer.vocab_size, start.config.vocab_size
    remedy = f"take over its own with train_tokenizer's source=hf:{start.folder}"
    if not huggingface_tokenizer.has_tokenizer(start.folder):
        if given != wanted:
            raise TrainingError(
                f"{start.folder}: weights for {wanted:,} tokens, but the tokenizer has {given:,}; they do not belong "
                "together, and the folder has no tokenizer of its own"
            )
        return
    with tempfile.TemporaryDirectory(prefix="glassformer-") as name:
        place = Path(name)
        atomic.write_json(place / INFO, huggingface_tokenizer.take_over(start.folder, place.joinpath))
        own = Tokenizer(place).vocabulary()
    for number, (mine, theirs) in enumerate(zip(tokenizer.vocabulary(), own, strict=False)):
        if mine.replace(META, " ") != theirs.replace(META, " "):  # libraries write a piece's space either way
            raise TrainingError(
                f"{start.folder}: weights and tokenizer do not belong together: id {number} is {theirs!r} there, and "
                f"{mine!r} in the tokenizer; {remedy}"
            )
    if given != len(own) or given > wanted:
        raise TrainingError(
            f"{start.folder}: weights for {wanted:,} tokens and a vocabulary of {len(own):,}, but the tokenizer has "
            f"{given:,}; {remedy}"
        )
