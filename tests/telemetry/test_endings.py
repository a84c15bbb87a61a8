"""However a step's process ends, its last records are there; after SIGKILL all but the metrics of the last interval."""

import signal
from pathlib import Path

import pytest

from tests.step_process import StepProcess, counted, log_messages, span_names

WORK = """
observe.count("corpus.rows_read", 5)
with observe.phase("read"):
    observe.log("corpus.written", "last words")
observe.count("corpus.rows_read", 2)
print("ready", flush=True)
{ending}
"""


@pytest.mark.parametrize(
    ("ending", "number", "code"),
    [("return", 0, 0), ("raise ValueError('broken')", 0, 1), ("sys.exit(3)", 0, 3), ("raise UserError('wrong', 2)", 0, 2),
     ("time.sleep(60)", signal.SIGTERM, 143), ("time.sleep(60)", signal.SIGINT, 130)],
    ids=["returns", "exception", "sys.exit", "user error", "SIGTERM", "SIGINT"],
)  # fmt: skip
def test_last_records_survive_exits_errors_and_signals(tmp_path: Path, ending: str, number: int, code: int) -> None:
    step = StepProcess(tmp_path, WORK.format(ending=ending))
    assert step.line() == "ready"
    if number:
        step.process.send_signal(number)
    assert step.ended()[0] == code
    messages = log_messages(step.outbox)
    assert messages[:3] == ["step began", "trial started", "last words"]
    # A step that ends well says so, one that does not says why.
    assert ("step: " in messages[3]) == (code != 0)
    assert len(messages) == 4
    assert span_names(step.outbox) == ["launch", "import", "read", "step"]
    assert counted(step.outbox, "corpus.rows_read") == 7


UNTIL_KILLED = """
number = 0
while True:
    number += 1
    with observe.phase("read"):
        observe.log("corpus.written", f"record {number}")
    observe.count("corpus.rows_read")
    print(f"{number} {time.monotonic()}", flush=True)
    time.sleep(0.005)
"""


def test_sigkill_loses_only_the_last_interval_of_metrics(tmp_path: Path) -> None:
    interval = "import telemetry.export; telemetry.export._METRICS_EVERY_MS = 400"  # five seconds, for people
    step = StepProcess(tmp_path, UNTIL_KILLED, before=interval)
    told = [(0, 0.0)]
    while len(told) < 500 or told[-1][1] < told[1][1] + 2:
        number, at = step.line().split()
        told.append((int(number), float(at)))
    step.process.kill()
    step.ended()
    last = told[-1][0]
    messages = log_messages(step.outbox)[2:]
    assert messages[:last] == [f"record {number}" for number in range(1, last + 1)]
    assert len(messages) >= last
    assert span_names(step.outbox)[: last + 2] == ["launch", "import", *["read"] * last]
    # Two intervals, as a busy machine wakes the thread late.
    before = max(number for number, at in told if at < told[-1][1] - 0.8)
    assert counted(step.outbox, "corpus.rows_read") >= before > 0
