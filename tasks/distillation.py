"""A training's teacher: a checkpoint of the same task, whose choices a smaller network learns (`training/torch/distillation.py`)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from models.question import Objective
from tasks.model import check_same_tokenizer, load_model
from training.errors import TrainingError

if TYPE_CHECKING:
    from artifacts.checkpoint import Checkpoint
    from artifacts.tokenizer import Tokenizer
    from models.config import ModelConfig
    from tasks.model import Model
    from tasks.task import Settings, Task
    from training.options import TrainingOptions


@dataclass(frozen=True)
class Lesson:
    """A teacher, and how it teaches."""

    teacher: Model
    temperature: float
    soft_share: float
    label_smoothing: float = 0.0  # of the hard part, in training alone

    def teach(self, objective: Objective, *, always: bool = False) -> Callable[..., Any]:
        """The objective with the teacher in it; in an evaluation without it, unless `always`."""
        from training.torch.distillation import distil

        network, shares = self.teacher.network, (self.temperature, self.soft_share, self.label_smoothing)
        return distil(objective, network, *shares, always=always)

    def about(self) -> dict[str, Any]:
        """The settings from which, with the teacher, the lesson can be given again."""
        return {"temperature": self.temperature, "soft_share": self.soft_share}


def lesson_of(
    task: Task,
    teacher: Checkpoint,
    tokenizer: Tokenizer,
    model: ModelConfig,
    settings: Settings,
    config: TrainingOptions,
) -> Lesson:
    """A lesson from a checkpoint. TrainingError if it cannot teach this task."""
    if task.objective(settings).name != "choices":
        raise TrainingError(
            f"{task.name} with these options cannot be trained with a teacher; leave out the input `teacher`"
        )
    check_same_tokenizer(teacher, tokenizer)
    if teacher.task != task.name:
        raise TrainingError(
            f"{teacher.folder}: trained for {teacher.task}, cannot teach {task.name}; give a checkpoint of {task.name}"
        )
    if teacher.settings.get("labels") != settings.get("labels"):
        raise TrainingError(
            f"{teacher.folder}: knows other labels than this corpus has; train the teacher on this corpus"
        )
    if teacher.config["max_length"] < model.max_length:
        raise TrainingError(
            f"{teacher.folder}: reads {teacher.config['max_length']} tokens, the student {model.max_length}; "
            f"set max_length={teacher.config['max_length']}"
        )
    return Lesson(load_model(teacher, config.compute), config.temperature, config.soft_share, config.label_smoothing)
