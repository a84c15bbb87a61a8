"""The rows of one update: their losses, computed again from the nearest weights, and their texts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from artifacts import Artifact, ArtifactError, open_artifact
from artifacts.checkpoint import Checkpoint
from artifacts.corpus import Corpus
from artifacts.store import Store
from artifacts.tokenizer import Tokenizer
from models.chance import generator_of
from models.devices import CPU
from tasks.why.run_lookup import Training
from training.backend import RowLosses
from training.checkpoints import Checkpoints
from training.options import TrainingOptions
from training.shards import cut
from training.update_log import Entry

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from tasks.distillation import Lesson
    from training.batches import Examples


@dataclass(frozen=True)
class RowLoss:
    """A row's loss: the sum over its targets, how many these are, and its share of the whole batch's."""

    total: float
    targets: int
    share: float

    @property
    def mean(self) -> float:
        """Mean loss of a target."""
        return self.total / max(1, self.targets)


@dataclass(frozen=True)
class Row:
    """A row of the batch; fields are None if they are lost or could not be computed again."""

    id: str
    part: int
    text: str | None = None
    label: str | None = None
    loss: RowLoss | None = None


@dataclass(frozen=True)
class Rows:
    """A batch; if the losses are known, the rows with the highest come first. `missing` names the parts that are lost."""

    rows: list[Row]
    weights: str = ""  # which weights the losses are computed with
    loss: float | None = None  # of the batch, with these weights and without dropout
    missing: str = ""


def rows_of(store: Store, training: Training, entry: Entry) -> Rows:
    """The rows of an update, as far as corpus, tokenizer and weights are still there."""
    unknown = [Row(*one) for one in zip(entry.rows, entry.parts, strict=True)]
    about = training.about
    if not about["inputs"]:
        return Rows(unknown)  # of a loop that is not ours, with data of its own
    try:
        corpus = Corpus(_input(store, about, "corpus"))
        there = {row["id"]: row for row in corpus.only(entry.rows).rows("train", ["id", "text", "label"])}
        if set(entry.rows) - there.keys():
            raise ArtifactError(f"{corpus.artifact.path}: lacks rows of this update; it is not the one it trained on")
        with_texts = [Row(row.id, row.part, there[row.id]["text"], there[row.id]["label"]) for row in unknown]
        weights = _weights(training, entry.update)
        if weights is None:
            why = "no checkpoint yet: the rows are in the batch's order, their losses are not known"
            return Rows(with_texts, missing=why)
        tokenizer = _tokenizer(store, training, about)
        examples = _examples(corpus, tokenizer, about, entry)
        losses = _losses(examples, about, weights[0], entry, store)
        total, targets = losses.total.astype(np.float64), losses.targets
    except ArtifactError as error:
        return Rows(unknown, missing=str(error))
    rows = []
    for place, row in enumerate(with_texts):
        # For a later part of a long row, show the tokens that the network saw instead of the row's beginning.
        text = row.text if not row.part else tokenizer.decode(examples.inputs[place].tolist())
        share = float(total[place] / total.sum()) if total.sum() > 0 else 0.0
        loss = RowLoss(float(total[place]), int(targets[place]), share)
        rows.append(Row(row.id, row.part, text, row.label, loss))
    means = np.nan_to_num(total / np.maximum(1, targets), nan=np.inf)
    ordered = [rows[place] for place in np.argsort(-means, kind="stable")]
    return Rows(ordered, weights[1], float(total.sum() / max(1, targets.sum())))


def _input(store: Store, about: Mapping[str, Any], kind: str, name: str = "") -> Artifact:
    entry = about["inputs"].get(name or kind)
    if entry is None:
        raise ArtifactError(f"the training does not say which {kind} it had")
    artifact = store.find(kind, entry["digest"])
    if artifact is None:
        try:
            artifact = open_artifact(entry["path"], kind, check=False)
        except ArtifactError:
            artifact = None
    if artifact is None or artifact.digest != entry["digest"]:
        raise ArtifactError(
            f"the {kind} {entry['digest'][:12]} is gone (removed by `python -m artifacts gc`?): ids are all that is left; "
            "run the pipeline again to recreate it"
        )
    return artifact


def _tokenizer(store: Store, training: Training, about: Mapping[str, Any]) -> Tokenizer:
    if training.artifact is not None:
        return Checkpoint(training.artifact).tokenizer
    if "tokenizer" not in about["inputs"]:
        return Tokenizer.none()  # of images
    return Tokenizer(_input(store, about, "tokenizer").path)


def _weights(training: Training, update: int) -> tuple[Mapping[str, NDArray[Any]], str] | None:
    """The weights nearest to an update, and which these are, in words."""
    if training.artifact is not None:
        checkpoint = Checkpoint(training.artifact)
        best = checkpoint.history["best_update"]
        return checkpoint.weights(), f"the finished training's, those after update {best} (its best)"
    saved = Checkpoints(training.folder / "checkpoints").nearest(update)
    if saved is None:
        return None
    after = saved.state["update"]
    return saved.weights, f"of the checkpoint after update {after}, {abs(update - 1 - after)} updates from this one"


def _examples(corpus: Corpus, tokenizer: Tokenizer, about: Mapping[str, Any], entry: Entry) -> Examples:
    """The examples of the batch in its order, made from these rows alone."""
    from models.config import ModelConfig
    from tasks import load

    model = ModelConfig(**about["model"])
    some = load(about["task"]).examples(corpus.only(entry.rows), tokenizer, "train", about["settings"], model)
    place = {(row, int(part)): at for at, (row, part) in enumerate(zip(some.ids, some.parts, strict=True))}
    try:
        order = [place[one] for one in zip(entry.rows, entry.parts, strict=True)]
    except KeyError as error:
        raise ArtifactError(f"{corpus.artifact.path}: cannot recreate row {error} as it was during training") from None
    return some.take(np.array(order, np.int64))


def _losses(
    examples: Examples, about: Mapping[str, Any], weights: Mapping[str, NDArray[Any]], entry: Entry, store: Store
) -> RowLosses:
    """The loss of each row: the masks are those of the update, dropout is off."""
    from models.config import ModelConfig
    from tasks import load
    from tasks.model import build, put_weights
    from training.frameworks import build_backend, prepare

    prepare()
    task, config, settings = load(about["task"]), ModelConfig(**about["model"]), about["settings"]
    network = build(task, config, settings)
    put_weights(network, weights, "the checkpoint")
    objective, lesson = task.objective(settings), _lesson_of(about, store)
    backend = build_backend(network, lesson.teach(objective, always=True) if lesson else objective, TrainingOptions())
    if "shards" not in about:
        raise ArtifactError(
            "trained by an earlier version, which drew its masks otherwise: train again to see the losses of rows"
        )
    # A contrast is between the rows of the whole batch.
    shards = 1 if objective.name == "contrast" else about["shards"]
    total, targets = np.zeros(len(examples), np.float32), np.zeros(len(examples), np.int64)
    before = entry.update - 1
    progress = before / about.get("max_updates", max(1, before))
    for shard, rows in enumerate(_cut(entry, shards)):
        random = generator_of(about["seed"], before, shard)
        losses = backend.row_losses(task.ask(config, settings, examples.batch(rows, progress), random, training=False))
        total[rows], targets[rows] = losses.total, losses.targets
    return RowLosses(total, targets)


def _cut(entry: Entry, shards: int) -> list[NDArray[np.int64]]:
    """The places of each shard's examples. A text that shared a row with others has the same loss in one of its own."""
    places = np.arange(len(entry.rows))
    members = np.split(places, np.cumsum(entry.blocks)[:-1]) if entry.blocks else list(places[:, None])
    return [np.concatenate([members[row] for row in own]) for own in cut(np.arange(len(members)), shards)]


def _lesson_of(about: Mapping[str, Any], store: Store) -> Lesson | None:
    """The lesson of a teacher, where the training had one."""
    settings = about.get("lesson")
    if not settings:
        return None
    from tasks.distillation import Lesson
    from tasks.model import load_model

    teacher = load_model(Checkpoint(_input(store, about, "checkpoint", "teacher")), CPU)
    return Lesson(teacher, settings["temperature"], settings["soft_share"])
