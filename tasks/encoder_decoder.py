"""Questions and answers of an encoder and a decoder, for each task that writes a text.

The token vectors are the encoder's, shared with the decoder and, unless the config says otherwise, with the head.

Shapes: B batch, S source length, U target length.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from models.decoding import Alphabet, Decoding, Hypothesis
from models.network import Part, Parts
from models.question import Question, ask_places, text_inputs
from tasks.generation import decode, groups, pad_texts, stream
from training.errors import TrainingError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from models.config import ModelConfig
    from tasks.model import Model

PARTS: Parts = {"trunk": Part("EncoderDecoder"), "head": Part("LMHead")}


def ask_targets(
    source: NDArray[np.int64], mask: NDArray[np.bool_], target: NDArray[np.int64], target_mask: NDArray[np.bool_]
) -> Question:
    """Source [B, S] and target [B, U] with their masks. The target's tokens are given but for the last, and asked for but for the
    first (teacher forcing). Padding comes after all that a position sees, so the target needs no mask."""
    inputs = text_inputs(source, mask, target_ids=np.ascontiguousarray(target[:, :-1]))
    return ask_places(inputs, target_mask[:, 1:], target[:, 1:])


def best_targets(
    model: Model, sources: Sequence[Sequence[int]], options: Decoding, alphabet: Alphabet
) -> list[list[Hypothesis]]:
    """The best targets of each source ([CLS] ids [SEP])."""
    options = fit_options(options, model.config)
    found: list[list[Hypothesis]] = [[] for _ in sources]
    for group in groups([len(source) for source in sources], options):
        inputs = pad_texts([sources[place] for place in group], model.tokenizer.pad_id)
        for place, ways in zip(group, decode(model, inputs, options, alphabet), strict=True):
            found[place] = ways
    return found


def target_tokens(model: Model, source: Sequence[int], options: Decoding, alphabet: Alphabet) -> Iterator[int]:
    """The tokens of one source's target, [SEP] included, each as soon as it is known: greedy or sampled."""
    inputs = pad_texts([source], model.tokenizer.pad_id)
    return stream(model, inputs, fit_options(options, model.config), alphabet)


def fit_options(options: Decoding, config: ModelConfig) -> Decoding:
    """The options with room for a target: `max_new_tokens` 0 is as many as the network allows; TrainingError for more."""
    room = config.max_length - 1  # without [CLS]
    if options.max_new_tokens > room:
        raise TrainingError(
            f"max_new_tokens={options.max_new_tokens}, but the network has room for {room} (max_length)"
        )
    return options.model_copy(update={"max_new_tokens": options.max_new_tokens or room})
