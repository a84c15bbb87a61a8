"""Classification: which label belongs to a text. The network is an encoder and a classifier on the mean vector."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from models.network import Part
from models.question import Question, ask_each_row, text_inputs
from tasks.answers import softmax
from tasks.attention import attention_of
from tasks.classification import tf_idf
from tasks.classification_scores import (
    Choosing,
    calibration,
    class_table,
    confusion,
    confusion_map,
    majority,
    score_function,
    scores,
    top_classes,
)
from tasks.evaluation import Block, Evaluation, Texts
from tasks.lengths import lengths_block
from tasks.task import Task, checked_options
from training.errors import TrainingError

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

    from artifacts.corpus import Corpus
    from artifacts.tokenizer import Tokenizer
    from models.config import ModelConfig
    from models.network import Parts
    from tasks.model import Model
    from tasks.task import Limits, Settings
    from telemetry import Observe
    from training.batches import Batch
    from training.examples import Example

_WORST = 12  # errors shown with their text
_SHOWN = 600  # characters of such a text


class Classification(Task):
    """The task; `tasks/task.py` documents the methods."""

    name = "classification"
    primary_metric = "macro_f1"
    PredictOptions = Choosing

    # Training

    def settings(self, corpus: Corpus, options: Mapping[str, Any]) -> dict[str, Any]:
        checked_options(self.name, self.Options, options)
        if len(corpus.labels) < 2:
            raise TrainingError(
                f"{corpus.artifact.path}: {len(corpus.labels)} labels; classification needs at least two (set label_column)"
            )
        return {"labels": corpus.labels}

    def parts(self, config: ModelConfig, settings: Settings) -> Parts:
        return {"encoder": Part("Encoder"), "classifier": Part("Classifier", {"num_labels": len(settings["labels"])})}

    def encode(
        self, corpus: Corpus, tokenizer: Tokenizer, split: str, settings: Settings, limits: Limits
    ) -> Iterator[Example]:
        from training.examples import Example

        number = {label: index for index, label in enumerate(settings["labels"])}
        for batch in corpus.batches(split, ["id", "text", "label"]):
            rows = [row for row in batch.to_pylist() if row["label"] is not None]
            encoded = tokenizer.encode_batch([row["text"] for row in rows])
            for row, tokens in zip(rows, encoded, strict=True):
                yield Example(row["id"], tokenizer.with_ends(tokens, limits.max_length), number[row["label"]])

    def ask(
        self, config: ModelConfig, settings: Settings, batch: Batch, random: np.random.Generator, *, training: bool
    ) -> Question:
        return ask_each_row(text_inputs(batch.input_ids, batch.attention_mask), batch.labels)

    # Evaluation

    def questions(self, corpus: Corpus, split: str, settings: Settings) -> pd.DataFrame:
        import pandas as pd

        rows = [row for row in corpus.rows(split, ["id", "text", "label"]) if row["label"] is not None]
        if not rows:
            raise TrainingError(f"{corpus.artifact.path}: no labelled row in the split {split}")
        return pd.DataFrame(rows).rename(columns={"label": "expected"})

    def predict(self, model: Model, inputs: Sequence[Any], **options: Any) -> pd.DataFrame:
        chosen, labels = checked_options(self.name, self.PredictOptions, options), model.settings["labels"]
        probabilities = np.zeros((len(inputs), len(labels)), np.float32)
        for batch in model.batches(inputs):
            question = ask_each_row(text_inputs(batch.input_ids, batch.attention_mask))
            probabilities[batch.rows] = softmax(model.network.logits(question))
        return top_classes(probabilities, labels, chosen)

    def metrics(self, statistics: pd.DataFrame) -> dict[str, float]:
        return scores(statistics)

    def measure(self, statistics: pd.DataFrame) -> Callable[[NDArray[np.int64]], dict[str, float]]:
        return score_function(statistics)

    def baselines(
        self, corpus: Corpus, questions: pd.DataFrame, settings: Settings, seed: int, observe: Observe
    ) -> dict[str, pd.DataFrame]:
        train = self.questions(corpus, "train", settings)
        answers = {"majority class": majority(train, questions)}
        if train["expected"].nunique() > 1:
            validation = self.questions(corpus, "validation", settings) if _has_labels(corpus, "validation") else None
            answers[tf_idf.NAME] = tf_idf.answers(train, validation, questions, observe)
        return answers

    def report(self, evaluation: Evaluation) -> list[Block]:
        questions, predictions = evaluation.questions, evaluation.predictions
        counts, labels = confusion(questions["expected"].to_numpy(), predictions["prediction"].to_numpy())
        right = (questions["expected"] == predictions["prediction"]).to_numpy()
        return [
            class_table(counts, labels, evaluation),
            confusion_map(counts, labels),
            calibration(predictions["probability"].to_numpy(), right),
            lengths_block(self, evaluation),
            _worst(questions, predictions, right),
            attention_of(evaluation.model, str(questions["text"].iloc[0])),
        ]


TASK = Classification()


def _has_labels(corpus: Corpus, split: str) -> bool:
    return bool(sum(corpus.info["rows_by_label"][split].values()))


def _worst(questions: pd.DataFrame, predictions: pd.DataFrame, right: NDArray[np.bool_]) -> Block:
    wrong = predictions[~right].sort_values("probability", ascending=False, kind="stable").head(_WORST)
    items = []
    for place in wrong.index:
        question, prediction = questions.loc[place], predictions.loc[place]
        heading = f"{question['expected']}, taken for {prediction['prediction']} ({prediction['probability']:.0%} sure)"
        text = str(question["text"])
        items.append((heading, text if len(text) <= _SHOWN else f"{text[:_SHOWN]} …"))
    return Texts("Worst errors", "Wrong, and the surest of it: often the label is what should be looked at.", items)
