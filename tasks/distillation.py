"""A smaller network learns from a larger one that was trained before: not only what is right, but how likely all else is.

Hinton et al. 2015, "Distilling the Knowledge in a Neural Network" (arXiv 1503.02531), section 2; of a masked language model
Sanh et al. 2019, "DistilBERT" (arXiv 1910.01108), section 3, whose third term, on hidden vectors, is not here.

    L = a T^2 KL(softmax(teacher / T) || softmax(student / T)) + (1 - a) L_hard

T^2 keeps the share of the soft part the same whatever T is. Both networks answer the same question: masks are drawn once.
The teacher is no part of the student's network, so it is neither trained nor kept with it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tasks.model import check_same_tokenizer, load_model
from training.errors import TrainingError

if TYPE_CHECKING:
    import torch

    from artifacts.checkpoint import Checkpoint
    from artifacts.tokenizer import Tokenizer
    from models.config import ModelConfig
    from tasks.model import Model
    from tasks.task import Settings, Task
    from training.batches import Batch
    from training.options import TrainingOptions
    from training.torch.backend import Loss, RowLosses


@dataclass(frozen=True)
class Lesson:
    """A task's losses with a teacher: what a training takes in place of the task's own."""

    task: Task
    teacher: Model
    temperature: float
    soft_share: float

    def loss(self, network: torch.nn.Module, batch: Batch, generator: torch.Generator) -> Loss:
        """In an evaluation the hard loss alone, so that it can be compared with that of a training without a teacher."""
        from training.torch.backend import Loss

        if not network.training:
            return self.task.loss(network, batch, generator)
        total, _ = self._each(network, batch, generator)
        return Loss(total.sum(), len(total))

    def row_losses(self, network: torch.nn.Module, batch: Batch, generator: torch.Generator) -> RowLosses:
        """Of each row, with the teacher."""
        import torch

        from training.torch.backend import RowLosses

        each, of_row = self._each(network, batch, generator)
        count = len(batch.rows)
        return RowLosses(torch.zeros(count).index_add(0, of_row, each), torch.bincount(of_row, minlength=count))

    def about(self) -> dict[str, Any]:
        """The settings from which, with the teacher, the lesson can be given again."""
        return {"temperature": self.temperature, "soft_share": self.soft_share}

    def _each(
        self, network: torch.nn.Module, batch: Batch, generator: torch.Generator
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """The loss of each target, [M], and the row it is in."""
        import torch
        from torch.nn.functional import cross_entropy, kl_div, log_softmax

        asked = self.task.ask(network, batch, generator)
        mine = self.task.choose(network, asked)
        with torch.no_grad():
            theirs = self.task.choose(self.teacher.network, asked).logits
        t = self.temperature
        hard = cross_entropy(mine.logits, mine.labels, reduction="none")
        student, teacher = log_softmax(mine.logits / t, -1), log_softmax(theirs / t, -1)
        soft = t * t * kl_div(student, teacher, reduction="none", log_target=True).sum(-1)
        return self.soft_share * soft + (1 - self.soft_share) * hard, mine.rows


def lesson_of(
    task: Task,
    teacher: Checkpoint,
    tokenizer: Tokenizer,
    model: ModelConfig,
    settings: Settings,
    config: TrainingOptions,
) -> Lesson:
    """A lesson from a checkpoint. TrainingError where it cannot teach this task."""
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
    made = load_model(teacher)
    made.network.requires_grad_(False)
    return Lesson(task, made, config.temperature, config.soft_share)
