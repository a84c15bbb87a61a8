"""Options of a training, and the learning rate that follows from them."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class Options:
    """Updates count from 1; `patience` is in evaluations, 0 for none."""

    max_updates: int
    batch_tokens: int
    learning_rate: float
    warmup: float
    seed: int
    log_every: int
    evaluate_every: int
    checkpoint_every: int
    patience: int = 0

    def learning_rate_at(self, update: int) -> float:
        """Linear warm-up over the first `warmup` share, then a cosine down to a tenth of the highest.

        Warm-up: Vaswani et al. 2017, section 5.3. Cosine decay: Loshchilov and Hutter 2017 (arXiv 1608.03983), equation 5.
        `update` counts from 0.
        """
        rising = max(1, round(self.warmup * self.max_updates))
        if update < rising:
            return self.learning_rate * (update + 1) / rising
        share = (update - rising) / max(1, self.max_updates - rising)
        return self.learning_rate * (0.1 + 0.9 * 0.5 * (1 + math.cos(math.pi * min(1.0, share))))
