"""Observe in worker processes: forked ones, which inherit it, and spawned ones, to which it is pickled.

A worker must not use what its parent had open: a lock that another thread held when the process was forked stays locked
in the child for ever, and cumulative metrics would be sent by both. So a worker opens channels of its own, with its first
record, below the span that its parent was in; it closes them where Python ends it in order (`multiprocessing`, data
loaders, `sys.exit`). After `os._exit` or SIGKILL the metrics of its last five seconds are missing, and nothing else.
"""

from __future__ import annotations

import os
import weakref
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from telemetry.observe import Observe

_known: weakref.WeakSet[Observe] = weakref.WeakSet()
_hooked: list[bool] = []


def follow(observe: Observe) -> None:
    """Notify this Observe in every forked child."""
    _known.add(observe)
    if not _hooked:
        _hooked.append(True)
        os.register_at_fork(after_in_child=_after_fork)


def close_at_exit(observe: Observe) -> None:
    """Close it when this worker ends. `multiprocessing` skips Python's own `atexit` in its children."""
    from multiprocessing.util import Finalize

    Finalize(None, observe.close, exitpriority=10)


def unpickle(place: Any, ids: Any) -> Observe:
    """Restore an Observe in a spawned process."""
    from telemetry.observe import Observe

    return Observe() if place is None else Observe.within(place, ids)


def _after_fork() -> None:
    for observe in list(_known):
        observe.became_worker()
