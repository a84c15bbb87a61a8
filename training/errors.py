"""Errors of a training that are no fault of the code: one line that says what happened and what to do."""


class TrainingError(ValueError):
    """A mistake that the user can correct; the wrapper shows the message alone."""
