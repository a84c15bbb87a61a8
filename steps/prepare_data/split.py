"""Which split a row belongs to: a function of its group and the seed, so that a group never parts."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from artifacts.corpus import Split


def place_of(group: str, seed: int) -> int:
    """The place at which a group is drawn, from 0 to 2^64 - 1."""
    digest = hashlib.blake2b(f"{seed}\n{group}".encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest, "big")


def split_of(group: str, seed: int, validation: float, test: float) -> Split:
    """`train`, `validation` or `test`, with these shares of the groups in the long run."""
    place = place_of(group, seed) / 2**64
    return "test" if place < test else "validation" if place < test + validation else "train"
