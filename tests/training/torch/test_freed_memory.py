"""Freed memory stays with the process."""

import ctypes
import resource

import pytest
import torch

from training.torch.freed_memory import keep_freed_memory

_TENSORS, _NUMBERS = 8, 1 << 20
_PAGES = _TENSORS * _NUMBERS * 4 // 4096


def pages_taken():
    """Pages that the system hands out while tensors are made, and freed together."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    tensors = [torch.ones(_NUMBERS) for _ in range(_TENSORS)]
    del tensors
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "mallopt"), reason="a C library without mallopt")
def test_memory_of_freed_tensors_is_used_again():
    assert keep_freed_memory()
    assert min(pages_taken() for _ in range(12)) < _PAGES // 10, "without it all of them each time"


def test_other_c_libraries_are_left_alone(monkeypatch):
    monkeypatch.setattr(ctypes, "CDLL", lambda _: object())
    assert keep_freed_memory.__wrapped__() is False
