"""What goes wrong in training and is not a fault of the code: one line that says what happened and what to do."""


class TrainingError(ValueError):
    """The user can mend it; the wrapper shows the message alone."""
