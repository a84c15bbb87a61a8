"""Elementwise functions of MKL's, each called by one thread alone before several threads call it.

PyTorch gives these to MKL's vector library, which sets itself up at its first call. Where two threads of a busy machine make that
call together, one of them may compute its share by a kernel of low accuracy (seen with PyTorch 2.15 and MKL 2024.2 on AVX-512): the
same weights and rows then have other bytes, in the fifth digit, and a report another digest.
"""

from __future__ import annotations

import torch

_FUNCTIONS = (
    torch.acos, torch.asin, torch.atan, torch.cos, torch.erf, torch.erfc, torch.exp, torch.expm1, torch.log, torch.log10,
    torch.log1p, torch.log2, torch.sin, torch.sqrt, torch.tan, torch.tanh,
)  # fmt: skip


def warm_up() -> None:
    """Call each once. A single number is never shared out among threads."""
    for dtype in (torch.float32, torch.float64):
        one = torch.full((1,), 0.5, dtype=dtype)
        for function in _FUNCTIONS:
            function(one)
