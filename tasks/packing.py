"""Several texts in a row of a training: whether a task can, and how much padding it saves (`training/packing.py`)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from training.errors import TrainingError
from training.packing import Blocks, padding_share

if TYPE_CHECKING:
    from models.config import ModelConfig
    from tasks.distillation import Lesson
    from tasks.task import Settings, Task
    from telemetry import Observe
    from training.batches import Examples
    from training.options import TrainingOptions


def check(task: Task, model: ModelConfig, settings: Settings, lesson: Lesson | None = None) -> None:
    """TrainingError if the task, its settings or a network cannot."""
    if problem := task.packing_problem(settings):
        raise TrainingError(f"{problem}: set packing=false")
    for whose, network in (("this", model.network), ("the teacher's", lesson and lesson.teacher.config.network)):
        if network and network != "transformer":
            raise TrainingError(
                f"packing needs attention that ends with each text, and {whose} network={network} has none: set packing=false"
            )


def pack(
    examples: Examples, model: ModelConfig, config: TrainingOptions, observe: Observe
) -> tuple[Blocks, dict[str, Any]]:
    """The examples of a training as blocks of at most `max_length` tokens; and counts for its history."""
    blocks = Blocks.pack(examples, model.max_length, config.seed)
    apart, packed = (
        padding_share(rows, config.batch_tokens, config.shards, config.seed) for rows in (examples, blocks)
    )
    counts: dict[str, Any] = {
        "texts": len(examples),
        "blocks": len(blocks),
        "padding_share": packed,
        "padding_share_apart": apart,
    }
    message = f"{len(examples):,} texts in {len(blocks):,} blocks of up to {model.max_length} tokens"
    observe.log("training.packed", f"{message}: {packed:.1%} of padding, {apart:.1%} without packing", **counts)
    held = max(1, config.batch_tokens // model.max_length)
    if held < config.shards:
        observe.log(
            "training.packed",
            f"batch_tokens={config.batch_tokens} holds {held} of these blocks, for {config.shards} shards: those without one "
            f"leave their cores idle; set batch_tokens={config.shards * model.max_length} or more",
            level="warning",
            blocks=held,
            shards=config.shards,
        )
    return blocks, counts
