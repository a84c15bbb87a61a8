"""Image classification: which label belongs to an image. The network is an encoder of pixels and a linear classifier.

An image is the PNG or JPEG file's content, or that as base64 text (which is how JSON has it).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import Field

from artifacts.images import png
from models.network import Part
from models.question import Question, ask_each_row
from tasks.answers import softmax
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
from tasks.evaluation import Block, Evaluation, Images
from tasks.image_classification.augmentation import augment
from tasks.image_classification.baselines import baselines
from tasks.image_classification.pictures import attention, picture
from tasks.image_classification.pixels import as_pixels, batches, read_image
from tasks.task import Task, TaskOptions, checked_options
from training.batches import evenly
from training.errors import TrainingError

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

    from artifacts.corpus import Corpus
    from artifacts.tokenizer import Tokenizer
    from models.config import Architecture, ModelConfig
    from models.network import Parts
    from tasks.model import Model
    from tasks.task import Limits, Settings
    from telemetry import Observe
    from training.batches import Batch
    from training.examples import Example

_SHOWN = 24  # images with predictions in the report
_WORST = 24


class Options(TaskOptions):
    """Training options: random changes, drawn again each time (see `tasks/image_classification/augmentation.py`)."""

    shift: int = Field(0, ge=0, le=256, description="Moved by up to so many pixels to each side")
    crop: float = Field(1.0, gt=0, le=1, description="A part is taken, its sides from this share of the image's up")
    flip: bool = Field(False, description="Left and right exchanged, every second time; not for letters and digits")


class ImageClassification(Task):
    """The task; `tasks/task.py` documents the methods."""

    name = "image_classification"
    endpoint = "images"
    primary_metric = "accuracy"
    PredictOptions = Choosing
    input = "image"
    packages = ("pillow",)
    Options = Options

    # Training

    def settings(self, corpus: Corpus, options: Mapping[str, Any]) -> dict[str, Any]:
        chosen = checked_options(self.name, Options, options)
        if "image" not in corpus.info:
            raise TrainingError(f"{corpus.artifact.path}: a corpus of text; image_classification needs images")
        if len(corpus.labels) < 2:
            raise TrainingError(
                f"{corpus.artifact.path}: {len(corpus.labels)} labels; image_classification needs at least two (a folder "
                "for each class)"
            )
        return {"labels": corpus.labels, "image": corpus.info["image"], "augmentation": chosen.model_dump()}

    def config(self, architecture: Architecture, tokenizer: Tokenizer, settings: Settings) -> ModelConfig:
        from models.config import ModelConfig

        return ModelConfig.of(architecture, **{f"image_{side}": count for side, count in settings["image"].items()})

    def parts(self, config: ModelConfig, settings: Settings) -> Parts:
        options = {"num_labels": len(settings["labels"]), "hidden": False}
        return {"encoder": Part("Encoder"), "classifier": Part("Classifier", options)}

    def encode(
        self, corpus: Corpus, tokenizer: Tokenizer, split: str, settings: Settings, limits: Limits
    ) -> Iterator[Example]:
        from training.examples import Example

        number = {label: index for index, label in enumerate(settings["labels"])}
        for row in corpus.rows(split, ["id", "label", "image"]):
            if row["label"] is not None:
                label = number[_check_label(row["label"], number, row["id"], corpus)]
                image = read_image(row["image"], f"{corpus.artifact.path}: {row['id']}", limits)
                yield Example(row["id"], image.ravel(), label)

    def numbers(self, tokenizer: Tokenizer) -> int:
        """Values of a pixel."""
        return 256

    def ask(
        self, config: ModelConfig, settings: Settings, batch: Batch, random: np.random.Generator, *, training: bool
    ) -> Question:
        pixels = as_pixels(batch, config)
        if training:
            pixels = augment(pixels, random, **settings["augmentation"])
        return ask_each_row({"pixels": pixels}, batch.labels)

    # Evaluation

    def questions(self, corpus: Corpus, split: str, settings: Settings) -> pd.DataFrame:
        import pandas as pd

        if "image" not in corpus.info:
            raise TrainingError(f"{corpus.artifact.path}: a corpus of text; image_classification needs images")
        rows = [row for row in corpus.rows(split, ["id", "label", "image"]) if row["label"] is not None]
        if not rows:
            raise TrainingError(f"{corpus.artifact.path}: no labelled image in the split {split}")
        for row in rows:
            _check_label(row["label"], settings["labels"], row["id"], corpus)
        return pd.DataFrame(rows).rename(columns={"label": "expected"})

    def predict(self, model: Model, inputs: Sequence[Any], **options: Any) -> pd.DataFrame:
        chosen, labels = checked_options(self.name, self.PredictOptions, options), model.settings["labels"]
        probabilities = np.zeros((len(inputs), len(labels)), np.float32)
        for start, batch in batches(inputs, model.config):
            question = ask_each_row({"pixels": as_pixels(batch, model.config)})
            probabilities[start : start + len(batch.rows)] = softmax(model.network.logits(question))
        return top_classes(probabilities, labels, chosen)

    def metrics(self, statistics: pd.DataFrame) -> dict[str, float]:
        found = scores(statistics)
        return {"accuracy": found["accuracy"], "macro_f1": found["macro_f1"]}

    def measure(self, statistics: pd.DataFrame) -> Callable[[NDArray[np.int64]], dict[str, float]]:
        return score_function(statistics)

    def baselines(
        self, corpus: Corpus, questions: pd.DataFrame, settings: Settings, seed: int, observe: Observe
    ) -> dict[str, pd.DataFrame]:
        train = self.questions(corpus, "train", settings)
        return {"majority class": majority(train, questions), **baselines(train, questions, settings["image"], seed)}

    def report(self, evaluation: Evaluation) -> list[Block]:
        questions, predictions = evaluation.questions, evaluation.predictions
        counts, labels = confusion(questions["expected"].to_numpy(), predictions["prediction"].to_numpy())
        right = (questions["expected"] == predictions["prediction"]).to_numpy()
        spread = evenly(len(questions), _SHOWN)
        wrong = predictions[~right].sort_values("probability", ascending=False, kind="stable").head(_WORST).index
        return [
            class_table(counts, labels, evaluation),
            confusion_map(counts, labels),
            calibration(predictions["probability"].to_numpy(), right),
            Images("Predictions", "Images of the split, evenly taken, and what the model takes them for.",
                   [picture(evaluation, place) for place in spread]),
            Images("Worst errors", "Wrong, and the surest of it: often the label is what should be looked at.",
                   [picture(evaluation, place) for place in wrong]),
            *attention(evaluation, right),
        ]  # fmt: skip

    # The registered model

    def example(self) -> tuple[dict[str, list[Any]], dict[str, list[Any]]]:
        ramp = np.arange(0, 256, 4, dtype=np.uint8).reshape(8, 8)
        return {"image": [png(ramp), png(ramp.T)]}, {"prediction": ["a label", "another"], "probability": [0.5, 0.5]}


TASK = ImageClassification()


def _check_label(label: str, known: Any, row: str, corpus: Corpus) -> str:
    if label not in known:
        raise TrainingError(
            f"{corpus.artifact.path}: {row} has label {label!r}, which the model was not taught; it knows "
            f"{', '.join(list(known)[:10])}: take the corpus that it was trained on"
        )
    return label
