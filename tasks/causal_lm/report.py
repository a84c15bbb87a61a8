"""A language model's section of the report."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from tasks.attention import attention_of
from tasks.causal_lm.continuations import Continuing, continue_texts
from tasks.causal_lm.scoring import token_nats
from tasks.evaluation import Block, Lines, Shades, Texts
from training.batches import evenly

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

    from tasks.evaluation import Evaluation
    from tasks.model import Model

_WORST = 8
_SHOWN = 600  # characters of a text
_SCORED = 120  # texts of which each token is looked at
_SHADED, _SHADED_TOKENS = 3, 220
_PROMPTS, _PROMPT_TOKENS, _NEW_TOKENS = 3, 16, 48
_BITS = 16.0  # of a token with the strongest shade
_WAYS: dict[str, dict[str, Any]] = {
    "greedy": {},
    "beam of 4": {"method": "beam"},
    "sampled": {"method": "sample"},
    "sampled, temperature 0.7": {"method": "sample", "temperature": 0.7},
    "sampled, top-p 0.9": {"method": "sample", "top_p": 0.9},
    "sampled, min-p 0.1": {"method": "sample", "min_p": 0.1},
}


def section(evaluation: Evaluation) -> list[Block]:
    """The blocks, the most telling first."""
    model, questions = evaluation.model, evaluation.questions
    some = questions["text"].iloc[evenly(len(questions), _SCORED)]
    texts = [str(text) for text in some]
    nats = token_nats(model, texts)
    return [
        _samples(model, texts),
        _positions(nats),
        _surprises(model, texts, nats),
        _worst(questions, evaluation.predictions),
        attention_of(model, texts[0]),
    ]


def _samples(model: Model, texts: Sequence[str]) -> Block:
    """The same prompts, continued in several ways."""
    places = evenly(len(texts), _PROMPTS)
    room = {"max_new_tokens": max(1, min(_NEW_TOKENS, model.config.max_length // 2)), "prompt_tokens": _PROMPT_TOKENS}
    prompts = [texts[place] for place in places]
    begun = [model.tokenizer.decode(ids[:_PROMPT_TOKENS]) for ids in model.tokenizer.encode_batch(prompts)]
    items = []
    ways = {name: continue_texts(model, prompts, Continuing(**{**room, **way})) for name, way in _WAYS.items()}
    for place, prompt in enumerate(begun):
        items += [(name, f"{prompt}|{found[place][0].text}") for name, found in ways.items()]
    note = (
        f"The first {_PROMPT_TOKENS} tokens of texts of the split, and how the model goes on (behind the |). Greedy and beam "
        "search repeat themselves, as Holtzman et al. 2020 describe; samples wander."
    )
    return Texts("Samples", note, items)


def _positions(nats: Sequence[NDArray[np.float32]]) -> Block:
    """Mean loss by how much of its text a token can look back on."""
    longest = max(len(own) for own in nats)
    edges = np.unique(np.geomspace(1, longest + 1, 13).round().astype(int)) - 1
    xs, ys = [], []
    for start, end in pairwise(edges.tolist()):
        seen = np.concatenate([own[start:end] for own in nats])
        if len(seen):
            xs.append(float(start + end - 1) / 2 + 1)
            ys.append(round(float(seen.mean()), 4))
    note = (
        "Mean loss in nats of a token by its place in the text: the value of a longer context. Beyond the model's length "
        "windows slide, and a token sees at least half a window."
    )
    return Lines("Loss by position", note, "token of the text", "loss", {"model": (xs, ys)})


def _surprises(model: Model, texts: Sequence[str], nats: Sequence[NDArray[np.float32]]) -> Block:
    """Texts with each token as strongly coloured as it was surprising."""
    places = evenly(len(texts), _SHADED)
    items = []
    for place in places:
        ids = [*model.tokenizer.encode(texts[place]), model.tokenizer.sep_id][:_SHADED_TOKENS]
        bits = (nats[place][: len(ids)] / math.log(2)).tolist()
        shown = [
            (_display_piece(piece), min(1.0, own / _BITS), f"{own:.1f} bits")
            for piece, own in zip(model.tokenizer.pieces(ids), bits, strict=True)
        ]
        items.append((f"{sum(bits) / len(bits):.2f} bits a token", shown))
    note = (
        f"The stronger the colour, the less the model expected the token: none at 0 bits, full from {_BITS:.0f}. Point at a "
        "token for its bits."
    )
    return Shades("Surprising tokens", note, items)


def _display_piece(piece: str) -> str:
    if piece.startswith("<0x") and piece.endswith(">"):
        return "\n" if piece == "<0x0A>" else piece
    return piece.replace("▁", " ")


def _worst(questions: pd.DataFrame, predictions: pd.DataFrame) -> Block:
    bits = predictions["nats"] / math.log(2) / predictions["bytes"].clip(lower=1)
    items = []
    for place in np.argsort(-bits.to_numpy(), kind="stable")[:_WORST]:
        text = str(questions["text"].iloc[place])
        items.append((f"{bits.iloc[place]:.2f} bits per byte", text if len(text) <= _SHOWN else f"{text[:_SHOWN]} …"))
    return Texts("Worst texts", "What the model expected least: often it is no prose at all.", items)
