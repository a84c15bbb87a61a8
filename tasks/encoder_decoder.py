"""Targets of an encoder and a decoder: what they cost, and which are the best. For each task that writes a text.

The network has children `encoder`, `decoder` and `head` (`of` makes it). The token vectors are the encoder's, shared with
the decoder and, unless the config says otherwise, with the head.

Shapes: B batch, S source length, U target length, M target tokens that are no padding, D d_model, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from tasks.generation import groups
from training.errors import TrainingError

if TYPE_CHECKING:
    import torch

    from models.config import ModelConfig
    from models.decoding_options import Decoding
    from models.torch.decoding.decodable import Translation
    from models.torch.decoding.hypothesis import Alphabet, Hypothesis
    from tasks.model import Model
    from training.torch.backend import RowLosses


def build_network(config: ModelConfig) -> torch.nn.Module:
    """The encoder and the decoder of a config's family, with a head."""
    from models.torch import LMHead, build

    network = build("EncoderDecoder", config)
    network.add_module("head", LMHead(config))
    return network


def target_losses(
    network: torch.nn.Module, source: torch.Tensor, mask: torch.Tensor, target: torch.Tensor, target_mask: torch.Tensor,
    label_smoothing: float = 0.0,
) -> tuple[torch.Tensor, torch.Tensor]:  # fmt: skip
    """Source [B, S] and target [B, U] with their masks -> the loss of each token asked for [M], and the row it is from [M].

    The target's tokens are given but for the last, and asked for but for the first (teacher forcing). Smoothed in training
    alone, so that the validation loss is the cross-entropy itself, whatever the smoothing.
    """
    from torch.nn.functional import cross_entropy

    asked = target_mask[:, 1:]
    # Padding comes after all that a position sees, so the target needs no mask; attention is quicker without one.
    hidden = network(source, None if mask.all() else mask, target[:, :-1])  # [B, U - 1, D]
    logits = network.get_submodule("head")(hidden[asked], network.get_submodule("encoder.embedding.tokens").weight)
    each = cross_entropy(
        logits, target[:, 1:][asked], reduction="none", label_smoothing=label_smoothing if network.training else 0.0
    )
    return each, asked.nonzero()[:, 0]


def sum_by_row(each: torch.Tensor, rows: torch.Tensor, count: int) -> RowLosses:
    """Losses [M] of the rows [M] of a batch, added up for each of its `count` rows."""
    import torch

    from training.torch.backend import RowLosses

    return RowLosses(torch.zeros(count).index_add(0, rows, each), torch.bincount(rows, minlength=count))


def best_targets(
    model: Model, sources: Sequence[Sequence[int]], options: Decoding, alphabet: Alphabet
) -> list[list[Hypothesis]]:  # fmt: skip
    """The best targets of each source ([CLS] ids [SEP])."""
    import torch

    from models.torch.decoding.search import decode

    options = fit_options(options, model.config)
    found: list[list[Hypothesis]] = [[] for _ in sources]
    with torch.inference_mode():
        for group in groups([len(source) for source in sources], options):
            begun = _decodable(model, [sources[place] for place in group], options)
            for place, made in zip(group, decode(begun, options, alphabet), strict=True):
                found[place] = made
    return found


def target_tokens(model: Model, source: Sequence[int], options: Decoding, alphabet: Alphabet) -> Iterator[int]:
    """The tokens of one source's target, [SEP] included, each as soon as it is known: greedy or sampled."""
    import torch

    from models.torch.decoding.stepwise import stepwise

    options = fit_options(options, model.config)
    with torch.inference_mode():
        for step in stepwise(_decodable(model, [source], options), options, alphabet):
            yield step.tokens[0]


def fit_options(options: Decoding, config: ModelConfig) -> Decoding:
    """The options with room for a target: `max_new_tokens` 0 is as many as the network allows; TrainingError for more."""
    room = config.max_length - 1  # beside [CLS]
    if options.max_new_tokens > room:
        raise TrainingError(
            f"max_new_tokens={options.max_new_tokens}, but the network has room for {room} (max_length)"
        )
    return options.model_copy(update={"max_new_tokens": options.max_new_tokens or room})


def _decodable(model: Model, sources: Sequence[Sequence[int]], options: Decoding) -> Translation:
    import numpy as np
    import torch

    from models.torch.decoding.decodable import Translation
    from training.batches import Ragged

    ids, mask = map(torch.from_numpy, Ragged.of(sources).pad(np.arange(len(sources)), model.tokenizer.pad_id))
    head = model.network.get_submodule("head")
    return Translation(model.network, head, ids, mask, options.max_new_tokens, model.tokenizer.cls_id)
