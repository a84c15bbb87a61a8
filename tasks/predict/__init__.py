"""`python -m tasks.predict`: ask a trained model from the command line."""


class PredictError(Exception):
    """A question that cannot be answered: one line with the error and the remedy."""

    def __init__(self, message: str, code: int = 2) -> None:
        super().__init__(message)
        self.code = code  # of the program's exit
