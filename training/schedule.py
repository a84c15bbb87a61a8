"""The learning rate over the updates."""

from __future__ import annotations

import math


def learning_rate(update: int, *, highest: float, updates: int, warmup: float) -> float:
    """Linear warm-up over the first `warmup` share, then a cosine down to a tenth of the highest.

    Warm-up: Vaswani et al. 2017, section 5.3. Cosine decay: Loshchilov and Hutter 2017 (arXiv 1608.03983), equation 5.
    `update` counts from 0.
    """
    rising = max(1, round(warmup * updates))
    if update < rising:
        return highest * (update + 1) / rising
    share = (update - rising) / max(1, updates - rising)
    return highest * (0.1 + 0.9 * 0.5 * (1 + math.cos(math.pi * min(1.0, share))))
