"""Comparison of several models of one task: names, costs and learning curves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from artifacts import atomic
from models.config import ModelConfig
from models.devices import FRAMEWORKS
from steps.pages.page import DIGITS
from tasks.evaluation import Block, Lines, Table

if TYPE_CHECKING:
    from artifacts import Artifact
    from artifacts.checkpoint import Checkpoint


def name_of(checkpoint: Checkpoint, *, framework: bool = False) -> str:
    """A model's name: its preset or family, and its pretraining tasks. `bert, from masked LM`; with `framework`, `bert in Flax, ...`."""
    family = str(checkpoint.config.get("preset") or checkpoint.config["network"])
    if framework:
        family = f"{family} in {FRAMEWORKS[checkpoint.framework]}"
    before = [readable_task(one.get("task", "pretraining")) for one in checkpoint.pretraining]
    return f"{family}, from {' and '.join(before)}" if before else family


def names_of(checkpoints: Sequence[Checkpoint]) -> list[str]:
    """Their names; where two would be called the same, the tokens they have seen or else a number tells them apart."""
    several = len({checkpoint.framework for checkpoint in checkpoints}) > 1
    names = [name_of(checkpoint, framework=several) for checkpoint in checkpoints]
    longer_names = [
        f"{name}, {tokens_of(checkpoint) / 1e6:.3g} M tokens"
        for name, checkpoint in zip(names, checkpoints, strict=True)
    ]
    names = [longer if names.count(name) > 1 else name for name, longer in zip(names, longer_names, strict=True)]
    before = [names[:place].count(name) for place, name in enumerate(names)]
    return [f"{name} ({n + 1})" if names.count(name) > 1 else name for name, n in zip(names, before, strict=True)]


def tokens_of(checkpoint: Checkpoint) -> int:
    """All that its weights were trained on, pretraining included."""
    return sum(int(one["tokens"]) for one in (*checkpoint.pretraining, checkpoint.history))


def readable_task(task: str) -> str:
    """`masked_lm` as people write it."""
    return task.replace("_", " ").replace(" lm", " LM")


def blocks(models: Mapping[str, tuple[Checkpoint, Artifact]], root: Path) -> list[Block]:
    """Table and curves of all models. Returns an empty list if there is only one."""
    if len(models) < 2:
        return []
    histories = {name: checkpoint.history for name, (checkpoint, _) in models.items()}
    before = {
        label: history
        for name, (checkpoint, _) in models.items()
        for label, history in named_pretraining(checkpoint, name).items()
    }
    found: list[Block] = [
        _table(models, root),
        _curves("Learning curves", histories, "validation", "Validation loss in training for the task itself."),
        _curves("Learning curves, training", histories, "training", "The same on the batches they learn from."),
    ]
    if any(checkpoint.framework != "torch" for checkpoint, _ in models.values()):
        found += [
            _frameworks(models, root),
            *_differences({name: checkpoint for name, (checkpoint, _) in models.items()}),
        ]
    if len(before) > 1:
        note = "Each by its own objective: how fast it falls can be compared, how far down it is cannot."
        found.append(_curves("Learning curves, pretraining", before, "validation", note))
    return found


def cost_of(digest: str, kind: str, root: Path) -> dict[str, float] | None:
    """Cost of making an artifact, where the store still has it."""
    folders = (root / "artifacts" / kind).glob(f"{digest[:DIGITS]}-*")
    found = sorted(path for folder in folders if (path := folder / "sidecars" / "cost.json").exists())
    return dict(atomic.read_json(found[0])) if found else None


def named_pretraining(checkpoint: Checkpoint, name: str) -> dict[str, dict[str, Any]]:
    """The histories of its trainings before; where there are several, with their tasks in their names."""
    before = checkpoint.pretraining
    if len(before) < 2:
        return {name: before[0]} if before else {}
    return {f"{name} {place}: {readable_task(one['task'])}": one for place, one in enumerate(before, 1)}


def trainings_of(checkpoint: Checkpoint, artifact: Artifact) -> list[dict[str, Any]]:
    """The entries of the lineage of the trainings that made its weights, its own first."""
    by_digest = {entry["digest"]: entry for entry in artifact.lineage}
    found = [by_digest[artifact.digest]]
    for _ in checkpoint.pretraining:
        if parent := by_digest.get(found[-1]["parents"].get("checkpoint", "")):
            found.append(parent)
    return found


def _table(models: Mapping[str, tuple[Checkpoint, Artifact]], root: Path) -> Table:
    rows = []
    for name, (checkpoint, artifact) in models.items():
        before, history, config = checkpoint.pretraining, checkpoint.history, ModelConfig(**checkpoint.config)
        costs = [cost_of(one["digest"], one["kind"], root) for one in trainings_of(checkpoint, artifact)]
        seconds = [cost["seconds"] for cost in costs if cost]
        updates, tokens = (sum(int(one[what]) for one in before) for what in ("updates", "tokens"))
        rows.append([
            name, f"{config.network}, {config.num_layers} x {config.d_model}", int(artifact.counts.get("parameters", 0)),
            f"{updates:,}" if before else "-", f"{tokens:,}" if before else "-",
            int(history["updates"]), int(history["tokens"]),
            tokens_of(checkpoint), round(sum(seconds)) if seconds else "-",
        ])  # fmt: skip
    columns = [
        "model", "network, layers x width", "parameters", "updates before", "tokens before", "updates", "tokens",
        "tokens in all", "seconds in all",
    ]  # fmt: skip
    note = (
        "Each model and its training. Before: in pretraining. Tokens are those that are not padding; seconds those of the "
        "runs that made the weights, pretraining included, where the store still has them."
    )
    return Table("Models", note, columns, rows)


def _frameworks(models: Mapping[str, tuple[Checkpoint, Artifact]], root: Path) -> Table:
    """Seconds and memory of the last training of each model."""
    rows = []
    for name, (checkpoint, artifact) in models.items():
        cost, compiled = cost_of(artifact.digest, artifact.kind, root), _compile_seconds(artifact)
        shown = [f"{cost[what]:.0f}" for what in ("seconds", "cpu_seconds")] if cost else ["-", "-"]
        memory = f"{cost['peak_bytes'] / 2**20:,.0f}" if cost else "-"
        rows.append([name, FRAMEWORKS[checkpoint.framework], shown[0], f"{compiled:.0f}", shown[1], memory])
    columns = ["model", "framework", "seconds", "of these compiling", "CPU seconds", "peak memory in MiB"]
    note = "Cost of the last training of each model, its start and its imports included."
    return Table("Frameworks", note, columns, rows)


def _compile_seconds(artifact: Artifact) -> float:
    path = artifact.path / "sidecars" / "training.json"
    return float(atomic.read_json(path).get("compile_seconds", 0.0)) if path.exists() else 0.0


def _differences(models: Mapping[str, Checkpoint]) -> list[Block]:
    """Differences between the losses of other frameworks and PyTorch's, at the same updates."""
    found: list[Block] = []
    for what, history_of in (("Fine-tuning", lambda one: one.history), ("Pretraining", _first_training)):
        histories = {name: history for name, checkpoint in models.items() if (history := history_of(checkpoint))}
        ours = {name: history for name, history in histories.items() if history.get("framework", "torch") == "torch"}
        series: dict[str, tuple[list[float], list[float]]] = {}
        for name, history in histories.items():
            reference = next(iter(ours.values()), None)
            if name in ours or reference is None:
                continue
            losses = {entry["update"]: entry["loss"] for entry in reference["training"]}
            shared = [entry for entry in history["training"] if entry["update"] in losses]
            xs = [float(entry["update"]) for entry in shared]
            series[name] = xs, [abs(entry["loss"] - losses[entry["update"]]) for entry in shared]
        if any(xs for xs, _ in series.values()):
            note = (
                "The absolute difference of the training loss from PyTorch's, on the same batches. Rounding of float32 begins it, and "
                "each update passes it on."
            )
            title = f"{what}: difference between frameworks"
            found.append(Lines(title, note, "update", "difference in nats", series, powers=True))
    return found


def _first_training(checkpoint: Checkpoint) -> dict[str, Any] | None:
    return checkpoint.pretraining[0] if checkpoint.pretraining else None


def _curves(title: str, histories: Mapping[str, Mapping[str, Any]], part: str, note: str) -> Lines:
    series = {}
    for name, history in histories.items():
        points = history["training"]
        updates, tokens = [p["update"] for p in points], [p["tokens"] for p in points]
        at = np.interp([p["update"] for p in history[part]], [0, *updates], [0, *tokens])
        series[name] = ([float(x) for x in at], [float(p["loss"]) for p in history[part]])
    return Lines(title, f"{note} Mean loss in nats by the tokens seen so far.", "tokens", "loss", series)
