"""A trained model, ready to answer: network, tokenizer, task."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from models.devices import CPU, Compute
from training.batches import Batch, Examples, in_order
from training.errors import TrainingError
from training.frameworks import build_network
from training.shards import map_in_threads, map_in_turn

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

    from artifacts.checkpoint import Checkpoint
    from artifacts.tokenizer import Tokenizer
    from models.config import ModelConfig
    from models.network import Network
    from tasks.task import Settings, Task

_BATCH_TOKENS = 8192
_PARTS = 4  # of the inputs of `predict`
_watcher: ContextVar[Callable[[int], None] | None] = ContextVar("watcher", default=None)


@dataclass(frozen=True)
class Model:
    """The parts that a task's `predict` needs."""

    network: Network
    tokenizer: Tokenizer
    config: ModelConfig
    task: str
    settings: dict[str, Any]

    def batches(self, texts: Sequence[str]) -> Iterator[Batch]:
        """Texts as batches of similar length; a batch's `rows` say which texts it holds. Long texts are cut."""
        limit = self.config.max_length
        return self.batches_of([self.tokenizer.with_ends(ids, limit) for ids in self.tokenizer.encode_batch(texts)])

    def batches_of(self, sequences: Sequence[Sequence[int]]) -> Iterator[Batch]:
        """The same of sequences of ids, ends and all."""
        if sequences:
            examples = Examples.of(sequences, [str(place) for place in range(len(sequences))], self.tokenizer.pad_id)
            for rows in in_order(examples, _BATCH_TOKENS):
                yield examples.batch(rows)
                count_rows(len(rows))


@contextmanager
def watch_rows(watcher: Callable[[int], None]) -> Iterator[None]:
    """Within, `watcher(n)` is called whenever `n` more rows have been answered. For display only: it changes no answer."""
    token = _watcher.set(watcher)
    try:
        yield
    finally:
        _watcher.reset(token)


def count_rows(rows: int) -> None:
    """Report that many more rows as answered."""
    if watcher := _watcher.get():
        watcher(rows)


def predict(task: Task, model: Model, inputs: Sequence[Any], **options: Any) -> pd.DataFrame:
    """A task's answers, on all cores: always in the same parts, so that the number of cores changes no digit."""
    import pandas as pd

    parts = [range(number, len(inputs), _PARTS) for number in range(min(_PARTS, len(inputs)))]
    each = map_in_threads if getattr(model.network, "compute", CPU).shares_cores else map_in_turn
    frames = each(lambda part: task.predict(model, [inputs[place] for place in part], **options), parts)
    order = np.argsort([place for part in parts for place in part])
    return (
        pd.concat(frames, ignore_index=True).iloc[order].reset_index(drop=True)
        if parts
        else task.predict(model, inputs, **options)
    )


def build(
    task: Task, config: ModelConfig, settings: Settings, seed: int | None = None, compute: Compute = CPU
) -> Network:
    """A task's network, its weights drawn from `seed` alone. TrainingError for a config that no network can have."""
    try:
        return build_network(task.parts(config, settings), config, seed, compute)
    except ValueError as error:
        raise TrainingError(f"{task.name}: {error}") from None


def load_model(checkpoint: Checkpoint, compute: Compute | None = None) -> Model:
    """The network of a checkpoint with its weights; without a choice, on the device that the environment names, else the CPU."""
    from models.config import ModelConfig
    from tasks import load

    config = ModelConfig(**checkpoint.config)
    chosen = compute or Compute.from_environment()
    network = build(load(checkpoint.task), config, checkpoint.settings, compute=chosen)
    put_weights(network, checkpoint.weights(), checkpoint.folder)
    return Model(network, checkpoint.tokenizer, config, checkpoint.task, checkpoint.settings)


def put_weights(network: Network, given: Mapping[str, NDArray[Any]], source: object, *, only: str = "") -> None:
    """Put weights by name into a network; with `only`, those of one part. `source` names where they are from."""
    prefix = f"{only}." if only else ""
    all_of_them = network.weights()
    weights = {name: value for name, value in given.items() if name.startswith(prefix)}
    wanted = {name: value for name, value in all_of_them.items() if name.startswith(prefix)}
    if weights.keys() != wanted.keys():
        odd = sorted(weights.keys() ^ wanted.keys())
        raise TrainingError(f"{source}: parameters do not fit the network: {', '.join(odd[:3])}")
    for name, value in wanted.items():
        if weights[name].shape != value.shape:
            shapes = f"{list(weights[name].shape)}, where the network has {list(value.shape)}"
            raise TrainingError(
                f"{source}: {name} is {shapes}; the checkpoint is of another architecture or vocabulary"
            )
    network.load_weights(all_of_them | weights)


def check_same_tokenizer(start: Checkpoint, tokenizer: Tokenizer) -> None:
    """TrainingError when a checkpoint was trained with another tokenizer: its token ids would mean other things."""
    if start.tokenizer.digest != tokenizer.digest:
        raise TrainingError(
            f"{start.folder}: trained with tokenizer {start.tokenizer.digest[:12]}, not with {tokenizer.digest[:12]}; "
            "give the tokenizer it was trained with, or pretrain again"
        )
