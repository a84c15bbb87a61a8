"""Causal language modelling: how a text goes on. The network is a decoder; its score is bits per byte of unseen text."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from models.network import Part
from models.question import Question, ask_places
from tasks.causal_lm.continuations import Continuing
from tasks.n_best import n_best_columns
from tasks.task import Task, checked_options
from training.batches import evenly
from training.errors import TrainingError

if TYPE_CHECKING:
    import pandas as pd

    from artifacts.corpus import Corpus
    from artifacts.tokenizer import Tokenizer
    from models.config import ModelConfig
    from models.network import Parts
    from tasks.evaluation import Block, Evaluation
    from tasks.lengths import Length
    from tasks.model import Model
    from tasks.task import Limits, Settings
    from telemetry import Observe
    from training.batches import Batch
    from training.examples import Example

_QUESTIONS = 400  # rows of a split that are asked about, evenly taken
_ORDER = 6  # of the n-gram baseline
_SAMPLED = 24  # tokens of a prompt, and of what is written along a training
_BASELINE_BYTES = 4_000_000  # of training text that the baselines learn from


class CausalLM(Task):
    """The task; `tasks/task.py` documents the methods."""

    name = "causal_lm"
    title = "Language model"
    endpoint = "generate"
    primary_metric = "bits_per_byte"
    higher_is_better = False
    metric_unit = "bit/By"
    PredictOptions = Continuing

    # Training

    def settings(self, corpus: Corpus, options: Mapping[str, Any]) -> dict[str, Any]:
        checked_options(self.name, self.Options, options)
        return {}

    def parts(self, config: ModelConfig, settings: Settings) -> Parts:
        return {"decoder": Part("Decoder"), "head": Part("LMHead")}

    def encode(
        self, corpus: Corpus, tokenizer: Tokenizer, split: str, settings: Settings, limits: Limits
    ) -> Iterator[Example]:
        """All text of the split, each text ended by [SEP] and cut into parts that begin with [CLS].

        Every token, and every end, is a target once. GPT-2 cuts its texts, behind one another, where a block ends; here a part
        is of one row alone, with `packing` too, so that a batch can be traced to its rows. A row that is a part of a longer
        text has no end: the text goes on in the next row.
        """
        from artifacts.corpus import goes_on
        from training.examples import Example

        room = limits.max_length - 1
        for batch in corpus.batches(split, ["id", "text"]):
            encoded = tokenizer.encode_batch(batch.column("text").to_pylist())
            for row_id, tokens in zip(batch.column("id").to_pylist(), encoded, strict=True):
                sequence = tokens if goes_on(row_id) else [*tokens, tokenizer.sep_id]
                for start in range(0, len(sequence), room):
                    yield Example(row_id, [tokenizer.cls_id, *sequence[start : start + room]])

    def packing_problem(self, settings: Settings) -> str:
        return ""

    def ask(
        self, config: ModelConfig, settings: Settings, batch: Batch, random: np.random.Generator, *, training: bool
    ) -> Question:
        """Every token but the first of each text, asked for at the place before it."""
        inputs, wanted = {"input_ids": np.ascontiguousarray(batch.input_ids[:, :-1])}, batch.attention_mask[:, 1:]
        if batch.documents is not None:
            inputs["documents"] = np.ascontiguousarray(batch.documents[:, :-1])
            wanted = wanted & (batch.documents[:, 1:] == batch.documents[:, :-1])
        return ask_places(inputs, wanted, batch.input_ids[:, 1:])

    # Evaluation

    def questions(self, corpus: Corpus, split: str, settings: Settings) -> pd.DataFrame:
        """Texts of the split, evenly taken; the expected answer is the text itself."""
        import pandas as pd

        count = corpus.count(split)
        if not count:
            raise TrainingError(f"{corpus.artifact.path}: no text in the split {split}")
        taken = set(evenly(count, _QUESTIONS).tolist())
        rows = [row for place, row in enumerate(corpus.rows(split, ["id", "text"])) if place in taken]
        return pd.DataFrame(rows).assign(expected=lambda frame: frame["text"])

    def predict(self, model: Model, inputs: Sequence[Any], **options: Any) -> pd.DataFrame:
        """Continue each text (`prediction`, and the mean `probability` of its tokens), and score it: `nats`, `bytes`,
        `tokens`. With `n_best`, further continuations are in columns `prediction_2` and so on."""
        import pandas as pd

        from tasks.causal_lm.continuations import continue_texts
        from tasks.causal_lm.scoring import token_nats

        chosen = checked_options(self.name, self.PredictOptions, options)
        texts = [str(text) for text in inputs]
        found = continue_texts(model, texts, chosen)
        nats = token_nats(model, texts, chosen.stride)
        columns = n_best_columns([[(way.text, way.probability) for way in row] for row in found], chosen.n_best)
        return pd.DataFrame(columns).assign(
            nats=[round(float(own.sum(dtype=np.float64)), 4) for own in nats],
            bytes=[len(text.encode()) for text in texts],
            tokens=[len(own) for own in nats],
        )

    def lengths(self, model: Model, inputs: Sequence[Any], options: Mapping[str, Any]) -> list[Length]:
        """Token count of each text, and how many of its tokens are the prompt; all of them are scored."""
        from tasks.causal_lm.continuations import prompts_of
        from tasks.lengths import Length

        chosen = checked_options(self.name, self.PredictOptions, options).within(model.config.max_length)
        texts = [str(text) for text in inputs]
        cut, prompts = model.tokenizer.encode_batch(texts), prompts_of(model, texts, chosen)
        return [Length(len(ids), len(prompt) - 1) for ids, prompt in zip(cut, prompts, strict=True)]

    def samples(self, model: Model, texts: Sequence[str]) -> list[str]:
        from tasks.causal_lm.continuations import continue_texts

        most = max(1, min(_SAMPLED, model.config.max_length // 2))
        chosen = Continuing(prompt_tokens=most, max_new_tokens=most)
        begun = [model.tokenizer.decode(ids[:most]) for ids in model.tokenizer.encode_batch(texts)]
        return [
            f"{start}|{row[0].text}" for start, row in zip(begun, continue_texts(model, texts, chosen), strict=True)
        ]

    def stream(self, model: Model, given: Any, **options: Any) -> Iterator[str]:
        from tasks.causal_lm.continuations import stream_text

        return stream_text(model, str(given), checked_options(self.name, self.PredictOptions, options))

    def statistics(self, questions: pd.DataFrame, predictions: pd.DataFrame) -> pd.DataFrame:
        """Nats and bytes of each text; and tokens, which only the model has."""
        import pandas as pd

        columns = {"nats": predictions["nats"].to_numpy(), "bytes": [len(text.encode()) for text in questions["text"]]}
        return pd.DataFrame(columns | ({"tokens": predictions["tokens"].to_numpy()} if "tokens" in predictions else {}))

    def metrics(self, statistics: pd.DataFrame) -> dict[str, float]:
        nats = float(statistics["nats"].sum())
        found = {"bits_per_byte": nats / math.log(2) / max(1, int(statistics["bytes"].sum()))}
        if "tokens" in statistics:
            found["perplexity_per_token"] = math.exp(min(700.0, nats / max(1, int(statistics["tokens"].sum()))))
        return found

    def baselines(
        self, corpus: Corpus, questions: pd.DataFrame, settings: Settings, seed: int, observe: Observe
    ) -> dict[str, pd.DataFrame]:
        import pandas as pd

        from tasks.causal_lm import byte_models

        texts = [text.encode() for text in questions["text"]]
        training_texts = list(byte_models.sample(lambda: corpus.texts("train"), _BASELINE_BYTES))
        symbols, joined = byte_models.symbols(training_texts), b"\n".join(training_texts)
        answers = {
            "bytes by frequency": byte_models.unigram(symbols, texts),
            f"{_ORDER}-gram of bytes (Witten-Bell)": byte_models.WittenBell(symbols, _ORDER).nats(texts),
            "gzip, after training text": byte_models.deflate_nats(joined, texts),
            "LZMA, after training text": byte_models.lzma_nats(joined, texts),
        }
        return {name: pd.DataFrame({"prediction": "", "nats": nats.round(4)}) for name, nats in answers.items()}

    def report(self, evaluation: Evaluation) -> list[Block]:
        from tasks.causal_lm.report import section

        return section(evaluation)

    # The registered model

    def example(self) -> tuple[dict[str, list[Any]], dict[str, list[Any]]]:
        texts, _ = super().example()
        return texts, {
            "prediction": [" It", " goes on"],
            "probability": [0.5, 0.5],
            "nats": [90.0, 80.0],
            "bytes": [51, 38],
            "tokens": [12, 9],
        }


TASK = CausalLM()
