"""The lock for `make setup TORCH=cpu`: requirements.lock without PyTorch's CUDA build and the packages that only it needs.

    python deploy/cpu_lock.py requirements.lock            the other packages, each with its hashes
    python deploy/cpu_lock.py requirements.lock --torch    torch==2.15.0

The CPU build has the same version and another hash, which the lock cannot hold next to the first. Called by deploy/setup.sh before there
is an environment: Python's own library alone.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

_OF_CUDA = re.compile(r"(torch|triton|(nvidia|cuda)-[a-z0-9-]+)==")


def entries(lock: str) -> list[str]:
    """The lock's packages, each with the lines of its hashes and comments."""
    return re.split(r"(?m)^(?=[a-zA-Z0-9])", lock)


def without_cuda(lock: str) -> str:
    """The lock without PyTorch and what only its CUDA build needs."""
    return "".join(entry for entry in entries(lock) if not _OF_CUDA.match(entry))


def torch_requirement(lock: str) -> str:
    """PyTorch at the lock's version: `torch==2.15.0`."""
    found = re.search(r"(?m)^torch==[^\s;\\]+", lock)
    if found is None:
        raise SystemExit("cpu_lock: no torch in the lock")
    return found[0]


if __name__ == "__main__":
    text = Path(sys.argv[1]).read_text(encoding="utf-8")
    print(torch_requirement(text) if "--torch" in sys.argv else without_cuda(text), end="")
