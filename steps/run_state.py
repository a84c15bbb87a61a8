"""The state of a step or a training loop that no pipeline started: on the dashboards it is a run of its own, with one node."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from telemetry import Observe
from telemetry.names import STATES
from telemetry.spans import result_of

_ENDED = {"success": "done", "failure": "failed", "cancellation": "killed"}


@contextmanager
def report_state(observe: Observe, node: str, title: str = "") -> Iterator[None]:
    """Report `running` now, and how it ended at the end. With a `title`, runs are offered by it."""
    _tell(observe, node, title, "running")
    result = result_of(None)
    try:
        yield
    except BaseException as error:
        result = result_of(error)
        raise
    finally:
        _tell(observe, node, title, _ENDED[result])


def _tell(observe: Observe, node: str, title: str, state: str) -> None:
    observe.metric("pipeline.state", STATES[state], title=title)
    observe.metric("node.state", STATES[state], node=node)
