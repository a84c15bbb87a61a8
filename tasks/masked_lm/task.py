"""Masked language modelling, the usual pretraining of an encoder: predict words removed from a text."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from pydantic import Field, model_validator

from artifacts.tokenizer import MASK
from models.network import Part
from models.question import Objective, Question, text_inputs
from tasks.answers import softmax
from tasks.attention import attention_of
from tasks.evaluation import Block, Evaluation, Table, Texts
from tasks.masked_lm.masking import mask_batch
from tasks.masked_lm.segments import next_sentences
from tasks.masked_lm.words import WORD, count_words
from tasks.task import Task, TaskOptions, checked_options
from training.errors import TrainingError

if TYPE_CHECKING:
    import pandas as pd

    from artifacts.corpus import Corpus
    from artifacts.tokenizer import Tokenizer
    from models.config import Architecture, ModelConfig
    from models.network import Parts
    from tasks.lengths import Length
    from tasks.model import Model
    from tasks.task import Limits, Settings
    from telemetry import Observe
    from training.batches import Batch
    from training.examples import Example

_QUESTIONS = 2000  # rows of a split that are asked about
_LATER = {"last_mask_share": 0.0, "causal_share": 0.0}  # options that older checkpoints lack
_SHORTEST = 4  # tokens; a shorter rest of a long row says too little to learn from


class MaskedLM(Task):
    """The task; `tasks/task.py` documents the methods."""

    name = "masked_lm"
    title = "Masked language model"
    endpoint = "generate"
    primary_metric = "accuracy"

    class Options(TaskOptions):
        """Masking options, and whether to train BERT's next-sentence prediction."""

        masking: Literal["dynamic", "static"] = "dynamic"  # another mask each epoch (RoBERTa), or the same (BERT)
        # Of the tokens; ModernBERT takes 0.3 (arXiv 2412.13663, section 2.2)
        mask_share: float = Field(0.15, gt=0, lt=1)
        # At the end of the training, linearly from `mask_share`, and in evaluations; 0: the same throughout. Ankner et al. 2023
        # (arXiv 2305.15096, section 2) go from 0.3 to 0.15; Wettig et al. 2022 (arXiv 2202.08005) compare constant shares.
        last_mask_share: float = Field(0.0, ge=0, lt=1)
        # Of the rows, in training: each position sees only what came before. With it a masked token is predicted at the position
        # before it (`hybrid.py`). Charpentier and Samuel 2024 (arXiv 2410.24159) find a small share best.
        causal_share: float = Field(0.0, ge=0, lt=1)
        nsp: bool = False  # next sentence prediction; its loss is added

        @model_validator(mode="after")
        def _fits_together(self) -> MaskedLM.Options:
            if self.last_mask_share and self.masking == "static":
                raise ValueError("a mask that stays cannot change its share: set masking=dynamic, or last_mask_share=0")
            if self.causal_share and self.nsp:
                raise ValueError("pairs of segments are no rows that can be causal: set nsp=false, or causal_share=0")
            return self

    # Training

    def settings(self, corpus: Corpus, options: Mapping[str, Any]) -> dict[str, Any]:
        """Options that change nothing are left out: earlier checkpoints have none of them."""
        chosen = checked_options(self.name, self.Options, options).model_dump()
        return {name: value for name, value in chosen.items() if name not in _LATER or value != _LATER[name]}

    def config(self, architecture: Architecture, tokenizer: Tokenizer, settings: Settings) -> ModelConfig:
        if tokenizer.mask_id < 0:
            raise TrainingError(f"{tokenizer.folder}: this tokenizer has no mask token; {self.name} needs one")
        if settings.get("nsp") and (architecture.token_types < 2 or architecture.network != "transformer"):
            raise TrainingError(
                "nsp=true needs a transformer with two kinds of segments: set token_types=2 or preset=bert"
            )
        if settings.get("causal_share") and (architecture.network != "transformer" or not tokenizer.opens):
            raise TrainingError("causal_share needs a transformer and rows that begin with [CLS]: set causal_share=0")
        return super().config(architecture, tokenizer, settings)

    def parts(self, config: ModelConfig, settings: Settings) -> Parts:
        parts = {"encoder": Part("Encoder"), "head": Part("MaskedLMHead")}
        if settings.get("nsp"):
            parts["next_sentence"] = Part("Classifier", {"num_labels": 2}, config.with_changes({"pooling": "cls"}))
        return parts

    def objective(self, settings: Settings) -> Objective:
        return Objective("next_sentence" if settings.get("nsp") else "choices")

    def encode(
        self, corpus: Corpus, tokenizer: Tokenizer, split: str, settings: Settings, limits: Limits
    ) -> Iterator[Example]:
        """All text of the split: a row longer than `max_length` becomes several examples."""
        from training.examples import Example

        max_length = limits.max_length - (1 if settings.get("nsp") else 0)  # a pair has one [SEP] more
        for batch in corpus.batches(split, ["id", "text"]):
            encoded = tokenizer.encode_batch(batch.column("text").to_pylist())
            for row_id, tokens in zip(batch.column("id").to_pylist(), encoded, strict=True):
                for start in range(0, len(tokens), max_length - 2):
                    if start == 0 or len(tokens) - start >= _SHORTEST:
                        yield Example(row_id, tokenizer.with_ends(tokens[start:], max_length))

    def packing_problem(self, settings: Settings) -> str:
        """Masks are drawn over all tokens of a batch, in order, and so are the same for texts in rows of their own."""
        chosen = self.Options(**settings)
        by_rows = {"masking": chosen.masking == "static", "nsp": chosen.nsp, "causal_share": chosen.causal_share > 0}
        names = [name for name, chooses in by_rows.items() if chooses]
        return f"packing has no place for choices by row: leave out {', '.join(names)}, or else" if names else ""

    def ask(
        self, config: ModelConfig, settings: Settings, batch: Batch, random: np.random.Generator, *, training: bool
    ) -> Question:
        return mask_batch(batch, random, config, **self.Options(**settings).model_dump(), training=training)

    # Evaluation

    def questions(self, corpus: Corpus, split: str, settings: Settings) -> pd.DataFrame:
        """One word of each text is replaced by [MASK]; `expected` is that word. Which one, the row's id decides."""
        import pandas as pd

        rows: list[dict[str, str]] = []
        for row in corpus.rows(split, ["id", "text"]):
            words = list(WORD.finditer(row["text"][:400]))
            if words and len(rows) < _QUESTIONS:
                word = words[int.from_bytes(str(row["id"]).encode()[-4:], "big") % len(words)]
                text = f"{row['text'][: word.start()]}{MASK}{row['text'][word.end() :]}"
                rows.append({"id": row["id"], "text": text, "expected": word[0]})
        if not rows:
            raise TrainingError(f"{corpus.artifact.path}: no text with a word in the split {split}")
        return pd.DataFrame(rows)

    def lengths(self, model: Model, inputs: Sequence[Any], options: Mapping[str, Any]) -> list[Length]:
        """Token count of each text, [MASK] as one, and how many tokens are read: the nearest before and after it."""
        from tasks.lengths import Length

        room, found = model.config.max_length - (2 if model.tokenizer.opens else 1), []
        for text in inputs:
            before, mask, after = str(text).partition(MASK)
            left, rest = (len(ids) for ids in model.tokenizer.encode_batch([before, after]))
            rest += bool(mask)
            found.append(Length(left + rest, min(min(left, room - 1) + rest, room)))
        return found

    def predict(self, model: Model, inputs: Sequence[Any], **options: Any) -> pd.DataFrame:
        """Fill the first [MASK] of each text; a text without one is answered with the empty string."""
        import pandas as pd

        checked_options(self.name, self.PredictOptions, options)
        tokenizer, limit = model.tokenizer, model.config.max_length
        shift = 1 if model.settings.get("causal_share") else 0  # where a masked token is predicted
        sequences, places = [], []
        for text in inputs:
            before, mask, after = text.partition(MASK)
            left = tokenizer.encode(before)[-(limit - 3) :]
            middle = [tokenizer.mask_id] if mask else []
            sequences.append(tokenizer.with_ends([*left, *middle, *tokenizer.encode(after)], limit))
            places.append(len(left) + 1 if mask else -1)
        words, probability = [""] * len(inputs), np.zeros(len(inputs))
        for batch in model.batches_of(sequences):
            rows, width = np.arange(len(batch.rows)), batch.input_ids.shape[1]
            at = rows * width + np.maximum(0, [places[row] - shift for row in batch.rows])
            question = Question(text_inputs(batch.input_ids, batch.attention_mask), at, np.zeros(0, np.int64), rows)
            logits = model.network.logits(question)
            logits[:, list(tokenizer.special_ids)] = -np.inf  # a special token is no answer
            likely = softmax(logits)
            for row, piece, p in zip(batch.rows, likely.argmax(-1).tolist(), likely.max(-1).tolist(), strict=True):
                if places[row] >= 0:
                    words[row], probability[row] = tokenizer.decode([piece]).strip(), p
        return pd.DataFrame({"prediction": words, "probability": probability.round(6)})

    def metrics(self, statistics: pd.DataFrame) -> dict[str, float]:
        return {"accuracy": float((statistics["expected"].to_numpy() == statistics["prediction"].to_numpy()).mean())}

    def baselines(
        self, corpus: Corpus, questions: pd.DataFrame, settings: Settings, seed: int, observe: Observe
    ) -> dict[str, pd.DataFrame]:
        import pandas as pd

        counts = count_words(corpus.texts("train"))
        word, count = min(counts.items(), key=lambda item: (-item[1], item[0]))
        share = round(count / counts.total(), 6)
        return {"the most frequent word": pd.DataFrame({"prediction": [word] * len(questions), "probability": share})}

    def report(self, evaluation: Evaluation) -> list[Block]:
        questions, predictions = evaluation.questions, evaluation.predictions
        right = (questions["expected"] == predictions["prediction"]).to_numpy()
        frequent = questions.assign(right=right).groupby("expected")["right"].agg(["size", "mean"])
        frequent = frequent.sort_values(["size", "mean"], ascending=False, kind="stable").head(20)
        rows = [[word, int(row["size"]), float(row["mean"])] for word, row in frequent.iterrows()]
        examples = zip(questions["expected"], questions["text"], predictions["prediction"], strict=True)
        shown = [(f"{word}, guessed {guess or 'nothing'}", text[:300]) for word, text, guess in islice(examples, 8)]
        note = "The words asked for most often, and how often each was found."
        return [
            Table("Words", note, ["word", "asked", "found"], rows),
            *_next_sentence(evaluation),
            Texts("Examples", "A text with one word taken out, and what the model put there.", shown),
            attention_of(evaluation.model, str(questions["text"].iloc[0])),
        ]


TASK = MaskedLM()


def _next_sentence(evaluation: Evaluation) -> list[Block]:
    """Accuracy of next-sentence prediction. Returns an empty list if the model was not trained for it."""
    if "next_sentence" not in evaluation.model.network.parts:
        return []
    right, asked = next_sentences(evaluation.model, evaluation.questions["text"].tolist())
    note = (
        "Does the second half of a text follow its first half, or is it from another text? About half of the pairs follow, "
        "so that guessing is right half of the time."
    )
    return [Table("Next sentence", note, ["pairs", "right", "accuracy"], [[asked, right, right / asked]])]
