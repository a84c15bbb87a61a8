"""Replaced token detection: which words of a text did another, smaller network put there?

Clark et al. 2020, "ELECTRA" (arXiv 2003.10555), section 2. A small generator is trained as a masked language model and fills
the masks with what it draws; the discriminator, which is what is kept, tells for every token whether it is the one that was
there. So it learns from all tokens, not from the 15 % that are masked.

    L = L_mlm(generator) + 50 L_disc(discriminator)        (section 2; the weight: appendix A, table 6)

Token and position vectors are shared (section 3.2). Drawing has no gradient, so the generator learns by its own loss alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import Field

from models.network import Part
from models.question import Objective, Question
from tasks.attention import attention_of
from tasks.electra.detection import generator_config, mask_all, probabilities
from tasks.evaluation import Block, Evaluation, Table, Texts
from tasks.masked_lm.task import TASK as MASKED_LM
from tasks.masked_lm.words import WORD, count_words
from tasks.task import Task, TaskOptions, checked_options
from training.errors import TrainingError

if TYPE_CHECKING:
    import pandas as pd

    from artifacts.corpus import Corpus
    from artifacts.tokenizer import Tokenizer
    from models.config import Architecture, ModelConfig
    from models.network import Parts
    from tasks.model import Model
    from tasks.task import Limits, Settings
    from telemetry import Observe
    from training.batches import Batch
    from training.examples import Example

_QUESTIONS = 2000  # rows of a split that are asked about
_SHOWN = 400  # characters of a text in which a word is replaced
_EXAMPLES = 8


class Electra(Task):
    """The task; `tasks/task.py` documents the methods."""

    name = "electra"
    title = "Replaced tokens"
    primary_metric = "accuracy"

    class Options(TaskOptions):
        """Sizes and weights of the two networks' losses."""

        # Of the discriminator's widths (section 3.2: 1/4 to 1/2 is best)
        generator_size: float = Field(0.25, gt=0, le=1)
        mask_share: float = Field(0.15, gt=0, lt=1)
        discriminator_weight: float = Field(50.0, gt=0)

    # Training

    def settings(self, corpus: Corpus, options: Mapping[str, Any]) -> dict[str, Any]:
        return checked_options(self.name, self.Options, options).model_dump()

    def config(self, architecture: Architecture, tokenizer: Tokenizer, settings: Settings) -> ModelConfig:
        if architecture.network != "transformer":
            raise TrainingError(f"electra is two transformers; network={architecture.network} has no smaller generator")
        return super().config(architecture, tokenizer, settings)

    def parts(self, config: ModelConfig, settings: Settings) -> Parts:
        small = generator_config(config, self.Options(**settings).generator_size)
        shares = {"embedding.tokens": "encoder.embedding.tokens"}
        if config.positions == "learned":
            shares["embedding.positions"] = "encoder.embedding.positions"
        return {
            "encoder": Part("Encoder"),
            "head": Part("ReplacedTokenHead"),
            "generator": Part("Encoder", config=small, shares=shares),
            "generator_head": Part("MaskedLMHead", config=small),
        }

    def objective(self, settings: Settings) -> Objective:
        chosen = self.Options(**settings)
        return Objective("replaced_tokens", {"weight": chosen.discriminator_weight})

    def encode(
        self, corpus: Corpus, tokenizer: Tokenizer, split: str, settings: Settings, limits: Limits
    ) -> Iterator[Example]:
        return MASKED_LM.encode(corpus, tokenizer, split, {}, limits)

    def ask(
        self, config: ModelConfig, settings: Settings, batch: Batch, random: np.random.Generator, *, training: bool
    ) -> Question:
        return mask_all(batch, random, config, self.Options(**settings).mask_share)

    # Evaluation

    def questions(self, corpus: Corpus, split: str, settings: Settings) -> pd.DataFrame:
        """One word of each text is replaced by a word of another text, drawn as often as it occurs; `expected` is that word.

        Which one, and by which, the row's id decides.
        """
        import pandas as pd

        texts = [(str(row["id"]), str(row["text"])) for row in corpus.rows(split, ["id", "text"])]
        all_words = [word for _, text in texts for word in WORD.findall(text[:_SHOWN])]
        rows: list[dict[str, str]] = []
        for row_id, text in texts:
            words, draw = list(WORD.finditer(text[:_SHOWN])), np.random.default_rng(list(row_id.encode()))
            there = set(WORD.findall(text))
            strange = (
                next((w for i in draw.integers(0, len(all_words), 20) if (w := all_words[i]) not in there), "")
                if words
                else ""
            )
            if strange and len(rows) < _QUESTIONS:
                word = words[int(draw.integers(len(words)))]
                rows.append(
                    {"id": row_id, "text": f"{text[: word.start()]}{strange}{text[word.end() :]}", "expected": strange}
                )
        if not rows:
            raise TrainingError(f"{corpus.artifact.path}: no text of the split {split} has a word that another lacks")
        return pd.DataFrame(rows)

    def predict(self, model: Model, inputs: Sequence[Any], **options: Any) -> pd.DataFrame:
        """The word of each text that most likely was put there, and how likely; of a text without a word, none."""
        import pandas as pd

        checked_options(self.name, self.PredictOptions, options)
        words, probability = [""] * len(inputs), np.zeros(len(inputs))
        for row, (text, offsets, replaced) in enumerate(probabilities(model, [str(text) for text in inputs])):
            for word in WORD.finditer(text):
                of_word = [
                    p
                    for (begin, end), p in zip(offsets, replaced, strict=True)
                    if begin < word.end() and end > word.start()
                ]
                if of_word and max(of_word) > probability[row]:
                    words[row], probability[row] = word[0], max(of_word)
        return pd.DataFrame({"prediction": words, "probability": probability.round(6)})

    def metrics(self, statistics: pd.DataFrame) -> dict[str, float]:
        return {"accuracy": float((statistics["expected"].to_numpy() == statistics["prediction"].to_numpy()).mean())}

    def baselines(
        self, corpus: Corpus, questions: pd.DataFrame, settings: Settings, seed: int, observe: Observe
    ) -> dict[str, pd.DataFrame]:
        """The word of each text that is rarest in the training split, and any word."""
        import pandas as pd

        counts = count_words(corpus.texts("train"))
        found, random = [WORD.findall(text[:_SHOWN]) for text in questions["text"]], np.random.default_rng(seed)
        share = np.array([round(1 / len(words), 6) for words in found])
        rarest = [min(words, key=lambda word: counts[word]) for words in found]
        drawn = [words[int(random.integers(len(words)))] for words in found]
        return {
            "the rarest word": pd.DataFrame({"prediction": rarest, "probability": share}),
            "any word": pd.DataFrame({"prediction": drawn, "probability": share}),
        }

    def report(self, evaluation: Evaluation) -> list[Block]:
        questions, predictions = evaluation.questions, evaluation.predictions
        right = questions["expected"] == predictions["prediction"]
        sure = (predictions["probability"] * 5).astype(int).clip(upper=4)
        rows = [
            [f"{b / 5:.1f} to {(b + 1) / 5:.1f}", int((sure == b).sum()), float(right[sure == b].mean())]
            for b in sorted(set(sure))
        ]
        examples = zip(questions["expected"], questions["text"], predictions["prediction"], strict=True)
        shown = [
            (f"{word}, said {answer or 'none'}", text[:_SHOWN]) for word, text, answer in list(examples)[:_EXAMPLES]
        ]
        return [
            Table(
                "Sure and right",
                "How likely the word it names is, and how often it is the one.",
                ["probability", "texts", "right"],
                rows,
            ),
            Texts("Examples", "A text in which one word was replaced: which one, and which one the model says.", shown),
            attention_of(evaluation.model, str(questions["text"].iloc[0])),
        ]


TASK = Electra()
