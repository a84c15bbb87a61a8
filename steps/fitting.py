"""Training settings that are left to the data: a function of config, corpus and tokenizer, so that a fingerprint covers them.

    tokens to train on    min(10 epochs, 1 M + 3 epochs, 50,000 rows + 1 epoch, 10 M)    pretraining: min(10 epochs, 4 M)
    updates               these tokens, in batches of `batch_tokens`, of which a twentieth is padding
    dropout               0.3 under 300,000 tokens an epoch, 0.2 under 3 million, else 0.1

Why these: docs/decisions/0014-defaults-follow-the-data.md. `python -m benchmarks.classify` measures what they are worth.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, TypeVar

from artifacts.errors import UserError

if TYPE_CHECKING:
    from artifacts.corpus import Corpus
    from artifacts.tokenizer import Tokenizer
    from steps.training_config import TrainingConfig
    from telemetry import Observe

_EPOCHS = 10  # at most
_BASE, _MORE = 1_000_000, 3  # tokens, and epochs beyond them: the more data, the fewer epochs
_ROWS = 50_000  # beyond one epoch: short rows are many for their tokens, and are memorised in fewer epochs
_MOST, _MOST_PRETRAINING = 10_000_000, 4_000_000  # tokens: minutes on two cores
_FILLED = 0.95  # of a batch; the rest is padding
_EVALUATIONS, _READINGS = 20, 100
_DROPOUT = ((300_000, 0.3), (3_000_000, 0.2))  # up to so many tokens an epoch
_LEAST_DROPOUT = 0.1
_AMOUNT = "tokens_an_epoch"  # what the rest is chosen by
_ENDS = 2  # special tokens of a row


Given = TypeVar("Given", bound="TrainingConfig")


def fit(config: Given, corpus: Corpus, tokenizer: Tokenizer, observe: Observe) -> tuple[Given, dict[str, Any]]:
    """The config with all fields chosen, and `{"fitted": choices}` for the history, {} if there were none."""
    by_data = config.dropout_by_data and config.dropout == 0
    if not by_data and all((config.max_updates, config.evaluate_every, config.checkpoint_every, config.log_every)):
        return config, {}
    chosen: dict[str, Any] = {}
    if not config.max_updates or by_data:
        tokens, rows = _amount(config, corpus, tokenizer)
        chosen[_AMOUNT] = tokens
        if not config.max_updates:
            pretraining = _is_pretraining(config)
            chosen["max_updates"] = updates_for(tokens, rows, config.batch_tokens, pretraining=pretraining)
        if by_data:
            chosen["dropout"] = next((share for bound, share in _DROPOUT if tokens < bound), _LEAST_DROPOUT)
    updates = chosen.get("max_updates", config.max_updates)
    parts = {"evaluate_every": _EVALUATIONS, "checkpoint_every": _EVALUATIONS, "log_every": _READINGS}
    chosen |= {name: max(1, updates // part) for name, part in parts.items() if not getattr(config, name)}
    summary = ", ".join(f"{name}={value:,}" for name, value in chosen.items())
    observe.log("training.fitted", f"left to the data: {summary}", **chosen)
    for name, metric in (("max_updates", "training.max_updates"), ("dropout", "training.dropout")):
        if name in chosen:
            observe.metric(metric, chosen[name])
    fields = {name: value for name, value in chosen.items() if name != _AMOUNT}
    return config.model_copy(update=fields), {"fitted": chosen}


def updates_for(tokens: int, rows: int, batch_tokens: int, *, pretraining: bool) -> int:
    """Updates for a training split of so many tokens and rows."""
    most: float = _MOST_PRETRAINING
    if not pretraining:
        most = min(_BASE + _MORE * tokens, (_ROWS / rows + 1) * tokens, _MOST)
    return math.ceil(min(_EPOCHS * tokens, most) / (_FILLED * batch_tokens))


def _is_pretraining(config: TrainingConfig) -> bool:
    return "checkpoint" not in type(config).artifact_inputs()


def _amount(config: TrainingConfig, corpus: Corpus, tokenizer: Tokenizer) -> tuple[int, int]:
    """Tokens of an epoch, estimated by the tokenizer's bytes a token, and rows of an epoch."""
    if not tokenizer.info:
        raise UserError("max_updates=0 and dropout_by_data are for text: give max_updates and dropout", 2)
    a_token = float(tokenizer.info["tokenizer"]["bytes_per_token"])
    whole = _is_pretraining(config)
    labelled = bool(corpus.labels) and not whole
    total, rows = 0.0, 0
    for row in corpus.rows("train", ["text", "label"]):
        if row["label"] is not None or not labelled:
            length = len(row["text"].encode()) / a_token + _ENDS
            total += length if whole else min(length, config.max_length)
            rows += 1
    return max(1, round(total)), max(1, rows)
