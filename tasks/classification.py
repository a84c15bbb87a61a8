"""Classification: which label belongs to a text. The network is an encoder and a classifier on the mean vector."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from tasks.attention import attention_of
from tasks.evaluation import Bars, Block, Evaluation, Heatmap, Lines, Table, Texts
from tasks.task import Task, checked_options
from training.errors import TrainingError

if TYPE_CHECKING:
    import pandas as pd
    import torch
    from numpy.typing import NDArray

    from artifacts.corpus import Corpus
    from artifacts.tokenizer import Tokenizer
    from models.config import ModelConfig
    from tasks.model import Model
    from tasks.task import Settings
    from telemetry import Observe
    from training.batches import Batch, Examples
    from training.torch_backend import Choices, Loss, RowLosses

_BINS = 10  # of the calibration plot
_WORST = 12  # errors shown with their text
_SHOWN = 600  # characters of such a text


class Classification(Task):
    """The task; see `tasks/task.py` for what each method promises."""

    name = "classification"
    primary_metric = "macro_f1"

    # Training

    def settings(self, corpus: Corpus, options: Mapping[str, Any]) -> dict[str, Any]:
        checked_options(self.name, self.Options, options)
        if len(corpus.labels) < 2:
            raise TrainingError(
                f"{corpus.artifact.path}: {len(corpus.labels)} labels; classification needs at least two (set label_column)"
            )
        return {"labels": corpus.labels}

    def network(self, config: ModelConfig, settings: Settings) -> torch.nn.Module:
        from torch import nn

        from models.torch import Classifier, build

        return nn.ModuleDict(
            {"encoder": build("Encoder", config), "classifier": Classifier(config, len(settings["labels"]))}
        )

    def examples(
        self, corpus: Corpus, tokenizer: Tokenizer, split: str, settings: Settings, config: ModelConfig
    ) -> Examples:
        from training.batches import Examples

        number = {label: index for index, label in enumerate(settings["labels"])}
        ids: list[str] = []
        labels: list[int] = []
        sequences: list[NDArray[np.int32]] = []
        for batch in corpus.batches(split):
            rows = [row for row in batch.to_pylist() if row["label"] is not None]
            ids += [row["id"] for row in rows]
            labels += [number[row["label"]] for row in rows]
            for tokens in tokenizer.encode_batch([row["text"] for row in rows]):
                sequences.append(np.array(tokenizer.with_ends(tokens, config.max_length), np.int32))
        return Examples.of(sequences, ids, tokenizer.pad_id, labels)

    def loss(self, network: torch.nn.Module, batch: Batch, generator: torch.Generator) -> Loss:
        import torch
        from torch.nn.functional import cross_entropy

        from training.torch_backend import Loss

        assert batch.labels is not None
        return Loss(
            cross_entropy(_logits(network, batch), torch.from_numpy(batch.labels), reduction="sum"), len(batch.labels)
        )

    def row_losses(self, network: torch.nn.Module, batch: Batch, generator: torch.Generator) -> RowLosses:
        import torch
        from torch.nn.functional import cross_entropy

        from training.torch_backend import RowLosses

        assert batch.labels is not None
        labels = torch.from_numpy(batch.labels)
        return RowLosses(cross_entropy(_logits(network, batch), labels, reduction="none"), torch.ones_like(labels))

    def ask(self, network: torch.nn.Module, batch: Batch, generator: torch.Generator) -> Batch:
        return batch

    def choose(self, network: torch.nn.Module, asked: Batch) -> Choices:
        import torch

        from training.torch_backend import Choices

        assert asked.labels is not None
        labels = torch.from_numpy(asked.labels)
        return Choices(_logits(network, asked), labels, torch.arange(len(labels)))

    # Evaluation

    def questions(self, corpus: Corpus, split: str, settings: Settings) -> pd.DataFrame:
        import pandas as pd

        rows = [row for row in corpus.rows(split, ["id", "text", "label"]) if row["label"] is not None]
        if not rows:
            raise TrainingError(f"{corpus.artifact.path}: no labelled row in the split {split}")
        return pd.DataFrame(rows).rename(columns={"label": "expected"})

    def predict(self, model: Model, inputs: Sequence[Any], **options: Any) -> pd.DataFrame:
        import pandas as pd
        import torch

        checked_options(self.name, self.PredictOptions, options)
        labels = model.settings["labels"]
        best, probability = np.zeros(len(inputs), np.int64), np.zeros(len(inputs))
        with torch.inference_mode():
            for batch in model.batches(inputs):
                top = _logits(model.network, batch).softmax(-1).max(-1)
                best[batch.rows], probability[batch.rows] = top.indices.numpy(), top.values.numpy()
        return pd.DataFrame({"prediction": [labels[i] for i in best], "probability": probability.round(6)})

    def metrics(self, statistics: pd.DataFrame) -> dict[str, float]:
        counts, _ = confusion(statistics["expected"].to_numpy(), statistics["prediction"].to_numpy())
        return {"macro_f1": float(per_class(counts)["f1"].mean()), "accuracy": float(np.trace(counts) / counts.sum())}

    def baselines(
        self, corpus: Corpus, questions: pd.DataFrame, settings: Settings, seed: int, observe: Observe
    ) -> dict[str, pd.DataFrame]:
        import pandas as pd

        train = self.questions(corpus, "train", settings)
        majority = train["expected"].value_counts().sort_index(kind="stable").idxmax()
        share = float((train["expected"] == majority).mean())
        constant = pd.DataFrame({"prediction": [majority] * len(questions), "probability": round(share, 6)})
        return {"majority class": constant, "TF-IDF + logistic regression": _tf_idf(train, questions, seed)}

    def report(self, evaluation: Evaluation) -> list[Block]:
        questions, predictions = evaluation.questions, evaluation.predictions
        counts, labels = confusion(questions["expected"].to_numpy(), predictions["prediction"].to_numpy())
        right = (questions["expected"] == predictions["prediction"]).to_numpy()
        return [
            _class_table(counts, labels, evaluation),
            _confusion_map(counts, labels),
            _calibration(predictions["probability"].to_numpy(), right),
            _lengths(evaluation),
            _worst(questions, predictions, right),
            attention_of(evaluation.model, str(questions["text"].iloc[0])),
        ]


TASK = Classification()


def confusion(expected: NDArray[Any], predicted: NDArray[Any]) -> tuple[NDArray[np.int64], list[str]]:
    """Counts [expected, predicted] over the labels that occur in either, and these labels, sorted."""
    labels, both = np.unique(np.concatenate([expected.astype(str), predicted.astype(str)]), return_inverse=True)
    rows, columns = both[: len(expected)], both[len(expected) :]
    counts = np.bincount(rows * len(labels) + columns, minlength=len(labels) ** 2)
    return counts.reshape(len(labels), len(labels)), [str(label) for label in labels]


def per_class(counts: NDArray[np.int64]) -> Mapping[str, NDArray[np.float64]]:
    """Precision, recall and F1 of each class; 0 where a class was never predicted (as scikit-learn has it)."""
    right = np.diag(counts).astype(float)
    predicted, expected = counts.sum(0), counts.sum(1)
    return {
        "precision": np.divide(right, predicted, out=np.zeros_like(right), where=predicted > 0),
        "recall": np.divide(right, expected, out=np.zeros_like(right), where=expected > 0),
        "f1": np.divide(2 * right, predicted + expected, out=np.zeros_like(right), where=predicted + expected > 0),
    }


def calibration_error(probability: NDArray[np.float64], right: NDArray[np.bool_]) -> float:
    """Expected calibration error over equal bins (Guo et al. 2017, arXiv 1706.04599, equation 3)."""
    place = np.minimum((probability * _BINS).astype(int), _BINS - 1)
    return float(sum(abs(right[place == b].sum() - probability[place == b].sum()) for b in range(_BINS)) / len(right))


def _logits(network: torch.nn.Module, batch: Batch) -> torch.Tensor:
    import torch

    input_ids, mask = torch.from_numpy(batch.input_ids), torch.from_numpy(batch.attention_mask)
    memory = network.get_submodule("encoder")(input_ids, mask)
    logits: torch.Tensor = network.get_submodule("classifier")(memory, mask)
    return logits


def _tf_idf(train: pd.DataFrame, questions: pd.DataFrame, seed: int) -> pd.DataFrame:
    """Words weighted by TF-IDF into a multinomial logistic regression: what a good afternoon gives."""
    import pandas as pd
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression

    words = TfidfVectorizer(sublinear_tf=True, min_df=2, max_features=50_000, dtype=np.float32)
    try:
        seen = words.fit_transform(train["text"])
    except ValueError:  # fewer rows than `min_df` wants
        words = words.set_params(min_df=1)
        seen = words.fit_transform(train["text"])
    model = LogisticRegression(C=10.0, max_iter=200, tol=1e-3, random_state=seed).fit(seen, train["expected"])
    probabilities = model.predict_proba(words.transform(questions["text"]))
    prediction = model.classes_[probabilities.argmax(1)]
    return pd.DataFrame({"prediction": prediction, "probability": probabilities.max(1).round(6)})


def _class_table(counts: NDArray[np.int64], labels: list[str], evaluation: Evaluation) -> Block:
    found = per_class(counts)
    rivals = {}
    for name, predictions in evaluation.baselines.items():
        other, other_labels = confusion(
            evaluation.questions["expected"].to_numpy(), predictions["prediction"].to_numpy()
        )
        rivals[name] = dict(zip(other_labels, per_class(other)["f1"], strict=True))
    rows = [
        [label, int(counts[i].sum()), *(float(found[name][i]) for name in ("precision", "recall", "f1")),
         *(float(rivals[name].get(label, 0.0)) for name in rivals)]
        for i, label in enumerate(labels)
    ]  # fmt: skip
    columns = ["class", "rows", "precision", "recall", "F1", *(f"F1 {name}" for name in rivals)]
    return Table("Classes", "Scores of each class on the test split, beside the baselines' F1.", columns, rows)


def _confusion_map(counts: NDArray[np.int64], labels: list[str]) -> Block:
    share = counts / np.maximum(1, counts.sum(1, keepdims=True))
    note = (
        "Rows are the true class, columns the predicted one; the stronger the colour, the larger the share of the row. A "
        "perfect model colours the diagonal alone."
    )
    return Heatmap("Confusion", note, "predicted", "true", labels, labels, share.round(3).tolist())


def _calibration(probability: NDArray[np.float64], right: NDArray[np.bool_]) -> Block:
    place = np.minimum((probability * _BINS).astype(int), _BINS - 1)
    filled = [b for b in range(_BINS) if (place == b).any()]
    xs = [float(probability[place == b].mean()) for b in filled]
    ys = [float(right[place == b].mean()) for b in filled]
    note = (
        f"How sure the model is against how often it is right, in {_BINS} bins. On the line, its probabilities can be taken "
        f"at their word; below it, it is too sure of itself. Expected calibration error {calibration_error(probability, right):.3f}."
    )
    return Lines("Calibration", note, "probability given", "share right", {"model": (xs, ys)}, diagonal=True)


def _lengths(evaluation: Evaluation) -> Block:
    model = evaluation.model
    lengths = [len(ids) for ids in model.tokenizer.encode_batch(evaluation.questions["text"].tolist())]
    # Bins that grow evenly in their logarithm; one more than the length, so that an empty text has its place.
    edges = np.unique(np.geomspace(min(lengths) + 1, max(lengths) + 2, 13).round().astype(int)) - 1
    counts, _ = np.histogram(lengths, bins=edges)
    labels = [str(edge) for edge in edges[:-1]]
    cut = float(np.mean([length > model.config.max_length - 2 for length in lengths]))
    note = (
        f"How long the texts are; a bar is named by its shortest. The model reads the first {model.config.max_length - 2} "
        f"tokens; {cut:.0%} of the texts are longer."
    )
    return Bars("Lengths", note, "tokens, from", "texts", labels, [int(count) for count in counts])


def _worst(questions: pd.DataFrame, predictions: pd.DataFrame, right: NDArray[np.bool_]) -> Block:
    wrong = predictions[~right].sort_values("probability", ascending=False, kind="stable").head(_WORST)
    items = []
    for place in wrong.index:
        question, prediction = questions.loc[place], predictions.loc[place]
        heading = f"{question['expected']}, taken for {prediction['prediction']} ({prediction['probability']:.0%} sure)"
        text = str(question["text"])
        items.append((heading, text if len(text) <= _SHOWN else f"{text[:_SHOWN]} …"))
    return Texts("Worst errors", "Wrong, and the surest of it: often the label is what should be looked at.", items)
