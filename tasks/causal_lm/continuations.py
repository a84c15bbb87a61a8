"""Continuations of texts by a language model: prompts, whole continuations, and one that is streamed."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pydantic import Field

from models.decoding_options import Decoding
from tasks.generation import alphabet_of, groups, pieces
from tasks.task import TaskOptions
from training.errors import TrainingError

if TYPE_CHECKING:
    from artifacts.tokenizer import Tokenizer
    from models.torch.decoding.decodable import Continuation
    from models.torch.decoding.hypothesis import Hypothesis
    from tasks.model import Model


class Continuing(Decoding, TaskOptions):
    """How texts are continued, and how they are scored."""

    prompt_tokens: int = Field(0, ge=0, description="Go on from the first so many tokens of a text; 0: from its end")
    stride: int = Field(0, ge=0, description="Scoring: tokens that a window moves on; 0: half of what the model reads")

    def within(self, max_length: int) -> Continuing:
        """The same, with room for a prompt. TrainingError where more was asked for than the model has."""
        most = max_length - 2  # [CLS] and one token of the prompt
        if self.max_new_tokens <= most:
            return self
        # The default is what nobody asked for: a registered model is sent it with every request.
        if self.max_new_tokens != type(self).model_fields["max_new_tokens"].default:
            raise TrainingError(
                f"options of causal_lm: max_new_tokens={self.max_new_tokens}, but the model reads {max_length} tokens in "
                f"all; give at most {most}"
            )
        return self.model_copy(update={"max_new_tokens": max(1, max_length // 2)})


@dataclass(frozen=True)
class ContinuedText:
    """A continuation; `probability` is the geometric mean of its tokens'."""

    text: str
    probability: float


def continue_texts(model: Model, texts: Sequence[str], options: Continuing) -> list[list[ContinuedText]]:
    """The `n_best` continuations of each text."""
    import torch

    from models.torch.decoding.search import decode

    options = options.within(model.config.max_length)
    prompts, found = prompts_of(model, texts, options), [list[ContinuedText]() for _ in texts]
    with torch.inference_mode():
        for group in groups([len(prompt) for prompt in prompts], options):
            decodable = _decodable(model, [prompts[place] for place in group], options)
            for place, hypotheses in zip(group, decode(decodable, options, alphabet_of(model.tokenizer)), strict=True):
                found[place] = [_as_text(model.tokenizer, prompts[place], one) for one in hypotheses]
    return found


def stream_text(model: Model, text: str, options: Continuing) -> Iterator[str]:
    """The continuation of one text, in pieces, each as soon as it is certain; of a beam all at once, at its end."""
    import torch

    from models.torch.decoding.stepwise import stepwise

    if options.method == "beam" or options.n_best > 1:
        yield continue_texts(model, [text], options)[0][0].text
        return
    options = options.within(model.config.max_length)
    (prompt,) = prompts_of(model, [text], options)

    def tokens() -> Iterator[int]:
        for step in stepwise(_decodable(model, [prompt], options), options, alphabet_of(model.tokenizer)):
            yield step.tokens[0]

    with torch.inference_mode():
        yield from pieces(tokens(), lambda ids: text_after(model.tokenizer, prompt, ids))


def prompts_of(model: Model, texts: Sequence[str], options: Continuing) -> list[list[int]]:
    """[CLS] and the tokens to go on from: a text's first `prompt_tokens`, or its last that leave room for new ones."""
    room = model.config.max_length - 1 - options.max_new_tokens
    found = []
    for ids in model.tokenizer.encode_batch(texts):
        ids = ids[: options.prompt_tokens] if options.prompt_tokens else ids
        found.append([model.tokenizer.cls_id, *ids[-room:]])
    return found


def text_after(tokenizer: Tokenizer, prompt: Sequence[int], ids: Sequence[int]) -> str:
    """The text that these tokens add to a prompt: a tokenizer may write a token otherwise at a text's beginning."""
    before, whole = tokenizer.decode(prompt), tokenizer.decode([*prompt, *ids])
    return whole[len(before) :] if whole.startswith(before) else tokenizer.decode(ids)


def _decodable(model: Model, prompts: Sequence[Sequence[int]], options: Continuing) -> Continuation:
    import numpy as np
    import torch

    from models.torch.decoding.decodable import Continuation
    from training.batches import Ragged

    ids, mask = Ragged.of(prompts).pad(np.arange(len(prompts)), model.tokenizer.pad_id)
    decoder, head = model.network.get_submodule("decoder"), model.network.get_submodule("head")
    return Continuation(decoder, head, torch.from_numpy(ids), torch.from_numpy(mask), options.max_new_tokens)


def _as_text(tokenizer: Tokenizer, prompt: Sequence[int], hypothesis: Hypothesis) -> ContinuedText:
    probability = math.exp(hypothesis.log_probability / hypothesis.tokens)
    return ContinuedText(text_after(tokenizer, prompt, hypothesis.ids), probability)
