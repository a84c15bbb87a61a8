"""Span corruption, a pretraining of encoder-decoders: spans are removed from a text, and the decoder writes them.

Raffel et al. 2020, "T5" (arXiv 1910.10683), section 3.1.4; see `tasks/span_corruption/corruption.py`. It asks for a word of a text, as the
masked language model does, but a word may be of several tokens. Fine-tuning takes over encoder and decoder.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import dropwhile, islice, takewhile
from typing import TYPE_CHECKING, Any

import numpy as np

from artifacts.tokenizer import MASK
from models.decoding import Alphabet, Decoding
from models.question import Objective, Question
from tasks import encoder_decoder
from tasks.masked_lm.task import MaskedLM
from tasks.span_corruption.corruption import MEAN_SPAN, SHARE, corrupt
from tasks.task import Task, checked_options
from training.batches import Ragged

if TYPE_CHECKING:
    import pandas as pd

    from artifacts.corpus import Corpus
    from models.config import ModelConfig
    from models.network import Parts
    from tasks.lengths import Length
    from tasks.model import Model
    from tasks.task import Settings
    from training.batches import Batch

_LONGEST = 16  # tokens of an answer


class SpanCorruption(MaskedLM):
    """The task; `tasks/task.py` documents the methods."""

    name = "span_corruption"
    title = "Span corruption"

    # Training

    def settings(self, corpus: Corpus, options: Mapping[str, Any]) -> dict[str, Any]:
        checked_options(self.name, self.Options, options)
        return {"share": SHARE, "mean_span": MEAN_SPAN}

    def packing_problem(self, settings: Settings) -> str:
        return Task.packing_problem(self, settings)

    def parts(self, config: ModelConfig, settings: Settings) -> Parts:
        return encoder_decoder.PARTS

    def objective(self, settings: Settings) -> Objective:
        return Objective()

    def ask(
        self, config: ModelConfig, settings: Settings, batch: Batch, random: np.random.Generator, *, training: bool
    ) -> Question:
        """Spans drawn from `random`, row by row."""
        sources, wanted = [], []
        for row, real in zip(batch.input_ids, batch.attention_mask, strict=True):
            kept, taken = corrupt(row[real][1:-1].tolist(), random, config.mask_id)
            sources.append([config.cls_id, *kept, config.sep_id])
            wanted.append([config.cls_id, *taken, config.sep_id])
        rows = np.arange(len(sources))
        source, target = Ragged.of(sources).pad(rows, config.pad_id), Ragged.of(wanted).pad(rows, config.pad_id)
        return encoder_decoder.ask_targets(*source, *target)

    # Evaluation

    def lengths(self, model: Model, inputs: Sequence[Any], options: Mapping[str, Any]) -> list[Length]:
        from tasks.lengths import Length

        room, found = model.config.max_length - (2 if model.tokenizer.opens else 1), []
        for text in inputs:
            parts = model.tokenizer.encode_batch(str(text).split(MASK))
            given = sum(map(len, parts)) + len(parts) - 1
            found.append(Length(given, min(len(_encode_question(model, text)), room)))
        return found

    def predict(self, model: Model, inputs: Sequence[Any], **options: Any) -> pd.DataFrame:
        """Fill the first [MASK] of each text with as many tokens as it takes; an empty string if there is none."""
        import pandas as pd

        checked_options(self.name, self.PredictOptions, options)
        tokenizer, limit = model.tokenizer, model.config.max_length
        sequences = [tokenizer.with_ends(_encode_question(model, text), limit) for text in inputs]
        never = tuple(i for i in tokenizer.never if i != tokenizer.mask_id)  # what parts the spans is written
        alphabet = Alphabet(tokenizer.sep_id, never)
        found = encoder_decoder.best_targets(
            model, sequences, Decoding(max_new_tokens=min(_LONGEST, limit - 1)), alphabet
        )
        words, probability = [""] * len(inputs), np.zeros(len(inputs))
        for place, (sequence, row) in enumerate(zip(sequences, found, strict=True)):
            if tokenizer.mask_id in sequence:
                words[place] = tokenizer.decode(_first_span(row[0].ids, tokenizer.mask_id)).strip()
                probability[place] = np.exp(row[0].log_probability)
        return pd.DataFrame({"prediction": words, "probability": probability.round(6)})


TASK = SpanCorruption()


def _first_span(ids: Sequence[int], mask_id: int) -> list[int]:
    """The tokens between the first [MASK] and the next, or the end."""
    after = dropwhile(lambda token: token != mask_id, ids)
    return list(takewhile(lambda token: token != mask_id, islice(after, 1, None)))


def _encode_question(model: Model, text: str) -> list[int]:
    """The tokens of a text with [MASK] where that is written; of a long one, those before the first one's answer go."""
    parts = [model.tokenizer.encode(part) for part in text.split(MASK)]
    ids = parts[0] + [token for part in parts[1:] for token in (model.tokenizer.mask_id, *part)]
    return ids[max(0, len(parts[0]) - (model.config.max_length - 3)) :] if len(parts) > 1 else ids
