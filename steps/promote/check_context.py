"""Context of the gate's checks: two model versions, the same questions to both, and the finding of each check."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from tasks.evaluation import Block

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray

    from artifacts.corpus import Corpus
    from artifacts.store import Store
    from steps.promote.model_process import Answering, Contender
    from steps.promote.policy import Policy
    from tasks.task import Task
    from telemetry import Observe

Verdict = Literal["passed", "failed", "unknown", "told"]


@dataclass(frozen=True)
class Finding:
    """Finding of a check: a verdict, a sentence with its numbers, and its blocks for the page."""

    check: str
    verdict: Verdict
    told: str
    numbers: Mapping[str, Any] = field(default_factory=dict)
    blocks: Sequence[Block] = ()


@dataclass(frozen=True)
class Side:
    """A version with its answers to the questions, and their statistics for the metrics."""

    who: Contender
    answers: pd.DataFrame
    statistics: pd.DataFrame
    process: Answering

    def right(self, questions: pd.DataFrame) -> NDArray[np.bool_]:
        """Whether each answer is the expected one, word for word."""
        right: NDArray[np.bool_] = (
            questions["expected"].astype(str) == self.answers["prediction"].astype(str)
        ).to_numpy()
        return right


@dataclass(frozen=True)
class Case:
    """Inputs of all checks. `champion` is None if there is none or it cannot be compared."""

    task: Task
    policy: Policy
    metric: str
    corpus: Corpus
    questions: pd.DataFrame
    candidate: Side
    champion: Side | None
    store: Store
    observe: Observe

    @property
    def sides(self) -> list[Side]:
        """Candidate and champion, as far as there is one."""
        return [self.candidate, *([self.champion] if self.champion else [])]

    def names(self) -> list[str]:
        """Names of the sides, in the same order."""
        return ["candidate", "champion"][: len(self.sides)]

    @property
    def on_text(self) -> bool:
        """Whether the questions are texts."""
        return self.task.input == "text"

    @property
    def word_for_word(self) -> bool:
        """Whether an answer can be right or wrong as a whole: of vectors, or of texts that go on, none ever is."""
        return any(side.right(self.questions).any() for side in self.sides)
