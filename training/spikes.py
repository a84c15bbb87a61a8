"""Roll-back after a loss spike: to the checkpoint before it, and past the batches that brought it about.

Chowdhery et al. 2022, "PaLM" (arXiv 2204.02311), section 5.1: training goes on from a checkpoint before the spike and leaves out the
batches around it; the same batches did no harm from another checkpoint, so it is the batch and the weights together that do.

Here the batch with the high loss is left out, and the one before it, whose update may have caused it. All of it is a function of
the losses, and these of the seed: killed at any moment, a training ends with the same bytes.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from typing import Any

from training.backend import Update
from training.errors import TrainingError
from training.options import TrainingOptions

WINDOW = 100  # updates that a loss is compared with, as in `tasks/why/spikes.py`
_FEWEST = 10  # with fewer, only a loss that is not finite is a spike
_MOST = 10  # roll-backs to one checkpoint


def is_spike(done: Update, before: Sequence[float], times: float) -> bool:
    """Whether an update's loss is over so many times the median of the losses `before` it, or not finite."""
    if not math.isfinite(done.loss) or not math.isfinite(done.gradient_norm):
        return True
    return len(before) >= _FEWEST and done.loss > times * statistics.median(before)


def checkpoint_before(update: int, every: int) -> int:
    """The update of the last regular checkpoint without the batch of this update (counted from 1) and the one before it."""
    return max(0, update - 2) // every * every


def entry_of(
    done: Update, before: Sequence[float], update: int, back_to: int, epoch: int, place: int
) -> dict[str, Any]:
    """A roll-back for the history: the update, its loss and the usual one, and the batches left out, each (epoch, place)."""
    return {
        "update": update,
        "loss": done.loss if math.isfinite(done.loss) else None,
        "usual": statistics.median(before) if before else None,
        "back_to": back_to,
        "batches": [[epoch, each] for each in (place - 1, place) if each >= 0],
    }


def places_without(entries: Sequence[dict[str, Any]], epoch: int) -> set[int]:
    """Places of an epoch's batches that are left out."""
    return {place for entry in entries for number, place in entry["batches"] if number == epoch}


def check(entries: Sequence[dict[str, Any]], options: TrainingOptions) -> None:
    """TrainingError if the newest roll-back is one too many to the same checkpoint."""
    back_to = entries[-1]["back_to"]
    if sum(entry["back_to"] == back_to for entry in entries) > _MOST:
        raise TrainingError(
            f"loss over {options.spike:g} times the usual again, after {_MOST} roll-backs to update {back_to}; lower "
            f"learning_rate ({options.learning_rate:g}), lengthen the warm-up, or leave spike at 0"
        )
