"""The two networks of ELECTRA: the generator's size, the question of a batch, and how likely each token is to be a replacement."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from models.question import Arrays, Question, ask_places, text_inputs
from tasks.answers import sigmoid
from tasks.masked_lm.masking import mask_batch

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from models.config import ModelConfig
    from tasks.model import Model
    from training.batches import Batch


def generator_config(config: ModelConfig, size: float) -> ModelConfig:
    """The generator's: as deep, its widths `size` of the discriminator's, on token vectors as wide (section 3.2)."""
    heads = max(1, round(config.num_heads * size))
    width, tokens = heads * config.head_width, config.d_embedding or config.d_model
    return config.with_changes(
        {
            "d_model": width,
            "d_ff": max(8, round(config.d_ff * size)),
            "num_heads": heads,
            "num_kv_heads": 0,
            "d_embedding": 0 if width == tokens else tokens,
        }
    )


def mask_all(batch: Batch, random: np.random.Generator, config: ModelConfig, mask_share: float) -> Question:
    """A batch with its masks, and the objective's inputs for drawing replacements.

    All that is chosen becomes [MASK] here: the discriminator sees no mask, so none has to look like a word (section 2).
    """
    question = mask_batch(batch, random, config, mask_share=mask_share)
    hidden = question.inputs["input_ids"].copy()
    hidden.reshape(-1)[question.places] = config.mask_id
    drawn: NDArray[Any] = random.random(len(question.places), np.float32)
    more: Arrays = {"original": batch.input_ids, "drawn": drawn}
    return replace(question, inputs={**question.inputs, "input_ids": hidden}, more=more)


def probabilities(model: Model, texts: Sequence[str]) -> Iterator[tuple[str, list[tuple[int, int]], list[float]]]:
    """Places of each text's tokens, and each token's probability of being a replacement; long texts are cut."""
    tokenizer, limit = model.tokenizer, model.config.max_length
    cut = [tokenizer.encode_with_offsets(text) for text in texts]
    found: dict[int, list[float]] = {}
    for batch in model.batches_of([tokenizer.with_ends(ids, limit) for ids, _ in cut]):
        inputs = text_inputs(batch.input_ids, batch.attention_mask)
        question = ask_places(inputs, batch.attention_mask, batch.input_ids)
        likely = sigmoid(model.network.logits(question, "head")[:, 0])
        ends = np.cumsum(question.targets)
        for row, values in zip(batch.rows, np.split(likely, ends[:-1]), strict=True):
            found[int(row)] = values[1:-1].tolist()
    for number, (text, (_, offsets)) in enumerate(zip(texts, cut, strict=True)):
        yield text, offsets[: len(found[number])], found[number]
