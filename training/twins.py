"""Trainings that Flax and TensorFlow have."""

from __future__ import annotations

from models.question import Objective
from training.errors import TrainingError
from training.options import TrainingOptions, missing_option


def check_training(framework: str, objective: object, options: TrainingOptions) -> None:
    """TrainingError, before anything is trained, for a teacher or an option that is PyTorch's alone."""
    if not isinstance(objective, Objective):
        raise TrainingError(
            f"framework={framework} has no teacher: train without one, or set framework=torch, which has it"
        )
    if problem := missing_option(options, framework):
        raise TrainingError(problem)
