"""From a spike to its rows: `python -m tasks.why`.

finding    which training of which run, and where its record and weights are
spikes     which update is the worst, and by what measure
rows       the losses of a batch's rows, computed again, and their texts
around     the interval's span and log lines, and links to look at them
answer     all of it in one value, as text and as JSON
"""

from __future__ import annotations


class WhyError(Exception):
    """A question that cannot be answered: one line with the remedy. `exit_code` 2 is a wrong question."""

    def __init__(self, message: str, exit_code: int = 2) -> None:
        super().__init__(message)
        self.exit_code = exit_code
