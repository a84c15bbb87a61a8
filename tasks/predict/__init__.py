"""`python -m tasks.predict`: ask a trained model from the command line."""


class PredictError(Exception):
    """A question that cannot be answered as it was put: one line that says what is wrong and what to give instead."""

    def __init__(self, message: str, code: int = 2) -> None:
        super().__init__(message)
        self.code = code  # of the program's exit
