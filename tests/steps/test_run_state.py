"""A step by hand reports how its run stands, whichever way it ends."""

import pytest

from steps.run_state import report_state
from telemetry import Interrupted, Observe
from telemetry.names import STATES


class Recording(Observe):
    def __init__(self):
        super().__init__()
        self.states = []

    def metric(self, name, value, *, update=None, **attributes):
        self.states.append((name, attributes.get("node", ""), value))


@pytest.mark.parametrize(
    ("error", "state"),
    [(None, "done"), (SystemExit(0), "done"), (SystemExit(2), "failed"), (ValueError(), "failed"),
     (Interrupted(15), "killed"), (KeyboardInterrupt(), "killed")],
)  # fmt: skip
def test_state_of_a_step_by_hand_is_running_then_how_it_ended(error, state):
    observe = Recording()

    def run():
        with report_state(observe, "evaluate"):
            if error is not None:
                raise error

    if error is None:
        run()
    else:
        with pytest.raises(type(error)):
            run()
    assert observe.states == [
        (name, node, STATES[word])
        for word in ("running", state)
        for name, node in (("pipeline.state", ""), ("node.state", "evaluate"))
    ]
