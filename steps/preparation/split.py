"""Which split a row belongs to: a function of its group and the seed, so that a group never parts."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from artifacts.corpus import Split


def split_of(group: str, seed: int, validation: float, test: float) -> Split:
    """`train`, `validation` or `test`, with these shares of the groups in the long run."""
    digest = hashlib.blake2b(f"{seed}\n{group}".encode("utf-8", "surrogatepass"), digest_size=8).digest()
    place = int.from_bytes(digest, "big") / 2**64
    return "test" if place < test else "validation" if place < test + validation else "train"
