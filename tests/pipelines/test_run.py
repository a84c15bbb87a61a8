"""A node's retries: only for an error that can pass, and only so often."""

from types import SimpleNamespace
from typing import Any

import pytest

from pipelines.graph import Node
from pipelines.jobs import Workers
from pipelines.node_run import NodeRunner, StepError
from pipelines.plan import Planned
from telemetry.names import STATES


class _Retrying(NodeRunner):
    """A runner whose attempts end with the given exit codes, one after another."""

    def __init__(self, *exit_codes: int) -> None:
        self.left, self.logged, self.states = list(exit_codes), [], []
        self.workers = Workers(1)
        self.observe: Any = SimpleNamespace(
            log=lambda event, message, **_: self.logged.append((event, message)),
            metric=lambda name, value, *, node: self.states.append((name, node, value)),
        )

    def _attempt(self, planned: Planned, inputs: Any) -> dict[str, Any]:
        code = self.left.pop(0)
        return {"exit_code": code, "error": None if code == 0 else f"ended with {code}"}


@pytest.fixture(autouse=True)
def pauses(monkeypatch):
    """The pauses that were taken, none of them waited for."""
    taken = []
    monkeypatch.setattr(Workers, "pause", lambda self, seconds: taken.append(seconds))
    return taken


def planned(retries: int) -> Planned:
    node = Node("pretrain", "pretrain", {}, {}, retries)
    return Planned(node, "MISS", ("never run before",), {}, "fingerprint", None, None)


def test_transient_error_is_retried_with_growing_pause(pauses):
    runner = _Retrying(75, 75, 0)
    assert runner.run(planned(retries=2), {})["exit_code"] == 0
    assert pauses == [2.0, 10.0]
    assert runner.states == [("node.state", "pretrain", STATES["running"]), ("node.state", "pretrain", STATES["done"])]
    assert runner.logged == [
        ("node.retried", "pretrain: ended with 75; trying again in 2 s"),
        ("node.retried", "pretrain: ended with 75; trying again in 10 s"),
    ]


@pytest.mark.parametrize("retries", [0, 1, 5])
def test_error_after_last_retry_fails_the_run(pauses, retries):
    runner = _Retrying(*[75] * (retries + 1))
    with pytest.raises(StepError, match="ended with 75") as failed:
        runner.run(planned(retries), {})
    assert failed.value.exit_code == 75
    assert runner.left == []
    assert len(pauses) == retries
    assert runner.states[-1] == ("node.state", "pretrain", STATES["failed"]), "once, after the last try"
    assert len(runner.states) == 2


@pytest.mark.parametrize("code", [1, 2])
def test_permanent_error_is_never_retried(pauses, code):
    runner = _Retrying(code, 0)
    with pytest.raises(StepError) as failed:
        runner.run(planned(retries=3), {})
    assert failed.value.exit_code == code
    assert runner.left == [0]
    assert pauses == []
