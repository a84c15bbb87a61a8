"""A batch of texts for the masked language model: masked, and with `nsp` as pairs of segments."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, NamedTuple, cast

if TYPE_CHECKING:
    import torch

    from models.config import ModelConfig
    from tasks.model import Model
    from training.batches import Batch


class MaskedBatch(NamedTuple):
    """Masked texts and the tokens that are missing. Shapes: B rows, T width, M masked positions."""

    input_ids: torch.Tensor  # [B, T], masked
    attention_mask: torch.Tensor  # [B, T]
    positions: torch.Tensor  # [M], places in the flattened [B * T]
    labels: torch.Tensor  # [M], the tokens that were there
    token_types: torch.Tensor | None = None  # [B, T]
    follows: torch.Tensor | None = None  # [B], whether the second segment follows the first


def config_of(network: torch.nn.Module) -> ModelConfig:
    """The config of a network's encoder: the special ids of its tokenizer are among what it says."""
    config = network.get_submodule("encoder").config
    return cast("ModelConfig", config)


def mask_batch(
    batch: Batch, generator: torch.Generator, config: ModelConfig, *, masking: str, mask_share: float, nsp: bool
) -> MaskedBatch:
    """A batch with its masks and, with `nsp`, its rows as pairs of segments."""
    import torch

    from tasks.masked_lm import segments
    from tasks.masked_lm.masking import mask_rows, mask_tokens

    input_ids, mask = torch.from_numpy(batch.input_ids), torch.from_numpy(batch.attention_mask)
    draw = mask_rows if masking == "static" else partial(mask_tokens, generator=generator)
    masked = draw(
        input_ids, mask & ~torch.isin(input_ids, torch.tensor(config.special_ids)), mask_id=config.mask_id,
        vocab_size=config.vocab_size, first_id=config.first_id, share=mask_share,
    )  # fmt: skip
    if not nsp:
        return MaskedBatch(masked.input_ids, mask, masked.positions, masked.labels)
    labels = segments.labels_of(masked.positions, masked.labels, input_ids.shape)
    pairs = segments.pair_up(
        masked.input_ids, mask, labels, batch.ids, generator, sep_id=config.sep_id, pad_id=config.pad_id
    )
    places = segments.label_places(pairs.labels)
    return MaskedBatch(
        pairs.input_ids, pairs.attention_mask, places, pairs.labels.flatten()[places], pairs.token_types, pairs.follows
    )


def next_sentences(model: Model, texts: Sequence[str]) -> tuple[int, int]:
    """How many of these texts' pairs the model tells right, and how many there are; the same pairs each time."""
    import torch

    from tasks.masked_lm import segments

    tokenizer, generator = model.tokenizer, torch.Generator().manual_seed(0)
    limit = model.config.max_length - 1  # a pair has one [SEP] more
    sequences = [tokenizer.with_ends(ids, limit) for ids in tokenizer.encode_batch(texts)]
    encoder, head = model.network.get_submodule("encoder"), model.network.get_submodule("next_sentence")
    right = 0
    with torch.inference_mode():
        for batch in model.batches_of(sequences):
            input_ids, mask = torch.from_numpy(batch.input_ids), torch.from_numpy(batch.attention_mask)
            pairs = segments.pair_up(
                input_ids, mask, torch.zeros_like(input_ids), batch.ids, generator,
                sep_id=tokenizer.sep_id, pad_id=tokenizer.pad_id,
            )  # fmt: skip
            memory = encoder(pairs.input_ids, pairs.attention_mask, pairs.token_types)
            right += int((head(memory, pairs.attention_mask).argmax(-1) == pairs.follows).sum())
    return right, len(texts)
