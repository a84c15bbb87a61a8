"""The shape of a task. Steps, the registered model and the server go through this and ask for nothing else."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, Protocol, Self, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from training.errors import TrainingError

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray

    from artifacts.corpus import Corpus
    from artifacts.tokenizer import Tokenizer
    from models.config import Architecture, ModelConfig
    from models.network import Parts
    from models.question import Objective, Question
    from tasks.evaluation import Block, Evaluation
    from tasks.lengths import Length
    from tasks.model import Model
    from telemetry import Observe
    from training.batches import Batch, Examples
    from training.examples import Example

Settings = Mapping[str, Any]  # what data and options fix about the task (label names); JSON, kept in the checkpoint


class TaskOptions(BaseModel):
    """Base of a task's own options, which a step's `options` gives: unknown ones are an error."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Limits(NamedTuple):
    """The fields of a network's config that examples depend on."""

    max_length: int
    image_height: int
    image_width: int
    image_channels: int

    @classmethod
    def of(cls, config: ModelConfig) -> Self:
        """The limits of a network."""
        return cls(config.max_length, config.image_height, config.image_width, config.image_channels)


class Task(Protocol):
    """One thing that a model can be asked to do. Implementations hold no state: everything is passed in.

    Inheriting gives what most tasks on text have in common; the methods without a body are each task's own.
    """

    name: str
    title: str = ""  # for people; else the name with spaces
    primary_metric: str  # the name of the metric that the gate compares
    higher_is_better: bool = True  # of that metric
    metric_unit: str = "1"  # of that metric, as UCUM writes it; 1 for a share
    input: str = "text"  # the column of questions, and of the registered model's frames, that is asked
    endpoint: str = "classify"  # of the server, /v1/<endpoint>: classify, embed, translate, generate, images
    packages: tuple[str, ...] = ()  # distributions that `predict` needs in addition to those of every model
    Options: ClassVar[type[TaskOptions]] = TaskOptions  # of training
    PredictOptions: ClassVar[type[TaskOptions]] = TaskOptions  # of predicting: of decoding, say

    # Training

    def settings(self, corpus: Corpus, options: Mapping[str, Any]) -> dict[str, Any]:
        """Read the task's settings from the data; a clear error if the corpus does not fit the task."""
        ...

    def config(self, architecture: Architecture, tokenizer: Tokenizer, settings: Settings) -> ModelConfig:
        """The network's whole config: the choices, and the values set by the data (vocabulary, size of images)."""
        from models.config import ModelConfig

        return ModelConfig.of(
            architecture,
            vocab_size=tokenizer.vocab_size,
            pad_id=tokenizer.pad_id,
            mask_id=tokenizer.mask_id,
            cls_id=tokenizer.cls_id,
            sep_id=tokenizer.sep_id,
            special_ids=tokenizer.special_ids,
        )

    def parts(self, config: ModelConfig, settings: Settings) -> Parts:
        """The parts of the network, by name. Another task can take over `encoder` and `decoder`."""
        ...

    def objective(self, settings: Settings) -> Objective:
        """The loss: cross-entropy of the choices at each place, unless a task says otherwise."""
        from models.question import Objective

        return Objective()

    def encode(
        self, corpus: Corpus, tokenizer: Tokenizer, split: str, settings: Settings, limits: Limits
    ) -> Iterator[Example]:
        """The rows of a split that the task can learn from, as numbers, in the corpus's order. Memory does not grow with them.

        A function of these arguments and the code under `tasks/` and `artifacts/` alone: token files keep the result.
        """
        ...

    def packing_problem(self, settings: Settings) -> str:
        """Reason why several texts cannot stand in a row of a training, each answered as if it were alone; empty if they can."""
        return f"packing is for language models: {self.name} asks about a row as a whole"

    def numbers(self, tokenizer: Tokenizer) -> int:
        """Count of different numbers that a sequence can hold, from 0."""
        return tokenizer.vocab_size

    def examples(
        self, corpus: Corpus, tokenizer: Tokenizer, split: str, settings: Settings, config: ModelConfig
    ) -> Examples:
        """The same rows in memory: for a few. A training takes them from token files (`tasks/token_cache.py`)."""
        from training.examples import gather

        return gather(self.encode(corpus, tokenizer, split, settings, Limits.of(config)), tokenizer.pad_id)

    def ask(
        self, config: ModelConfig, settings: Settings, batch: Batch, random: np.random.Generator, *, training: bool
    ) -> Question:
        """The question of a batch. Masks, if any, are drawn from `random`; in training alone images are changed a little."""
        ...

    # Evaluation

    def questions(self, corpus: Corpus, split: str, settings: Settings) -> pd.DataFrame:
        """The questions of a split: columns `id`, `expected` and the task's `input`, in the corpus's order."""
        ...

    def sample(self, questions: pd.DataFrame, count: int) -> pd.DataFrame:
        """At most `count` of a split's questions, evenly taken, that can be scored by themselves."""
        from training.batches import evenly

        return questions.iloc[evenly(len(questions), count)].reset_index(drop=True)

    def predict(self, model: Model, inputs: Sequence[Any], **options: Any) -> pd.DataFrame:
        """Answer raw inputs, one row each, in order: columns `prediction`, `probability`, and further ones of the task.

        The one place where text becomes a prediction: evaluation, the registered model and the server all call it.
        `options` are its `PredictOptions`; TrainingError for others.
        """
        ...

    def lengths(self, model: Model, inputs: Sequence[Any], options: Mapping[str, Any]) -> list[Length]:
        """Token count of each text, and how many tokens `predict` reads: as many as fit between the ends."""
        from tasks.lengths import Length

        room = model.config.max_length - (2 if model.tokenizer.opens else 1)
        cut = model.tokenizer.encode_batch([str(text) for text in inputs])
        return [Length(len(ids), min(len(ids), room)) for ids in cut]

    def stream(self, model: Model, given: Any, **options: Any) -> Iterator[str] | None:
        """Yield the prediction of one input piece by piece. Returns None if the task generates no sequences."""
        return None

    def samples(self, model: Model, texts: Sequence[str]) -> list[str]:
        """Answers of a model in training to a few texts, for people to look at. Returns an empty list if the task has none.

        A function of the weights alone: nothing is drawn.
        """
        return []

    def statistics(self, questions: pd.DataFrame, predictions: pd.DataFrame) -> pd.DataFrame:
        """The part of each row in the metrics, one row a question: intervals come from drawing these rows again."""
        import pandas as pd

        columns = {"expected": questions["expected"].to_numpy(), "prediction": predictions["prediction"].to_numpy()}
        return pd.DataFrame(columns)

    def metrics(self, statistics: pd.DataFrame) -> dict[str, float]:
        """Scores over these rows, `primary_metric` among them."""
        ...

    def measure(self, statistics: pd.DataFrame) -> Callable[[NDArray[np.int64]], dict[str, float]]:
        """A function that computes the metrics of some of these rows. A bootstrap calls it thousands of times: a task that can answer
        faster than by `metrics` of a part of the frame, does."""
        return lambda rows: self.metrics(statistics.iloc[rows])

    def signatures(self) -> dict[str, str]:
        """The exact definition of a metric by its name, if the name alone does not say it: sacrebleu's signature, say."""
        return {}

    def baselines(
        self, corpus: Corpus, questions: pd.DataFrame, settings: Settings, seed: int, observe: Observe
    ) -> dict[str, pd.DataFrame]:
        """Simple methods' predictions for the same questions, by the method's name."""
        ...

    def report(self, evaluation: Evaluation) -> list[Block]:
        """The task's own section of the report: tables and figures as data, drawn elsewhere."""
        ...

    # The registered model

    def example(self) -> tuple[dict[str, list[Any]], dict[str, list[Any]]]:
        """Columns of a request and of its answer, two rows: the registered model's signature."""
        texts = ["Return the sum of the elements over a given axis.", "Open a connection and send a request."]
        return {"text": texts}, {"prediction": ["a label", "another"], "probability": [0.5, 0.5]}


Given = TypeVar("Given", bound=TaskOptions)


def checked_options(name: str, kind: type[Given], given: Mapping[str, Any]) -> Given:
    """A task's options from a step's values. TrainingError names the wrong option and its valid values."""
    try:
        return kind(**given)
    except ValidationError as error:
        problem = error.errors()[0]
        option = ".".join(map(str, problem["loc"])) or "options"
        known = ", ".join(kind.model_fields) or "none"
        raise TrainingError(f"options of {name}: {option}: {problem['msg']}; its options: {known}") from None
