"""Sequence to sequence: a text becomes another. An encoder reads the source, a decoder writes the target.

Vaswani et al. 2017 (arXiv 1706.03762), section 3; with `network: recurrent`, Bahdanau et al. 2015 (arXiv 1409.0473).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from pydantic import Field

from models.decoding import Decoding, Hypothesis
from models.question import Question
from tasks import encoder_decoder
from tasks.generation import alphabet_of, pieces
from tasks.lengths import lengths_block
from tasks.n_best import n_best_columns
from tasks.seq2seq.baselines import copy_source, iso_dates, iso_dates_by_rule, nearest_target, rows_of
from tasks.seq2seq.report import section
from tasks.task import Task, TaskOptions, checked_options
from training.errors import TrainingError

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

    from artifacts.corpus import Corpus
    from artifacts.tokenizer import Tokenizer
    from models.config import ModelConfig
    from models.network import Parts
    from tasks.evaluation import Block, Evaluation
    from tasks.model import Model
    from tasks.task import Limits, Settings
    from telemetry import Observe
    from training.batches import Batch
    from training.examples import Example


class Options(TaskOptions):
    """Training options."""

    too_long: Literal["truncate", "error"] = Field(
        "truncate", description="Sources and targets over max_length: cut, and counted; or refused, with the row's name"
    )


class PredictOptions(Decoding, TaskOptions):
    """Prediction options: the search for the target."""

    max_new_tokens: int = Field(0, ge=0, description="Longest target, [SEP] included; 0: as long as the network allows")


class Seq2Seq(Task):
    """The task, scored by exact match; `tasks/task.py` documents the methods."""

    name = "seq2seq"
    title = "Sequence to sequence"
    endpoint = "translate"
    primary_metric = "exact_match"
    Options = Options
    PredictOptions = PredictOptions

    # Training

    def settings(self, corpus: Corpus, options: Mapping[str, Any]) -> dict[str, Any]:
        if corpus.info["content"] != "pairs":
            raise TrainingError(
                f"{corpus.artifact.path}: a corpus of {corpus.info['content']}; {self.name} needs a target for each text "
                "(set target_column)"
            )
        return checked_options(self.name, self.Options, options).model_dump()

    def parts(self, config: ModelConfig, settings: Settings) -> Parts:
        return encoder_decoder.PARTS

    def encode(
        self, corpus: Corpus, tokenizer: Tokenizer, split: str, settings: Settings, limits: Limits
    ) -> Iterator[Example]:
        """Sources and targets as [CLS] ids [SEP]. A target that is cut has no [SEP]: it would teach to stop there."""
        from training.examples import Example

        limit, target_tokenizer = limits.max_length, tokenizer.target
        for batch in corpus.batches(split, ["id", "text", "target"]):
            ids = batch.column("id").to_pylist()
            read = tokenizer.encode_batch(batch.column("text").to_pylist())
            wanted = target_tokenizer.encode_batch(batch.column("target").to_pylist())
            for row_id, source, target in zip(ids, read, wanted, strict=True):
                cut = max(len(source), len(target)) > limit - 2
                if cut and settings["too_long"] == "error":
                    raise TrainingError(_too_long(corpus, split, row_id, source, target, limit))
                output = [tokenizer.cls_id, *target, tokenizer.sep_id][:limit]
                yield Example(row_id, tokenizer.with_ends(source, limit), target=output, cut=cut)

    def ask(
        self, config: ModelConfig, settings: Settings, batch: Batch, random: np.random.Generator, *, training: bool
    ) -> Question:
        assert batch.target_ids is not None
        assert batch.target_mask is not None
        return encoder_decoder.ask_targets(batch.input_ids, batch.attention_mask, batch.target_ids, batch.target_mask)

    # Evaluation

    def questions(self, corpus: Corpus, split: str, settings: Settings) -> pd.DataFrame:
        return rows_of(corpus, split)

    def predict(self, model: Model, inputs: Sequence[Any], **options: Any) -> pd.DataFrame:
        """`probability` is the network's own, of the whole target; with `n_best`, further targets are in columns
        `prediction_2`, `probability_2` and so on."""
        import pandas as pd

        chosen = checked_options(self.name, self.PredictOptions, options)
        found, tokenizer = hypotheses(model, [str(text) for text in inputs], chosen), model.tokenizer.target
        answers = [[(tokenizer.decode(way.ids), math.exp(way.log_probability)) for way in row] for row in found]
        return pd.DataFrame(n_best_columns(answers, chosen.n_best))

    def samples(self, model: Model, texts: Sequence[str]) -> list[str]:
        found = hypotheses(model, texts, self.PredictOptions())
        return [model.tokenizer.target.decode(row[0].ids) for row in found]

    def stream(self, model: Model, given: Any, **options: Any) -> Iterator[str]:
        """The target in pieces, each as soon as it is certain; of a beam all at once, at its end."""
        chosen = checked_options(self.name, self.PredictOptions, options)
        if chosen.method == "beam" or chosen.n_best > 1:
            yield model.tokenizer.target.decode(hypotheses(model, [str(given)], chosen)[0][0].ids)
            return
        source = model.tokenizer.with_ends(model.tokenizer.encode(str(given)), model.config.max_length)
        tokens = encoder_decoder.target_tokens(model, source, chosen, alphabet_of(model.tokenizer))
        yield from pieces(tokens, model.tokenizer.target.decode)

    def statistics(self, questions: pd.DataFrame, predictions: pd.DataFrame) -> pd.DataFrame:
        import pandas as pd

        right = questions["expected"].to_numpy() == predictions["prediction"].to_numpy()
        return pd.DataFrame({"exact_match": right.astype(float)})

    def metrics(self, statistics: pd.DataFrame) -> dict[str, float]:
        return {"exact_match": float(statistics["exact_match"].to_numpy().mean())}

    def row_scores(self, statistics: pd.DataFrame) -> NDArray[np.float64]:
        """Quality of each row's answer, by which the report orders the worst."""
        return statistics["exact_match"].to_numpy(float)

    def baselines(
        self, corpus: Corpus, questions: pd.DataFrame, settings: Settings, seed: int, observe: Observe
    ) -> dict[str, pd.DataFrame]:
        train = rows_of(corpus, "train")
        answers = {
            "the source itself": copy_source(questions),
            "the nearest training text's target": nearest_target(train, questions),
        }
        return answers | (iso_dates_by_rule(questions) if iso_dates(train["expected"]) else {})

    def report(self, evaluation: Evaluation) -> list[Block]:
        return [*section(self, evaluation, hypotheses), lengths_block(self, evaluation)]

    # The registered model

    def example(self) -> tuple[dict[str, list[Any]], dict[str, list[Any]]]:
        return (
            {"text": ["Friday, 15 March 1850", "15. marts 1850"]},
            {"prediction": ["1850-03-15", "1850-03-15"], "probability": [0.9, 0.9]},
        )


TASK = Seq2Seq()


def hypotheses(model: Model, texts: Sequence[str], options: Decoding) -> list[list[Hypothesis]]:
    """The best targets of each text."""
    tokenizer, limit = model.tokenizer, model.config.max_length
    sources = [tokenizer.with_ends(ids, limit) for ids in tokenizer.encode_batch(texts)]
    return encoder_decoder.best_targets(model, sources, options, alphabet_of(tokenizer))


def _too_long(corpus: Corpus, split: str, row: str, source: Sequence[int], target: Sequence[int], limit: int) -> str:
    return (
        f"{corpus.artifact.path}: row {row} of the split {split} has {len(source)} tokens in its source and {len(target)} in "
        f"its target; max_length={limit} takes {limit - 2} of each: raise it, or set too_long=truncate"
    )
