"""The part of each text that a model reads. A longer text is answered all the same, and the answer says so."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from tasks.evaluation import Bars, Block, Evaluation

if TYPE_CHECKING:
    import pandas as pd

    from tasks.model import Model
    from tasks.task import Task

COLUMNS = ("truncated", "tokens_read", "tokens_given")


@dataclass(frozen=True)
class Length:
    """Tokens of one text, its ends not counted."""

    given: int
    read: int

    @property
    def is_truncated(self) -> bool:
        """Whether some of it was not read."""
        return self.read < self.given


def answer_with_lengths(
    task: Task, model: Model, inputs: Sequence[Any], options: Mapping[str, Any]
) -> tuple[pd.DataFrame, dict[str, list[Any]]]:
    """The task's answers, and of texts the lists `truncated`, `tokens_read` and `tokens_given`. Each text is cut once."""
    if task.input != "text":
        return task.predict(model, inputs, **options), {}
    model = replace(model, tokenizer=model.tokenizer.remembering())
    found = task.predict(model, inputs, **options)
    lengths = task.lengths(model, inputs, options)
    columns = ([one.is_truncated for one in lengths], [one.read for one in lengths], [one.given for one in lengths])
    return found, dict(zip(COLUMNS, columns, strict=True))


def answer_as_frame(task: Task, model: Model, inputs: Sequence[Any], options: Mapping[str, Any]) -> pd.DataFrame:
    """Both as one frame."""
    found, lengths = answer_with_lengths(task, model, inputs, options)
    return found.assign(**lengths)


def example(task: Task) -> dict[str, list[Any]]:
    """These columns as a registered model's signature has them: two rows."""
    return dict(zip(COLUMNS, ([False, False], [10, 8], [10, 8]), strict=True)) if task.input == "text" else {}


def lengths_block(task: Task, evaluation: Evaluation) -> Block:
    """Lengths of an evaluation's questions, and the number that was cut."""
    model = evaluation.model
    lengths = task.lengths(model, evaluation.questions[task.input].tolist(), {})
    token_counts = [one.given for one in lengths]
    # Bins that grow evenly in their logarithm; one more than the length, so that an empty text has its place.
    edges = np.unique(np.geomspace(min(token_counts) + 1, max(token_counts) + 2, 13).round().astype(int)) - 1
    counts, _ = np.histogram(token_counts, bins=edges)
    cut = sum(one.is_truncated for one in lengths)
    room = model.config.max_length - (2 if model.tokenizer.opens else 1)
    cut_note = (
        f"{cut:,} of {len(lengths):,} ({cut / len(lengths):.1%}) are longer, and were answered from their beginning"
        if cut
        else ("none is longer")
    )
    note = (
        f"How long the texts are; a bar is named by its shortest. The model reads the first {room} tokens; {cut_note}."
    )
    return Bars(
        "Lengths", note, "tokens, from", "texts", [str(edge) for edge in edges[:-1]], [int(count) for count in counts]
    )
