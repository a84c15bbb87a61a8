"""Masked language modelling: which words were taken out of a text. What an encoder is pretrained on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from pydantic import Field

from artifacts.tokenizer import MASK
from tasks.attention import attention_of
from tasks.evaluation import Block, Evaluation, Table, Texts
from tasks.masked_lm.masked_batch import MaskedBatch, config_of, mask_batch, next_sentences
from tasks.masked_lm.words import WORD, count_words
from tasks.task import Task, TaskOptions, checked_options
from training.errors import TrainingError

if TYPE_CHECKING:
    import pandas as pd
    import torch

    from artifacts.corpus import Corpus
    from artifacts.tokenizer import Tokenizer
    from models.config import Architecture, ModelConfig
    from tasks.lengths import Length
    from tasks.model import Model
    from tasks.task import Settings
    from telemetry import Observe
    from training.batches import Batch, Examples
    from training.torch.backend import Choices, Loss, RowLosses

_QUESTIONS = 2000  # rows of a split that are asked about
_SHORTEST = 4  # tokens; a shorter rest of a long row says too little to learn from


class MaskedLM(Task):
    """The task; see `tasks/task.py` for what each method promises."""

    name = "masked_lm"
    title = "Masked language model"
    endpoint = "generate"
    primary_metric = "accuracy"

    class Options(TaskOptions):
        """How to mask, and whether to ask as BERT did which segment comes next."""

        masking: Literal["dynamic", "static"] = "dynamic"  # another mask each epoch (RoBERTa), or the same (BERT)
        mask_share: float = Field(
            0.15, gt=0, lt=1
        )  # of the tokens; ModernBERT takes 0.3 (arXiv 2412.13663, section 2.2)
        nsp: bool = False  # next sentence prediction; its loss is added

    # Training

    def settings(self, corpus: Corpus, options: Mapping[str, Any]) -> dict[str, Any]:
        return checked_options(self.name, self.Options, options).model_dump()

    def config(self, architecture: Architecture, tokenizer: Tokenizer, settings: Settings) -> ModelConfig:
        if tokenizer.mask_id < 0:
            raise TrainingError(f"{tokenizer.folder}: this tokenizer has no mask token; {self.name} needs one")
        if settings.get("nsp") and (architecture.token_types < 2 or architecture.network != "transformer"):
            raise TrainingError(
                "nsp=true needs a transformer with two kinds of segments: set token_types=2 or preset=bert"
            )
        return super().config(architecture, tokenizer, settings)

    def network(self, config: ModelConfig, settings: Settings) -> torch.nn.Module:
        from models.torch import Classifier, MaskedLMHead, Parts, build

        parts = {"encoder": build("Encoder", config), "head": MaskedLMHead(config)}
        if settings.get("nsp"):
            parts["next_sentence"] = Classifier(config.with_changes({"pooling": "cls"}), 2)
        return Parts(parts, **self.Options(**settings).model_dump())

    def examples(
        self, corpus: Corpus, tokenizer: Tokenizer, split: str, settings: Settings, config: ModelConfig
    ) -> Examples:
        """All text of the split: a row longer than `max_length` becomes several examples."""
        from training.batches import Examples

        max_length = config.max_length - (1 if settings.get("nsp") else 0)  # a pair has one [SEP] more
        ids: list[str] = []

        def chunks() -> Iterator[list[int]]:
            for batch in corpus.batches(split, ["id", "text"]):
                encoded = tokenizer.encode_batch(batch.column("text").to_pylist())
                for row_id, tokens in zip(batch.column("id").to_pylist(), encoded, strict=True):
                    for start in range(0, len(tokens), max_length - 2):
                        if start == 0 or len(tokens) - start >= _SHORTEST:
                            ids.append(row_id)
                            yield tokenizer.with_ends(tokens[start:], max_length)

        return Examples.of(chunks(), ids, tokenizer.pad_id)

    def loss(self, network: torch.nn.Module, batch: Batch, generator: torch.Generator) -> Loss:
        from torch.nn.functional import cross_entropy

        from training.torch.backend import Loss

        asked = self.ask(network, batch, generator)
        logits, follows = _logits(network, asked)
        total, targets = cross_entropy(logits, asked.labels, reduction="sum"), len(asked.labels)
        if follows is not None and asked.follows is not None:
            # The mean of each is added, so what is summed here is weighted by the targets.
            total = total + targets * cross_entropy(follows, asked.follows)
        return Loss(total, targets)

    def row_losses(self, network: torch.nn.Module, batch: Batch, generator: torch.Generator) -> RowLosses:
        import torch
        from torch.nn.functional import cross_entropy

        from training.torch.backend import RowLosses

        asked = self.ask(network, batch, generator)
        logits, follows = _logits(network, asked)
        rows = len(batch.rows)
        of_row, each = (
            asked.positions // asked.input_ids.shape[1],
            cross_entropy(logits, asked.labels, reduction="none"),
        )
        total = torch.zeros(rows).index_add(0, of_row, each)
        if follows is not None and asked.follows is not None:
            total = total + len(asked.labels) / rows * cross_entropy(follows, asked.follows, reduction="none")
        return RowLosses(total, torch.bincount(of_row, minlength=rows))

    def ask(self, network: torch.nn.Module, batch: Batch, generator: torch.Generator) -> MaskedBatch:
        chosen = network.chosen
        assert isinstance(chosen, dict)
        return mask_batch(batch, generator, config_of(network), **chosen)

    def choose(self, network: torch.nn.Module, asked: MaskedBatch) -> Choices:
        from training.torch.backend import Choices

        if asked.follows is not None:
            raise TrainingError("a teacher teaches which words were masked, not what follows: set nsp=false")
        logits, _ = _logits(network, asked)
        return Choices(logits, asked.labels, asked.positions // asked.input_ids.shape[1])

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
        """Of each text its tokens, [MASK] as one, and how many of them are read: those nearest before it, and after it."""
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
        import torch

        checked_options(self.name, self.PredictOptions, options)
        tokenizer, limit = model.tokenizer, model.config.max_length
        sequences, places = [], []
        for text in inputs:
            before, mask, after = text.partition(MASK)
            left = tokenizer.encode(before)[-(limit - 3) :]
            middle = [tokenizer.mask_id] if mask else []
            sequences.append(tokenizer.with_ends([*left, *middle, *tokenizer.encode(after)], limit))
            places.append(len(left) + 1 if mask else -1)
        words, probability = [""] * len(inputs), np.zeros(len(inputs))
        encoder, head = model.network.get_submodule("encoder"), model.network.get_submodule("head")
        with torch.inference_mode():
            for batch in model.batches_of(sequences):
                rows = batch.rows
                memory = encoder(torch.from_numpy(batch.input_ids), torch.from_numpy(batch.attention_mask))
                at = torch.tensor([max(0, places[row]) for row in rows])
                logits = head(memory[torch.arange(len(rows)), at], encoder.get_submodule("embedding.tokens").weight)
                logits[:, list(tokenizer.special_ids)] = -torch.inf  # a special token is no answer
                top = logits.softmax(-1).max(-1)
                for row, piece, p in zip(rows, top.indices.tolist(), top.values.tolist(), strict=True):
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
        asked = zip(questions["expected"], questions["text"], predictions["prediction"], strict=True)
        shown = [(f"{word}, guessed {guess or 'nothing'}", text[:300]) for word, text, guess in islice(asked, 8)]
        note = "The words asked for most often, and how often each was found."
        return [
            Table("Words", note, ["word", "asked", "found"], rows),
            *_next_sentence(evaluation),
            Texts("Examples", "A text with one word taken out, and what the model put there.", shown),
            attention_of(evaluation.model, str(questions["text"].iloc[0])),
        ]


TASK = MaskedLM()


def _next_sentence(evaluation: Evaluation) -> list[Block]:
    """How well a model tells what follows; nothing where it was not trained to."""
    if not dict(evaluation.model.network.named_children()).get("next_sentence"):
        return []
    right, asked = next_sentences(evaluation.model, evaluation.questions["text"].tolist())
    note = (
        "Does the second half of a text follow its first half, or is it from another text? About half of the pairs follow, "
        "so that guessing is right half of the time."
    )
    return [Table("Next sentence", note, ["pairs", "right", "accuracy"], [[asked, right, right / asked]])]


def _vectors(network: torch.nn.Module) -> torch.Tensor:
    """The vectors of all tokens, [V, E], which are the output matrix as well."""
    vectors: torch.Tensor = network.get_parameter("encoder.embedding.tokens.weight")
    return vectors


def _logits(network: torch.nn.Module, asked: MaskedBatch) -> tuple[torch.Tensor, torch.Tensor | None]:
    """The logits [M, V] at the masked positions, and those of what follows [B, 2]."""
    # Where nothing is padded, attention needs no mask, and its kernel without one is quicker.
    mask = None if asked.attention_mask.all() else asked.attention_mask
    types = () if asked.token_types is None else (asked.token_types,)  # not every family has any
    memory = network.get_submodule("encoder")(asked.input_ids, mask, *types)
    follows = network.get_submodule("next_sentence")(memory, mask) if asked.follows is not None else None
    logits = network.get_submodule("head")(memory.flatten(0, 1)[asked.positions], _vectors(network))
    return logits, follows
