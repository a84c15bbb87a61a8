"""Token classification: spans of a text and their kinds. The network is an encoder and a linear layer on each of its vectors."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from models.network import Part
from models.question import Question, ask_places, text_inputs
from tasks.answers import softmax
from tasks.task import Task, checked_options
from tasks.token_classification import report as span_report
from tasks.token_classification import tagging
from tasks.token_classification.baselines import DOCSTRINGS, Dictionary, patterns
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

_SHARED = 0.25  # of a window, with the next one, when a text is longer than the model


class TokenClassification(Task):
    """The task; `tasks/task.py` documents the methods. A prediction is the JSON of a text's spans."""

    name = "token_classification"
    primary_metric = "entity_f1"

    # Training

    def settings(self, corpus: Corpus, options: Mapping[str, Any]) -> dict[str, Any]:
        checked_options(self.name, self.Options, options)
        kinds = sorted(corpus.info.get("spans_by_kind", {}).get("train", {}))
        if not kinds:
            raise TrainingError(
                f"{corpus.artifact.path}: no marked place in any text; token classification needs them (set spans_column)"
            )
        return {"kinds": kinds}

    def parts(self, config: ModelConfig, settings: Settings) -> Parts:
        tags = tagging.number_of_tags(settings["kinds"])
        return {"encoder": Part("Encoder"), "classifier": Part("TokenClassifier", {"num_tags": tags})}

    def encode(
        self, corpus: Corpus, tokenizer: Tokenizer, split: str, settings: Settings, limits: Limits
    ) -> Iterator[Example]:
        """The marked rows of a split: one longer than `max_length` becomes several examples."""
        from training.examples import Example

        for row in corpus.rows(split, ["id", "text", "spans"]):
            if row["spans"] is None:
                continue
            pieces, words = tagging.cut(tokenizer, row["text"])
            of_piece = np.full(len(pieces), tagging.NO_TAG, np.int32)
            found = tagging.tags_of(words, tagging.read_spans(row["spans"]), settings["kinds"])
            of_piece[[word.piece for word in words]] = found
            for window in tagging.windows(len(pieces), limits.max_length - 2, 0):
                some = slice(window.start, window.end)
                numbers = tokenizer.with_ends(pieces[some], limits.max_length)
                tags = np.concatenate([[tagging.NO_TAG], of_piece[some], [tagging.NO_TAG]]).astype(np.int32)
                yield Example(row["id"], numbers, tags=tags)

    def ask(
        self, config: ModelConfig, settings: Settings, batch: Batch, random: np.random.Generator, *, training: bool
    ) -> Question:
        assert batch.tags is not None
        inputs = text_inputs(batch.input_ids, batch.attention_mask)
        return ask_places(inputs, batch.tags != tagging.NO_TAG, batch.tags)

    # Evaluation

    def questions(self, corpus: Corpus, split: str, settings: Settings) -> pd.DataFrame:
        import pandas as pd

        rows = [row for row in corpus.rows(split, ["id", "text", "spans"]) if row["spans"] is not None]
        if not rows:
            raise TrainingError(f"{corpus.artifact.path}: no marked text in the split {split}")
        return pd.DataFrame(rows).rename(columns={"spans": "expected"})

    def predict(self, model: Model, inputs: Sequence[Any], **options: Any) -> pd.DataFrame:
        """Spans of each text as JSON; `probability` is the mean over its words of how sure each tag is."""
        import pandas as pd

        checked_options(self.name, self.PredictOptions, options)
        kinds, answers, sureness = model.settings["kinds"], [], []
        for text, words, tags, sure in _tag(model, inputs):
            answers.append(tagging.write_predicted(text, tagging.spans_of(words, tags, sure, kinds)))
            sureness.append(round(float(np.mean(sure)), 6) if sure else 1.0)
        return pd.DataFrame({"prediction": answers, "probability": np.array(sureness, float)})

    def lengths(self, model: Model, inputs: Sequence[Any], options: Mapping[str, Any]) -> list[Length]:
        """All of each text is read, in windows."""
        from tasks.lengths import Length

        return [Length(len(ids), len(ids)) for ids in model.tokenizer.encode_batch([str(text) for text in inputs])]

    def statistics(self, questions: pd.DataFrame, predictions: pd.DataFrame) -> pd.DataFrame:
        """Spans that are exactly right, wrong and missed in each text, for all kinds and for each one that is expected."""
        import pandas as pd

        expected = [set(tagging.read_spans(text)) for text in questions["expected"]]
        found = [set(tagging.read_spans(text)) for text in predictions["prediction"]]
        kinds = sorted({kind for spans in expected for _, _, kind in spans})
        columns: dict[str, list[int]] = {}
        for kind in ("", *kinds):
            pairs = [
                [{s for s in spans if kind in ("", s[2])} for spans in both]
                for both in zip(expected, found, strict=True)
            ]
            columns |= {
                f"right {kind}": [len(truth & seen) for truth, seen in pairs],
                f"wrong {kind}": [len(seen - truth) for truth, seen in pairs],
                f"missed {kind}": [len(truth - seen) for truth, seen in pairs],
            }
        return pd.DataFrame(columns)

    def metrics(self, statistics: pd.DataFrame) -> dict[str, float]:
        """Micro-averaged over all spans, which must be right in start, end and kind (CoNLL-2003: W03-0419, section 2.3)."""
        totals = dict(zip(statistics.columns, statistics.to_numpy().sum(0).tolist(), strict=True))
        scores = {}
        for kind in (name.removeprefix("right ") for name in totals if name.startswith("right ")):
            right, wrong, missed = (totals[f"{what} {kind}"] for what in ("right", "wrong", "missed"))
            f1 = 2 * right / max(1, 2 * right + wrong + missed)
            if kind:
                scores[f"f1_{kind}"] = f1
            else:
                scores |= {
                    "entity_f1": f1,
                    "precision": right / max(1, right + wrong),
                    "recall": right / max(1, right + missed),
                }
        return scores

    def baselines(
        self, corpus: Corpus, questions: pd.DataFrame, settings: Settings, seed: int, observe: Observe
    ) -> dict[str, pd.DataFrame]:
        import pandas as pd

        train = self.questions(corpus, "train", settings)
        known = Dictionary(
            (text, tagging.read_spans(spans)) for text, spans in zip(train["text"], train["expected"], strict=True)
        )
        methods = {"spans seen in training": known.mark}
        if set(settings["kinds"]) <= DOCSTRINGS:
            methods["patterns"] = patterns
        return {
            name: pd.DataFrame({"prediction": [
                tagging.write_predicted(text, [(span, 1.0) for span in mark(text)]) for text in questions["text"]
            ], "probability": 1.0})
            for name, mark in methods.items()
        }  # fmt: skip

    def report(self, evaluation: Evaluation) -> list[Block]:
        return span_report.blocks(evaluation, self)

    def example(self) -> tuple[dict[str, list[Any]], dict[str, list[Any]]]:
        spans = '[{"start": 0, "end": 4, "kind": "PARAMETER", "text": "axis", "probability": 0.9}]'
        texts = ["axis : int, default=None\n    Sum over this axis.", "Close the connection."]
        return {"text": texts}, {"prediction": [spans, "[]"], "probability": [0.9, 0.9]}


TASK = TokenClassification()


def _tag(model: Model, texts: Sequence[str]) -> list[tuple[str, list[tagging.Word], list[int], list[float]]]:
    """Each text's words, the tag of each, and how sure that is."""
    limit = model.config.max_length - 2
    cuts = [tagging.cut(model.tokenizer, text) for text in texts]
    best = [np.zeros(len(ids), np.int64) for ids, _ in cuts]
    sure = [np.zeros(len(ids)) for ids, _ in cuts]
    places = [
        (number, window)
        for number, (ids, _) in enumerate(cuts)
        for window in tagging.windows(len(ids), limit, int(_SHARED * limit))
    ]
    sequences = [
        model.tokenizer.with_ends(cuts[number][0][window.start : window.end], model.config.max_length)
        for number, window in places
    ]
    for batch in model.batches_of(sequences):
        inputs = text_inputs(batch.input_ids, batch.attention_mask)
        everywhere = ask_places(inputs, np.ones(batch.input_ids.shape, bool), batch.input_ids)
        likely = softmax(model.network.logits(everywhere))
        tags, p = (found.reshape(batch.input_ids.shape) for found in (likely.argmax(-1), likely.max(-1)))
        for at, row in enumerate(batch.rows):
            number, window = places[row]
            inner = slice(1 + window.first - window.start, 1 + window.last - window.start)
            best[number][window.first : window.last] = tags[at, inner]
            sure[number][window.first : window.last] = p[at, inner]
    return [
        (text, words, [int(best[n][word.piece]) for word in words], [float(sure[n][word.piece]) for word in words])
        for n, (text, (_, words)) in enumerate(zip(texts, cuts, strict=True))
    ]
