"""A CUDA device without a GPU: tensors that say they are there, and hold their numbers on the CPU.

As PyTorch's FakeTensorMode, every operation is seen, and one of tensors on two devices raises. FakeTensorMode knows no numbers, though,
so it cannot decode; here all is computed, and can be compared with the CPU's results. There is no backward pass: PyTorch's engine
asks CUDA itself for a stream.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest import mock

import torch
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils._mode_utils import no_dispatch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten, tree_map, tree_unflatten

_CUDA, _CPU = torch.device("cuda", 0), torch.device("cpu")
_aten = torch.ops.aten
# Operations that CUDA's kernels take with tensors of the CPU: copies, places of an index, lengths of packed rows.
_MIXED = {
    _aten.copy_.default, _aten.index.Tensor, _aten.index_put_.default, _aten._index_put_impl_.default,
    _aten._pack_padded_sequence.default, _aten._pad_packed_sequence.default, _aten.lstm.data, _aten.gru.data,
    _aten.rnn_tanh.data,
}  # fmt: skip


class DevicesMixedError(RuntimeError):
    """An operation of tensors on two devices."""


class Elsewhere(Tensor):
    """A tensor whose device is cuda:0; `held` has its numbers."""

    held: Tensor

    @staticmethod
    def __new__(cls, held: Tensor) -> Elsewhere:
        with torch.inference_mode(
            False
        ):  # a view of a parameter has a counter of versions, which inference tensors lack
            shape = torch.empty_strided(held.shape, held.stride(), dtype=held.dtype, device="meta")
            made = Tensor._make_subclass(
                cls, shape, held.requires_grad, dispatch_device=True, device_for_backend_keys=_CUDA
            )
        made.held = held.detach() if held.requires_grad else held
        return made

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is torch.ops.prim.device.default:
            return _CUDA
        return compute(func, args, kwargs or {})

    def tolist(self) -> Any:
        return self.held.tolist()

    def numpy(self, **_: Any) -> Any:
        raise TypeError("can't convert cuda:0 device type tensor to numpy")

    def __repr__(self, **_: Any) -> str:
        return f"Elsewhere({self.held})"


class _Mode(TorchDispatchMode):
    """Sees what no tensor is an argument of: `torch.arange(3, device="cuda")`."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is torch.ops.prim.device.default:
            return _CUDA
        return compute(func, args, kwargs or {})


def compute(func: Any, args: Any, kwargs: Any) -> Any:
    """An operation's result, computed on the CPU, on the device that CUDA would have it on."""
    flat, form = tree_flatten((args, kwargs))
    tensors = [one for one in flat if isinstance(one, Tensor)]
    there = [one for one in tensors if isinstance(one, Elsewhere)]
    here = [one for one in tensors if not isinstance(one, Elsewhere) and one.ndim]
    if there and here and func not in _MIXED:
        raise DevicesMixedError(f"{func}: tensors on cuda:0 and on the CPU {[tuple(one.shape) for one in here]}")
    named = [one for one in flat if isinstance(one, torch.device)]
    goes_there = named[-1].type == "cuda" if named else bool(there)
    if func in _MIXED and not named:
        goes_there = isinstance(flat[0], Elsewhere)
    inner = [_CPU if isinstance(one, torch.device) else one.held if isinstance(one, Elsewhere) else one for one in flat]
    positional, by_name = tree_unflatten(inner, form)
    known = {id(one.held): one for one in there}
    done = _absent(func, positional)
    done = func(*positional, **by_name) if done is None else done

    if func is _aten.transpose_.default:  # the shape of the tensor that holds ours, too
        with no_dispatch():
            func(*args)

    def outer(one: Any) -> Any:
        if not isinstance(one, Tensor):
            return one
        if func is _aten._pack_padded_sequence.default and one.dtype == torch.int64:
            return one  # numbers of rows: PyTorch reads them on the CPU
        if named and not goes_there:  # brought to the CPU, where its numbers are already
            return one.clone() if id(one) in known else one
        if id(one) in known:  # changed in place
            return known[id(one)]
        return Elsewhere(one) if goes_there else one

    return tree_map(outer, done)


def _absent(func: Any, args: Any) -> Any:
    """What the CPU has not: memory pinned by the driver, and CUDA's kernels of recurrent cells, LSTM and GRU."""
    if func in (_aten.pin_memory.default, _aten._pin_memory.default):
        return args[0].clone()
    if func is _aten._thnn_fused_lstm_cell.default:
        from_input, from_state, cell, *biases = args
        i, f, g, o = (from_input + from_state + sum(b for b in biases if b is not None)).chunk(4, 1)
        cell = f.sigmoid() * cell + i.sigmoid() * g.tanh()
        return o.sigmoid() * cell.tanh(), cell, torch.cat([i, f, g, o], 1)
    if func is _aten._thnn_fused_gru_cell.default:
        from_input, from_state, state, *biases = args
        a, b = (
            each + bias if bias is not None else each
            for each, bias in zip((from_input, from_state), biases or (None, None), strict=True)
        )
        (ri, zi, ni), (rs, zs, ns) = a.chunk(3, 1), b.chunk(3, 1)
        r, z = (ri + rs).sigmoid(), (zi + zs).sigmoid()
        n = (ni + r * ns).tanh()
        return (1 - z) * n + z * state, torch.cat([r, z, n, state, ns], 1)
    return None


@contextmanager
def pretend_cuda() -> Iterator[None]:
    """Within, there is a CUDA device. What a network sets for it (deterministic kernels, TF32) is undone at the end."""
    strict, products = torch.are_deterministic_algorithms_enabled(), torch.get_float32_matmul_precision()
    filled = torch.utils.deterministic.fill_uninitialized_memory
    replaced = torch.__future__.get_overwrite_module_params_on_conversion()
    lifted = torch._C._only_lift_cpu_tensors()
    cudnn = torch.backends.cudnn
    with (
        mock.patch.dict(os.environ),
        mock.patch.object(torch.cuda, "_lazy_init", return_value=None),
        mock.patch.object(torch.cuda, "is_available", return_value=True),
        mock.patch.object(torch.cuda, "is_bf16_supported", return_value=True),
        cudnn.flags(enabled=False),
        sdpa_kernel(SDPBackend.MATH),
        _Mode(),
    ):
        torch._C._ensureCUDADeviceGuardSet()
        torch._C._set_only_lift_cpu_tensors(True)  # torch.tensor(..., device="cuda") is made here, then moved
        torch.__future__.set_overwrite_module_params_on_conversion(True)  # a parameter cannot become ours in place
        try:
            yield
        finally:
            torch.__future__.set_overwrite_module_params_on_conversion(replaced)
            torch._C._set_only_lift_cpu_tensors(lifted)
            torch.use_deterministic_algorithms(strict)
            torch.utils.deterministic.fill_uninitialized_memory = filled
            torch.set_float32_matmul_precision(products)
