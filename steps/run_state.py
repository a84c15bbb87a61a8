"""The state of a step that no pipeline started: on the dashboards it is a run of its own, with one node."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from telemetry import Observe
from telemetry.names import STATES
from telemetry.spans import result_of

_ENDED = {"success": "done", "failure": "failed", "cancellation": "killed"}


@contextmanager
def report_state(observe: Observe, node: str) -> Iterator[None]:
    """Report `running` now, and how it ended at the end."""
    _tell(observe, node, "running")
    result = result_of(None)
    try:
        yield
    except BaseException as error:
        result = result_of(error)
        raise
    finally:
        _tell(observe, node, _ENDED[result])


def _tell(observe: Observe, node: str, state: str) -> None:
    observe.metric("pipeline.state", STATES[state])
    observe.metric("node.state", STATES[state], node=node)
