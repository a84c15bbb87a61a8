"""The two networks of ELECTRA on a batch: what the generator fills in, and what the discriminator makes of it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tasks.masked_lm.masked_batch import config_of, mask_batch

if TYPE_CHECKING:
    import torch

    from models.config import ModelConfig
    from tasks.model import Model
    from training.batches import Batch


@dataclass(frozen=True)
class Detection:
    """Shapes: B rows, T width, M masked positions, V vocabulary."""

    positions: torch.Tensor  # [M], places in the flattened [B * T]
    labels: torch.Tensor  # [M], the tokens that were there
    filled: torch.Tensor  # [M, V], the generator's logits
    real: torch.Tensor  # [B, T], True where there is a token
    corrupted: torch.Tensor  # [B, T], with what was drawn
    replaced: torch.Tensor  # [B, T], True where that is another token than was there
    logits: torch.Tensor  # [B, T], the discriminator's
    weight: float

    def words(self) -> torch.Tensor:
        """The generator's loss at each masked position, [M]."""
        from torch.nn.functional import cross_entropy

        return cross_entropy(self.filled, self.labels, reduction="none")

    def tokens(self) -> torch.Tensor:
        """The discriminator's loss at each token, [B, T]; 0 at padding."""
        from torch.nn.functional import binary_cross_entropy_with_logits

        loss = binary_cross_entropy_with_logits(self.logits, self.replaced.to(self.logits.dtype), reduction="none")
        return loss * self.real


def generator_config(config: ModelConfig, size: float) -> ModelConfig:
    """The generator's: as deep, its widths `size` of the discriminator's, on token vectors as wide (section 3.2)."""
    heads = max(1, round(config.num_heads * size))
    width, tokens = heads * config.head_width, config.d_embedding or config.d_model
    return config.with_changes({
        "d_model": width, "d_ff": max(8, round(config.d_ff * size)), "num_heads": heads, "num_kv_heads": 0,
        "d_embedding": 0 if width == tokens else tokens,
    })  # fmt: skip


def detect(network: torch.nn.Module, batch: Batch, generator: torch.Generator) -> Detection:
    """Masks and what is put there are drawn from `generator`. A token that the generator guesses right is no replacement."""
    import torch

    config = config_of(network)
    encoder, small = network.get_submodule("encoder"), network.get_submodule("generator")
    vectors = encoder.get_submodule("embedding.tokens").weight
    chosen = network.chosen
    assert isinstance(vectors, torch.Tensor)
    assert isinstance(chosen, dict)
    asked = mask_batch(batch, generator, config, masking="dynamic", mask_share=chosen["mask_share"], nsp=False)
    mask = None if asked.attention_mask.all() else asked.attention_mask
    # All that is chosen becomes [MASK] here: the discriminator sees no mask, so none has to look like a word (section 2).
    hidden = asked.input_ids.flatten().index_fill(0, asked.positions, config.mask_id).view_as(asked.input_ids)
    filled = network.get_submodule("generator_head")(small(hidden, mask).flatten(0, 1)[asked.positions], vectors)
    drawn = _draw(filled.detach(), generator, config.special_ids)
    corrupted = hidden.flatten().index_copy(0, asked.positions, drawn).view_as(hidden)
    logits = network.get_submodule("head")(encoder(corrupted, mask))
    replaced = corrupted != torch.from_numpy(batch.input_ids)
    return Detection(
        asked.positions, asked.labels, filled, asked.attention_mask, corrupted, replaced, logits,
        chosen["discriminator_weight"],
    )  # fmt: skip


def _draw(logits: torch.Tensor, generator: torch.Generator, special_ids: Sequence[int]) -> torch.Tensor:
    """A token for each row of logits [M, V], no special one."""
    import torch

    if not len(logits):
        return logits.new_zeros(0, dtype=torch.int64)
    logits = logits.clone()
    logits[:, list(special_ids)] = -torch.inf
    return torch.multinomial(logits.softmax(-1), 1, generator=generator).squeeze(1)


def probabilities(model: Model, texts: Sequence[str]) -> Iterator[tuple[str, list[tuple[int, int]], list[float]]]:
    """Of each text its tokens' places, and how likely each is to be a replacement; what is too long is cut."""
    import torch

    tokenizer, limit = model.tokenizer, model.config.max_length
    cut = [tokenizer.encode_with_offsets(text) for text in texts]
    encoder, head = model.network.get_submodule("encoder"), model.network.get_submodule("head")
    found: dict[int, list[float]] = {}
    with torch.inference_mode():
        for batch in model.batches_of([tokenizer.with_ends(ids, limit) for ids, _ in cut]):
            mask = torch.from_numpy(batch.attention_mask)
            told = head(encoder(torch.from_numpy(batch.input_ids), mask)).sigmoid()
            for row, values, there in zip(batch.rows, told.tolist(), mask.sum(1).tolist(), strict=True):
                found[int(row)] = values[1 : there - 1]
    for number, (text, (_, offsets)) in enumerate(zip(texts, cut, strict=True)):
        yield text, offsets[: len(found[number])], found[number]
