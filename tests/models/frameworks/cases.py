"""Networks at tiny sizes, one for each preset and task, and a question for each: what all frameworks answer alike."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from models import parameters
from models.chance import generator_of
from models.config import ModelConfig
from models.network import Part, Parts, Weights
from models.parameters import Shapes, under
from models.question import Objective, Question, ask_each_row, ask_places, text_inputs

VOCABULARY, ROWS, LENGTH, LABELS = 60, 5, 19, 3
TINY = {
    "num_layers": 2,
    "d_model": 32,
    "d_ff": 48,
    "num_heads": 4,
    "max_length": 24,
    "dropout": 0.0,
    "attention_dropout": 0.0,
}
IMAGE = {"image_height": 16, "image_width": 16, "image_channels": 3, "layer_dropout": 0.0}


@dataclass(frozen=True)
class Case:
    """A network, its parameters, and how it is asked."""

    preset: str
    parts: Parts
    kind: str  # masked, next, translation, rows, tags, images, pairs
    shapes: Any  # of a config, the parameters' shapes
    changes: Mapping[str, Any] = field(default_factory=dict)
    objective: Objective = field(default_factory=Objective)

    @property
    def config(self) -> ModelConfig:
        """Its network's config."""
        data = IMAGE if self.kind == "images" else {"vocab_size": VOCABULARY}
        return ModelConfig(**{"preset": self.preset, **TINY, **data, **self.changes})

    @property
    def expected(self) -> Shapes:
        """Names and shapes of its parameters."""
        shapes: Shapes = self.shapes(self.config)
        return shapes

    def weights(self) -> Weights:
        """Weights of which none is 0 or 1 by chance of the start."""
        return {name: _numbers(number, shape, name) for number, (name, shape) in enumerate(self.expected.items())}

    def question(self, number: int = 0, rows: int = ROWS) -> Question:
        """A batch of this number, with padding, the last row the shortest."""
        random = generator_of(7, number)
        if self.kind == "images":
            pixels = random.standard_normal((rows, 3, 16, 16)).astype(np.float32)
            return ask_each_row({"pixels": pixels}, random.integers(0, LABELS, rows))
        ids, mask = _texts(random, rows, LENGTH)
        if self.kind == "translation":
            target, target_mask = _texts(random, rows, LENGTH - 4)
            labels = random.integers(5, VOCABULARY, target.shape)
            inputs = text_inputs(ids, mask, target_ids=target, target_mask=target_mask)
            return ask_places(inputs, target_mask, labels)
        labels = random.integers(5, VOCABULARY, ids.shape)
        if self.kind == "pairs":
            target, target_mask = _texts(random, rows, LENGTH - 6)
            inputs = text_inputs(ids, mask, target_ids=target, target_mask=target_mask)
            asked = ask_each_row(inputs, np.arange(rows))
            kinds = random.integers(0, 4, (rows, 2))
            return Question(asked.inputs, asked.places, asked.labels, asked.rows, {"kinds": kinds})
        more = {"token_types": (ids % 2).astype(np.int64)} if self.config.token_types else {}
        if self.kind == "documents":
            documents = np.where(mask, 1 + (np.arange(LENGTH) > LENGTH // 2), 0)
            return ask_places(text_inputs(ids, mask, documents, **more), mask, labels)
        inputs = text_inputs(ids, mask, **more)
        if self.kind == "causal rows":
            inputs["causal"] = np.arange(rows) % 2 == 0
        if self.kind == "rows":
            return ask_each_row(inputs, random.integers(0, LABELS, rows))
        if self.kind == "tags":
            return ask_places(inputs, mask, labels % LABELS)
        wanted = mask if self.kind == "next" else mask & (random.random(ids.shape) < 0.3)
        return ask_places(inputs, wanted, labels)


def _texts(random: np.random.Generator, rows: int, length: int) -> tuple[Any, Any]:
    lengths = np.linspace(length, 4, rows).astype(int)
    mask = np.arange(length) < lengths[:, None]
    return np.where(mask, random.integers(5, VOCABULARY, (rows, length)), 0), mask


def _numbers(number: int, shape: tuple[int, ...], name: str) -> Any:
    scale = shape[-1] ** -0.5 if len(shape) > 1 else 0.1
    values = generator_of(11, number).standard_normal(shape) * scale
    values += len(shape) == 1 and "norm" in name and name.endswith("weight")
    if name.endswith("embedding.tokens.weight"):
        values[0] = 0  # padding
    return values.astype(np.float32)


def _masked(config: ModelConfig) -> Shapes:
    return {**under("encoder", parameters.encoder(config)), **under("head", parameters.masked_lm_head(config))}


def _next(config: ModelConfig) -> Shapes:
    return {**under("decoder", parameters.decoder(config)), **under("head", parameters.lm_head(config))}


def _translating(config: ModelConfig) -> Shapes:
    return {**parameters.encoder_decoder(config), **under("head", parameters.lm_head(config))}


def _classifying(config: ModelConfig) -> Shapes:
    head = parameters.classifier(config, LABELS, hidden=not config.image_height)
    return {**under("encoder", parameters.encoder(config)), **under("classifier", head)}


def _tagging(config: ModelConfig) -> Shapes:
    head = parameters.token_classifier(config, LABELS)
    return {**under("encoder", parameters.encoder(config)), **under("classifier", head)}


def _retrieving(config: ModelConfig) -> Shapes:
    return {**under("encoder", parameters.encoder(config)), **under("head", parameters.embedding_head(config, 16))}


_MASKED = {"encoder": Part("Encoder"), "head": Part("MaskedLMHead")}
_NEXT = {"decoder": Part("Decoder"), "head": Part("LMHead")}
_TRANSLATION: Parts = {"trunk": Part("EncoderDecoder"), "head": Part("LMHead")}
_ROWS = {"encoder": Part("Encoder"), "classifier": Part("Classifier", {"num_labels": LABELS})}
_IMAGES = {"encoder": Part("Encoder"), "classifier": Part("Classifier", {"num_labels": LABELS, "hidden": False})}
_TAGS = {"encoder": Part("Encoder"), "classifier": Part("TokenClassifier", {"num_tags": LABELS})}
_PAIRS = {"encoder": Part("Encoder"), "head": Part("EmbeddingHead", {"projection": 16})}
_CONTRAST = Objective("contrast", {"temperature": 0.1, "symmetric": True})

_T5 = {"num_decoder_layers": 3, "d_head": 6, "relative_distance": 16, "relative_buckets": 8}

CASES = {
    "bert": Case("bert", _MASKED, "masked", _masked),
    "roberta": Case("roberta", _MASKED, "masked", _masked),
    "modern-encoder": Case("modern-encoder", _MASKED, "masked", _masked, {"window": 6, "num_layers": 4}),
    "albert": Case("albert", _MASKED, "masked", _masked, {"d_embedding": 16}),
    "gpt2": Case("gpt2", _NEXT, "next", _next),
    "llama": Case("llama", _NEXT, "next", _next, {"num_kv_heads": 2}),
    "t5": Case("t5", _TRANSLATION, "translation", _translating, _T5),
    "transformer-2017": Case("transformer-2017", _TRANSLATION, "translation", _translating),
    "vit": Case("vit", _IMAGES, "images", _classifying, {"patch_size": 4}),
    "cct": Case("cct", _IMAGES, "images", _classifying, {"stem_layers": 2}),
    # Choices that tasks make and no preset does.
    "classification, mean": Case("modern-encoder", _ROWS, "rows", _classifying, {"window": 0}),
    "classification, max": Case("bert", _ROWS, "rows", _classifying, {"pooling": "max"}),
    "classification, last": Case("roberta", _ROWS, "rows", _classifying, {"pooling": "last"}),
    "classification, sequence": Case("roberta", _ROWS, "rows", _classifying, {"pooling": "sequence"}),
    "tags": Case("bert", _TAGS, "tags", _tagging),
    "retrieval": Case("modern-encoder", _PAIRS, "pairs", _retrieving, {"window": 0}, _CONTRAST),
    "alibi": Case("", _MASKED, "masked", _masked, {"positions": "alibi", "num_heads": 4, "activation": "silu"}),
    "no positions": Case("", _NEXT, "next", _next, {"positions": "none", "window": 5, "output_bias": True}),
    "texts in a row": Case("llama", _NEXT, "documents", _next, {"num_kv_heads": 1}),
    "masked texts in a row": Case("roberta", _MASKED, "documents", _masked),
    "causal rows": Case("modern-encoder", _MASKED, "causal rows", _masked, {"window": 8}),
}  # fmt: skip
