"""Tensors on a network's device and numbers from it, its precision, and PyTorch's settings for each kind of device.

Autocast computes matrix products and convolutions in a lower precision; weights, sums, norms, softmax and losses stay in float32
(Micikevicius et al. 2018, "Mixed Precision Training", arXiv 1710.03740, section 3). On a CPU PyTorch's autocast leaves some of these
in the lower precision, so the networks `widen` where it matters, which changes nothing in float32.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

_TYPES = {"bfloat16": torch.bfloat16, "float16": torch.float16}


def device_of(module: nn.Module) -> torch.device:
    """The device of a module's parameters."""
    return next(module.parameters()).device


def tensor_of(array: NDArray[Any], device: torch.device) -> Tensor:
    """An array as a tensor of this device; on a CPU it shares the array's memory. A GPU takes it from pinned memory, on its own
    time."""
    tensor = torch.from_numpy(array)
    return tensor.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else tensor.to(device)


def tensors_of(arrays: Mapping[str, NDArray[Any]], device: torch.device) -> dict[str, Tensor]:
    """The same of each array of a mapping."""
    return {name: tensor_of(value, device) for name, value in arrays.items()}


def numbers_of(tensor: Tensor) -> NDArray[np.float32]:
    """A tensor's numbers in float32, from wherever it is."""
    numbers: NDArray[np.float32] = tensor.detach().float().cpu().numpy()
    return numbers


def widen(x: Tensor) -> Tensor:
    """Numbers of a lower precision in float32; those of float32 and float64 as they are."""
    return x.float() if x.dtype in (torch.bfloat16, torch.float16) else x


def in_double(number: Tensor) -> Tensor:
    """A tensor's numbers in double precision, without its graph and without waiting for the device."""
    return number.detach().to(exact_device(number.device), torch.float64)


def exact_device(device: torch.device) -> torch.device:
    """The device that has double precision: the same, or the CPU in place of mps."""
    return torch.device("cpu") if device.type == "mps" else device


def autocast(device: torch.device, precision: str) -> AbstractContextManager[Any]:
    """Within, matrix products are computed in this precision; nothing changes for float32."""
    if precision == "float32":
        return nullcontext()
    return torch.autocast(device.type, _TYPES[precision])


def full_precision(tensor: Tensor) -> AbstractContextManager[Any]:
    """Within, all is computed in the precision of its inputs, autocast or not."""
    kind = tensor.device.type
    return torch.autocast(kind, enabled=False) if _is_autocasting(kind) else nullcontext()


def product_type(tensor: Tensor) -> torch.dtype:
    """The type that a matrix product of this tensor has here."""
    kind = tensor.device.type
    return torch.get_autocast_dtype(kind) if _is_autocasting(kind) else tensor.dtype


def _is_autocasting(kind: str) -> bool:
    return torch.amp.is_autocast_available(kind) and torch.is_autocast_enabled(kind)


def prepare_device(device: str) -> None:
    """Settings of CUDA for the same bytes in each run: deterministic kernels, and products of float32 in TF32.

    TF32 has float32's range and a mantissa of 10 bits; the products of a network are not sensitive to it, and are several times as
    fast. Nothing is set for other devices.
    """
    if device != "cuda":
        return
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # read when cuBLAS is loaded: its sums have one order
    torch.use_deterministic_algorithms(True)
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]  # none is read
    torch.backends.cudnn.benchmark = False
    torch.set_float32_matmul_precision("high")


def running_sum(x: Tensor) -> Tensor:
    """`cumsum` over the last dimension of rows.

    On CUDA PyTorch refuses it among deterministic algorithms for the sake of its kernel for one long row; the one for many rows adds
    in a fixed order.
    """
    if not torch.are_deterministic_algorithms_enabled():
        return x.cumsum(-1)
    torch.use_deterministic_algorithms(False)
    try:
        return x.cumsum(-1)
    finally:
        torch.use_deterministic_algorithms(True)
