"""A network from elsewhere as the start of a training: its architecture, its weights, and whether its vocabulary is ours."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from artifacts import atomic, huggingface_tokenizer
from artifacts.pieces import META
from artifacts.tokenizer import INFO, Tokenizer
from training.errors import TrainingError

if TYPE_CHECKING:
    import torch
    from numpy.typing import NDArray

    from models.config import Architecture, ModelConfig


@dataclass(frozen=True)
class Start:
    """What a training takes over: the same to `tasks.training` as a checkpoint of ours."""

    folder: Path
    task: str
    config: ModelConfig
    held: Mapping[str, NDArray[Any]]

    def weights(self) -> Mapping[str, NDArray[Any]]:
        """All parameters by name."""
        return self.held

    def model(self, chosen: Architecture, data: ModelConfig) -> ModelConfig:
        """Its architecture, with what is chosen for each training (dropout, a shorter length) and what the data fixes."""
        _check_images(self, data)
        changes: dict[str, Any] = {"dropout": chosen.dropout, "attention_dropout": chosen.attention_dropout}
        if data.vocab_size:  # a length of its own would be the dearest of defaults: Llama's is 131,072
            changes["max_length"] = min(chosen.max_length, self.config.max_length)
            ids = ("pad_id", "cls_id", "sep_id", "mask_id", "special_ids")
            changes |= {name: getattr(data, name) for name in ids}
        return self.config.changed(changes)

    def fitted(self, model: ModelConfig) -> Start:
        """The same with its tables of positions cut to the length that was chosen."""
        length = model.max_length
        if model.positions != "learned" or model.image_height or length == self.config.max_length:
            return self
        cut = {
            name: value[:length] if name.endswith("embedding.positions.weight") else value
            for name, value in self.held.items()
        }  # fmt: skip
        return Start(self.folder, self.task, model, cut)


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


def begin(
    folder: Path, chosen: Architecture, data: ModelConfig, tokenizer: Tokenizer
) -> tuple[ModelConfig, Start]:  # fmt: skip
    """The network's config and weights, of a folder; TrainingError where it is broken or not of this data's kind.

    `data` is the config that the task would have without it: what the data fixes is taken from there.
    """
    start = start_from(folder)
    check_vocabulary(start, tokenizer)
    model = start.model(chosen, data)
    return model, start.fitted(model)


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


def take_heads(network: torch.nn.Module, start: Start) -> list[str]:
    """Give what stands on the body the weights that fit it by name and shape; the names of what was given some."""
    import torch

    taken: dict[str, None] = {}
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            child, value = name.partition(".")[0], start.held.get(name)
            if child in ("head", "classifier") and value is not None and value.shape == tuple(parameter.shape):
                parameter.copy_(torch.from_numpy(value))
                taken[child] = None
    return list(taken)


def _check_images(start: Start, data: ModelConfig) -> None:
    mine, theirs = ([config.image_height, config.image_width, config.image_channels] for config in (data, start.config))
    if mine != theirs:
        raise TrainingError(
            f"{start.folder}: a network for images of {theirs} (height, width, channels), but the corpus has {mine} "
            "(0 is text); change image_size in prepare_data, or take another network"
        )
