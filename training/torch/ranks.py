"""Ranks that talk by `torch.distributed`: which of them computed a shard changes no byte of a sum."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from datetime import timedelta
from operator import add as add_numbers
from typing import Any, TypeVar, cast

import torch
import torch.distributed as dist
from torch import Tensor

from models.torch.devices import tensor_of
from training.errors import TrainingError
from training.ranks import RankLostError, Ranks
from training.shards import ShardSum, add_in_tree, branches
from training.torch.gradients import add_gradients

Value = TypeVar("Value")
Gradient = Tensor | None
ForEachPlace = Callable[[Callable[[int], None]], None]

_STORE: Any = dist.TCPStore  # type: ignore[attr-defined]
_ABSENT, _DENSE, _SPARSE = range(3)  # kinds of gradients
_BACKENDS = {"cpu": "gloo", "cuda": "cpu:gloo,cuda:nccl"}  # by the device whose tensors are exchanged
_PATIENCE = timedelta(minutes=30)  # rank 0 may evaluate as long while the others wait
_PORT_TAKEN = (
    "port {} for the ranks is taken by another program: set MASTER_PORT, or torchrun's --master-port, to a free one"
)


class TorchRanks:
    """The ranks of one process group."""

    def __init__(self, rank: int, count: int, store: Any = None, device: str = "cpu") -> None:
        """Wait for all ranks; without a store by the environment's MASTER_ADDR and MASTER_PORT, as torchrun has it. TrainingError if
        that port is another program's, or if this rank has no CUDA device of its own and is to compute on one."""
        self.rank, self.count = rank, count
        if device == "cuda":
            _take_own_device()
        where = {"init_method": "env://"} if store is None else {"store": store}
        with _watch_for_loss():
            dist.init_process_group(
                _BACKENDS[device], rank=rank, world_size=count, timeout=_PATIENCE, **cast(dict[str, Any], where)
            )

    def gather(self, value: Value) -> list[Value]:
        values: list[Any] = [None] * self.count
        with _watch_for_loss():
            dist.all_gather_object(values, value)
        return values

    def broadcast(self, value: Value) -> Value:
        values = [value]
        with _watch_for_loss():
            dist.broadcast_object_list(values, 0)
        return values[0]

    def close(self) -> None:
        """Leave the group."""
        dist.destroy_process_group()


class _watch_for_loss:  # noqa: N801 - used like a function
    """RankLostError in place of the errors by which a connection ends."""

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, RuntimeError):
            if "EADDRINUSE" in str(error):
                raise TrainingError(_PORT_TAKEN.format(os.environ.get("MASTER_PORT"))) from error
            reason = str(error).partition("\n")[0][:200]
            raise RankLostError(
                f"another rank of the training is gone ({reason}); run again, with any number of ranks, to go on"
            ) from error


def _take_own_device() -> None:
    """Let each rank of a machine compute on a CUDA device of its own."""
    local, devices = int(os.environ.get("LOCAL_RANK", 0)), torch.cuda.device_count()
    if local >= devices:
        raise TrainingError(
            f"rank {local} of this machine has no CUDA device, of which there are {devices}: take as many ranks on a "
            "machine as it has devices, or set device=cpu"
        )
    torch.cuda.set_device(local)


def new_store() -> Any:
    """Where the ranks of this machine find each other: a port that the system chose, open to this machine alone."""
    return _STORE("127.0.0.1", 0, is_master=True, wait_for_workers=False)


def store_at(port: int) -> Any:
    """The store that another process opened."""
    return _STORE("127.0.0.1", port, is_master=False)


def add_over(
    ranks: Ranks,
    own: Sequence[ShardSum],
    like: Sequence[Tensor],
    for_each_place: ForEachPlace,
) -> ShardSum:
    """The sums of all ranks' shards, added in the tree. A rank may have none of its `own`, which only the last ones may; `like` are the
    parameters, and `for_each_place` calls a function with the place of each, on this rank's cores."""
    mine = [[one.gradients[place] for one in own] for place in range(len(like))]
    loss = float(add_in_tree([one.loss for one in own], add_numbers)) if own else 0.0
    kinds = [max(map(_kind, of_shards), default=_ABSENT) for of_shards in mine]
    every = _gather_numbers(ranks, [bool(own), loss, sum(one.answers for one in own), *kinds])
    present = [one for one in every if one[0]]
    kinds = [int(max(of_parameter)) for of_parameter in list(zip(*present, strict=True))[3:]]
    sparse = _add_sparse(ranks, mine, kinds, like)
    dense = _add_dense(ranks, mine, kinds, like, len(present), for_each_place)
    gradients = [sparse.get(place, dense.get(place)) for place in range(len(like))]
    return ShardSum(
        add_in_tree([one[1] for one in present], add_numbers), int(sum(one[2] for one in present)), gradients
    )


def _gather_numbers(ranks: Ranks, numbers: Sequence[float]) -> list[list[float]]:
    """As many numbers of each rank."""
    own = torch.tensor(numbers, dtype=torch.float64)
    every = own.new_empty(ranks.count * len(own))
    with _watch_for_loss():
        dist.all_gather_into_tensor(every, own)
    found: list[list[float]] = every.view(ranks.count, -1).tolist()
    return found


def _add_sparse(
    ranks: Ranks, mine: Sequence[Sequence[Gradient]], kinds: Sequence[int], like: Sequence[Tensor]
) -> dict[int, Tensor]:
    """Rows of large tables, behind one another in the order of the ranks."""
    places = [place for place, kind in enumerate(kinds) if kind == _SPARSE]
    if not places:
        return {}
    own = {place: add_in_tree(mine[place], add_gradients) if mine[place] else None for place in places}
    rows = [
        None if one is None else (one._indices().cpu().numpy(), one._values().cpu().numpy()) for one in own.values()
    ]
    size = {place: one.shape for place, one in own.items() if one is not None}
    every = ranks.gather((rows, size))
    sums = {}
    for at, place in enumerate(places):
        parts = [of_rank[at] for of_rank, _ in every if of_rank[at] is not None]
        device = like[place].device
        indices = torch.cat([tensor_of(part[0], device) for part in parts if part is not None], 1)
        values = torch.cat([tensor_of(part[1], device) for part in parts if part is not None])
        shape = next(sizes[place] for _, sizes in every if place in sizes)
        sums[place] = torch.sparse_coo_tensor(indices, values, shape, check_invariants=False)
    return sums


def _add_dense(
    ranks: Ranks,
    mine: Sequence[Sequence[Gradient]],
    kinds: Sequence[int],
    like: Sequence[Tensor],
    present: int,
    for_each_place: ForEachPlace,
) -> dict[int, Tensor]:
    """All other gradients as one row of numbers: each rank has a slice from every rank, adds these in the tree, and all have the sums.

    As many bytes as a ring's all-reduce sends: Rabenseifner 2004, "Optimization of collective reduction operations", section 3.
    """
    places = [place for place, kind in enumerate(kinds) if kind == _DENSE]
    if not places:
        return {}
    sizes = [like[place].numel() for place in places]
    width = -(-sum(sizes) // ranks.count)
    sent, received, sums = (torch.empty(ranks.count, width, device=like[0].device) for _ in range(3))
    sent.view(-1)[sum(sizes) :] = 0.0
    own = dict(zip(places, torch.split(sent.view(-1)[: sum(sizes)], sizes), strict=True))

    def add(place: int) -> None:
        if place in own:
            _add_into(own[place].view_as(like[place]), mine[place])

    for_each_place(add)
    _exchange(ranks, list(sent), list(received))
    leaves = [sent[rank] if rank == ranks.rank else received[rank] for rank in range(present)]
    _add_into(sums[ranks.rank], leaves)
    _exchange(ranks, [sums[ranks.rank]] * ranks.count, list(sums))
    parts = torch.split(sums.view(-1)[: sum(sizes)], sizes)
    return {place: part.view_as(like[place]) for place, part in zip(places, parts, strict=True)}


def _add_into(target: Tensor, gradients: Sequence[Gradient]) -> None:
    """Write their sum in the tree, zeros if there are none, without another copy of it."""
    last = [one for one in branches(gradients, add_gradients) if one is not None]
    if len(last) == 2:
        torch.add(*last, out=target)
    elif last:
        target.copy_(last[0])
    else:
        target.zero_()


def _exchange(ranks: Ranks, sent: Sequence[Tensor], received: Sequence[Tensor]) -> None:
    """Send each other rank its own of these, and receive one from each. Quicker than gloo's all-to-all and
    all-gather, which copy what they receive once more."""
    others = [rank for rank in range(ranks.count) if rank != ranks.rank]
    with _watch_for_loss():
        works = dist.batch_isend_irecv([
            *(dist.P2POp(dist.isend, sent[rank], rank) for rank in others),
            *(dist.P2POp(dist.irecv, received[rank], rank) for rank in others),
        ])  # fmt: skip
        for work in works:
            work.wait()


def _kind(gradient: Gradient) -> int:
    return _ABSENT if gradient is None else _SPARSE if gradient.is_sparse else _DENSE
