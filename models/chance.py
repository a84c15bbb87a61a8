"""Random numbers, from numpy alone: the same masks, starts and order in every framework, on every device, on any number of ranks."""

from __future__ import annotations

import numpy as np


def generator_of(*key: int) -> np.random.Generator:
    """A counter-based generator (Philox: Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3") that the key alone
    fixes, so that it needs no place in a checkpoint: of an update's masks (seed, update, shard)."""
    return np.random.Generator(np.random.Philox(np.random.SeedSequence(key)))
