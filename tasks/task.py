"""The shape of a task. Steps, the registered model and the server go through this and ask for nothing else."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    import pandas as pd
    import torch

    from artifacts.corpus import Corpus
    from artifacts.tokenizer import Tokenizer
    from models.config import EncoderConfig
    from tasks.evaluation import Block, Evaluation
    from tasks.model import Model
    from telemetry import Observe
    from training.batches import Batch, Examples
    from training.torch_backend import Loss, RowLosses

Settings = Mapping[str, Any]  # what the data fixes about the task (label names); JSON, kept in the checkpoint


class Task(Protocol):
    """One thing that a model can be asked to do. Implementations hold no state: everything is passed in."""

    name: str
    primary_metric: str  # the name of the metric that the gate compares; higher is better

    # Training

    def settings(self, corpus: Corpus) -> dict[str, Any]:
        """Read what the data fixes about the task; a clear error when the corpus cannot serve it."""

    def network(self, config: EncoderConfig, settings: Settings) -> torch.nn.Module:
        """The untrained network, float32, on the CPU; its encoder is its child `encoder`, in every task."""

    def examples(
        self, corpus: Corpus, tokenizer: Tokenizer, split: str, settings: Settings, max_length: int
    ) -> Examples:
        """The rows of a split that the task can learn from, as token ids (and labels), in the corpus's order."""

    def loss(self, network: torch.nn.Module, batch: Batch, generator: torch.Generator) -> Loss:
        """The loss of one batch: its sum, and over how many targets. Masks, if any, are drawn from `generator`."""

    def row_losses(self, network: torch.nn.Module, batch: Batch, generator: torch.Generator) -> RowLosses:
        """The same loss, of each row alone, with the same masks: what is to blame for the loss of the batch."""

    # Evaluation

    def questions(self, corpus: Corpus, split: str, settings: Settings) -> pd.DataFrame:
        """What is asked of a model in a split: columns `id`, `text`, `expected`, in the corpus's order."""

    def predict(self, model: Model, texts: Sequence[str]) -> pd.DataFrame:
        """Answer raw texts, one row each, in order: column `prediction`, `probability`, and what else the task gives.

        The one place where text becomes a prediction: evaluation, the registered model and the server all call it.
        """

    def metrics(self, questions: pd.DataFrame, predictions: pd.DataFrame) -> dict[str, float]:
        """Scores of predictions for these questions, `primary_metric` among them."""

    def baselines(
        self, corpus: Corpus, questions: pd.DataFrame, settings: Settings, seed: int, observe: Observe
    ) -> dict[str, pd.DataFrame]:
        """Simple methods' predictions for the same questions, by the method's name."""

    def report(self, evaluation: Evaluation) -> list[Block]:
        """The task's own section of the report: tables and figures as data, drawn elsewhere."""
