"""Questions kept with a model: a few with its answers, and a profile of all questions of its data.

The server asks these questions again before it lets a version answer, and compares what it is asked later with this
data: how long texts are, how many tokens the tokenizer does not know, which classes are answered.
"""

from __future__ import annotations

import base64
from bisect import bisect_left
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

    from artifacts.tokenizer import Tokenizer
    from tasks.model import Model
    from tasks.task import Task

ROWS = 16  # questions that are recorded
LENGTHS = (16, 32, 64, 128, 256, 512, 1024, 2048, 4096)  # upper edges in characters; what is longer is the last part
_LONGEST = {"text": 4_000, "image": 200_000}  # characters or bytes; a longer question is not recorded
_MOST_CLASSES = 100  # parts of the mix of classes; with more there would be too few rows in each
_COUNTED = 2_000  # rows whose tokens are counted


def record_answers(
    task: Task, model: Model, questions: pd.DataFrame, predictions: pd.DataFrame, options: Mapping[str, Any],
    reference: Model | None = None,
) -> dict[str, Any]:  # fmt: skip
    """Questions, the options with which they were asked, the answers, and the profile of all questions; JSON.

    The answers are those of `reference`, if given: the same model on the CPU, as any machine can repeat it.
    """
    from training.batches import evenly

    inputs = questions[task.input]
    longest = _LONGEST.get(task.input, _LONGEST["text"])
    fit = [place for place, value in enumerate(inputs) if len(value) <= longest]
    places = [fit[i] for i in evenly(len(fit), ROWS)]
    answers = predictions.iloc[places]
    if reference is not None:
        answers = task.predict(reference, [inputs.iloc[i] for i in places], **options)
    return {
        "input": task.input,
        "options": dict(options),
        "questions": [encode_question(inputs.iloc[i]) for i in places],
        "answers": {str(name): [_plain(value) for value in answers[name]] for name in answers},
        "profile": profile(task, model, inputs.tolist(), predictions["prediction"].tolist()),
    }


def profile(task: Task, model: Model, inputs: Sequence[Any], answers: Sequence[Any]) -> dict[str, Any]:
    """Shares of lengths, of unknown tokens and of answered classes, as far as the task has them."""
    result: dict[str, Any] = {"rows": len(inputs)}
    if task.input == "text":
        result["edges"] = list(LENGTHS)
        result["lengths"] = shares_of_lengths([len(text) for text in inputs])
        result["unknown_share"] = unknown_share(model.tokenizer, inputs[:_COUNTED])
    labels = model.settings.get("labels")
    if labels and len(labels) <= _MOST_CLASSES:
        counts = Counter(answers)
        result["classes"] = {str(label): counts[label] / max(1, len(answers)) for label in labels}
    return result


def shares_of_lengths(lengths: Sequence[int]) -> list[float]:
    """The share of lengths up to each edge of `LENGTHS`, and of longer ones."""
    counts = Counter(bisect_left(LENGTHS, length) for length in lengths)
    return [counts[part] / max(1, len(lengths)) for part in range(len(LENGTHS) + 1)]


def unknown_share(tokenizer: Tokenizer, texts: Sequence[str]) -> float:
    """The share of tokens that are unknown, or that spell an unknown character in bytes."""
    known, all_of_them = dict[int, bool](), 0
    unknown = 0
    for ids in tokenizer.encode_batch([str(text) for text in texts]):
        all_of_them += len(ids)
        for number in ids:
            if number not in known:
                known[number] = number == tokenizer.unk_id or tokenizer.pieces([number])[0].startswith("<0x")
            unknown += known[number]
    return round(unknown / max(1, all_of_them), 8)


def encode_question(value: Any) -> str:
    """A question as JSON has it: a text, or an image's bytes in base64."""
    return base64.b64encode(value).decode() if isinstance(value, bytes) else str(value)


def _plain(value: Any) -> Any:
    return value.tolist() if hasattr(value, "tolist") else value
