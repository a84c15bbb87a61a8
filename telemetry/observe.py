"""`observe`: all that a step may tell the world about itself. Nothing here ever raises into a step."""

from __future__ import annotations


class Interrupted(BaseException):
    """The run was asked to end by a signal (SIGTERM or SIGINT); what could be saved has been saved."""

    def __init__(self, signal_number: int) -> None:
        super().__init__(f"ended by signal {signal_number}")
        self.signal_number = signal_number


class Observe:
    pass
