"""Errors of a training that are no fault of the code."""

from artifacts.errors import UserError


class TrainingError(UserError, ValueError):
    """A mistake in data or config that shows only in training: one line that says what happened and what to do."""
