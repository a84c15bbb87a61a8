"""Continuations of texts by a language model: prompts, whole continuations, and one that is streamed."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pydantic import Field

from models.decoding import Decoding, Hypothesis
from tasks.generation import alphabet_of, decode, groups, pad_texts, pieces, stream
from tasks.task import TaskOptions
from training.errors import TrainingError

if TYPE_CHECKING:
    from artifacts.tokenizer import Tokenizer
    from tasks.model import Model


class Continuing(Decoding, TaskOptions):
    """Options of continuing and scoring texts."""

    prompt_tokens: int = Field(0, ge=0, description="Go on from the first so many tokens of a text; 0: from its end")
    stride: int = Field(0, ge=0, description="Scoring: tokens that a window moves on; 0: half of what the model reads")

    def within(self, max_length: int) -> Continuing:
        """The same options with room for a prompt. TrainingError if the user set more than the model has."""
        most = max_length - 2  # [CLS] and one token of the prompt
        if self.max_new_tokens <= most:
            return self
        # The default is not the user's choice: a registered model receives it with every request.
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
    options = options.within(model.config.max_length)
    prompts, found = prompts_of(model, texts, options), [list[ContinuedText]() for _ in texts]
    alphabet = alphabet_of(model.tokenizer)
    for group in groups([len(prompt) for prompt in prompts], options):
        inputs = pad_texts([prompts[place] for place in group], model.tokenizer.pad_id)
        for place, hypotheses in zip(group, decode(model, inputs, options, alphabet), strict=True):
            found[place] = [_as_text(model.tokenizer, prompts[place], one) for one in hypotheses]
    return found


def stream_text(model: Model, text: str, options: Continuing) -> Iterator[str]:
    """The continuation of one text, in pieces, each as soon as it is certain; of a beam all at once, at its end."""
    if options.method == "beam" or options.n_best > 1:
        yield continue_texts(model, [text], options)[0][0].text
        return
    options = options.within(model.config.max_length)
    (prompt,) = prompts_of(model, [text], options)

    inputs = pad_texts([prompt], model.tokenizer.pad_id)
    tokens = stream(model, inputs, options, alphabet_of(model.tokenizer))
    yield from pieces(tokens, lambda ids: text_after(model.tokenizer, prompt, ids))


def prompts_of(model: Model, texts: Sequence[str], options: Continuing) -> list[list[int]]:
    """[CLS] and the tokens to go on from: a text's first `prompt_tokens`, or its last that leave room for new ones."""
    room = model.config.max_length - 1 - options.max_new_tokens
    prompts = []
    for ids in model.tokenizer.encode_batch(texts):
        ids = ids[: options.prompt_tokens] if options.prompt_tokens else ids
        prompts.append([model.tokenizer.cls_id, *ids[-room:]])
    return prompts


def text_after(tokenizer: Tokenizer, prompt: Sequence[int], ids: Sequence[int]) -> str:
    """The text that these tokens add to a prompt: a tokenizer may write a token otherwise at a text's beginning."""
    before, whole = tokenizer.decode(prompt), tokenizer.decode([*prompt, *ids])
    return whole[len(before) :] if whole.startswith(before) else tokenizer.decode(ids)


def _as_text(tokenizer: Tokenizer, prompt: Sequence[int], hypothesis: Hypothesis) -> ContinuedText:
    probability = math.exp(hypothesis.log_probability / hypothesis.tokens)
    return ContinuedText(text_after(tokenizer, prompt, hypothesis.ids), probability)
