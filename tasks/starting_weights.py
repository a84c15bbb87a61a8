"""Weights that a training starts from: those of a checkpoint, or of another library's network."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tasks.model import put_weights
from training.errors import TrainingError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from artifacts.checkpoint import Checkpoint
    from models.config import Architecture, ModelConfig
    from models.network import Network

BODY = ("encoder", "decoder")  # children of a network that another task can take over


@dataclass(frozen=True)
class Start:
    """A network of another library; `tasks.training` uses it like a checkpoint of ours."""

    folder: Path
    task: str
    config: ModelConfig
    held: Mapping[str, NDArray[Any]]

    def weights(self) -> Mapping[str, NDArray[Any]]:
        """All parameters by name."""
        return self.held

    def model(self, chosen: Architecture, data: ModelConfig) -> ModelConfig:
        """Its architecture, with the choices of this training (dropout, a shorter length) and the values set by the data."""
        _check_images(self, data)
        changes: dict[str, Any] = {"dropout": chosen.dropout, "attention_dropout": chosen.attention_dropout}
        if data.vocab_size:  # defaulting to the model's own length would be very expensive: Llama's is 131,072
            changes["max_length"] = min(chosen.max_length, self.config.max_length)
            ids = ("pad_id", "cls_id", "sep_id", "mask_id", "special_ids")
            changes |= {name: getattr(data, name) for name in ids}
        return self.config.with_changes(changes)

    def with_length(self, model: ModelConfig) -> Start:
        """The same with its tables of positions cut to the length that was chosen."""
        length = model.max_length
        if model.positions != "learned" or model.image_height or length == self.config.max_length:
            return self
        cut = {
            name: value[:length] if name.endswith("embedding.positions.weight") else value
            for name, value in self.held.items()
        }
        return Start(self.folder, self.task, model, cut)


def take_over(network: Network, start: Checkpoint | Start) -> None:
    """Give a network the weights of a checkpoint's encoder and decoder, as far as both have them.

    An encoder that has read rows causally (`tasks/masked_lm/hybrid.py`) can be a decoder.
    """
    weights = start.weights()
    if _can_decode(start) and "encoder" not in network.parts:
        weights = {
            f"decoder{name.removeprefix('encoder')}": value
            for name, value in weights.items()
            if name.startswith("encoder.")
        }
    held = {name.partition(".")[0] for name in weights}
    taken = [part for part in BODY if part in held and part in network.parts]
    if not taken:
        raise TrainingError(
            f"{start.folder}: trained for {start.task}, has {', '.join(sorted(held))}: nothing that this task can take "
            "over; give a checkpoint of the same kind of network, or set from_scratch=true"
        )
    for part in taken:
        put_weights(network, weights, start.folder, only=part)


def _can_decode(start: Checkpoint | Start) -> bool:
    """Whether its encoder is a decoder too; a table of relative positions is read in another way by each."""
    if isinstance(start, Start):
        return False
    return bool(start.settings.get("causal_share")) and start.config["positions"] != "relative"


def take_heads(network: Network, start: Start) -> list[str]:
    """Give the heads the weights that fit by name and shape. Returns the names of those that received some."""
    mine = network.weights()
    fitting = {
        name: start.held[name]
        for name, value in mine.items()
        if name.partition(".")[0] in ("head", "classifier")
        and name in start.held
        and start.held[name].shape == value.shape
    }
    network.load_weights(mine | fitting)
    return list(dict.fromkeys(name.partition(".")[0] for name in fitting))


def _check_images(start: Start, data: ModelConfig) -> None:
    mine, theirs = ([config.image_height, config.image_width, config.image_channels] for config in (data, start.config))
    if mine != theirs:
        raise TrainingError(
            f"{start.folder}: a network for images of {theirs} (height, width, channels), but the corpus has {mine} "
            "(0 is text); change image_size in prepare_data, or take another network"
        )
