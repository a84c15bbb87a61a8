"""An outbox that is full, read-only, damaged or of an older version: the step's own process notices nothing of it."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from telemetry import delivery_state
from telemetry.outbox import Outbox
from telemetry.segments import FRAME, MAGIC, checksum, segments
from tests.pipeline_home import ROOT
from tests.step_process import StepProcess, log_messages
from tests.telemetry.receiver import Receiver, log_request

WORK = """
for number in range(50):
    observe.log("corpus.written", f"record {number}")
    observe.count("corpus.rows_read")
with observe.phase("read"):
    observe.metric("corpus.rows", 1.0)
"""


def ran_well(step: StepProcess) -> str:
    """The step's standard error; it must have ended as if nothing were wrong."""
    code, errors = step.ended()
    assert code == 0, errors
    assert "Traceback" not in errors
    assert json.loads((step.home / "runs" / "trial.answer.json").read_text())["exit_code"] == 0
    [log] = (step.home / "logs").glob("*/trial.jsonl")
    said = [json.loads(line)["message"] for line in log.read_text().splitlines()]
    assert [message for message in said if message.startswith("record ")] == [f"record {n}" for n in range(50)]
    return errors


def test_full_outbox_drops_the_oldest_records_and_counts_them(tmp_path: Path) -> None:
    folder = tmp_path / "var" / "outbox"
    outbox = Outbox(folder)
    outbox.append("traces", log_request("oldest"))
    outbox.close()
    [old] = segments(folder, "traces")
    with old.open("ab") as file:
        file.truncate(600 << 20)  # a hole: it takes no disk
    errors = ran_well(StepProcess(tmp_path, WORK))
    assert errors.count("the oldest telemetry is dropped") == 1
    assert not old.exists()
    assert [entry["records"] for entry in delivery_state.read_dropped(folder)] == [1]
    messages = log_messages(folder)
    assert [m for m in messages if m.startswith("record ")] == [f"record {n}" for n in range(50)]
    assert messages[-1] == "1 records of telemetry were dropped"


@pytest.fixture
def read_only(tmp_path: Path) -> Path:
    """An outbox on a file system that takes nothing, from root neither."""
    folder = tmp_path / "var" / "outbox"
    folder.mkdir(parents=True)
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "ro,size=1m", "tmpfs", str(folder)], capture_output=True)
    if mounted.returncode:
        folder.rmdir()
        folder.symlink_to("/sys/kernel")  # no user can make a folder there
    yield folder
    subprocess.run(["umount", "-l", str(folder)], capture_output=True, check=False)


def test_read_only_outbox_warns_once_and_counts_lost_records(tmp_path: Path, read_only: Path) -> None:
    errors = ran_well(StepProcess(tmp_path, WORK))
    assert errors.count("telemetry cannot be written") == 1
    [told] = re.findall(r"warning: (\d+) records of telemetry were dropped", errors)
    # 50, `step began`, started, finished, and two spans; metrics whenever they were written.
    assert int(told) >= 55


def test_file_in_place_of_the_outbox_warns_once(tmp_path: Path) -> None:
    folder = tmp_path / "var" / "outbox"
    folder.parent.mkdir()
    folder.write_text("a file where the outbox should be")
    errors = ran_well(StepProcess(tmp_path, WORK))
    assert errors.count("telemetry cannot be written") == 1


def older(payload: bytes) -> bytes:
    """A segment of version 0, whole by its own rules."""
    return b"GFOB\x00" + FRAME.pack(len(payload), checksum(1, payload), 1) + payload


def test_damaged_and_older_segments_are_put_away_and_the_rest_arrives(tmp_path: Path) -> None:
    folder = tmp_path / "var" / "outbox"
    (folder / "logs").mkdir(parents=True)
    whole = FRAME.pack(len(log_request("before")), checksum(1, log_request("before")), 1) + log_request("before")
    bad = {
        "00000000000000000001-1-1.seg": older(log_request("older")),
        "00000000000000000002-1-1.seg": b"not a segment at all",
        "00000000000000000003-1-1.seg": MAGIC + whole + b"\xff" * 100,
        "00000000000000000004-1-1.seg": MAGIC + FRAME.pack(2**31, 1, 1) + b"a length of two gigabytes",
    }
    for name, data in bad.items():
        (folder / "logs" / name).write_bytes(data)
    (folder / "logs" / "00000000000000000003-1-1.ack").write_text("no JSON")
    (folder / "delivery.json").write_text("[]")
    ran_well(StepProcess(tmp_path, WORK))
    with Receiver() as receiver:
        replay = subprocess.run(
            [sys.executable, "-m", "telemetry", "replay", "--outbox", str(folder)],
            cwd=ROOT,
            env=receiver.environment,
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert replay.returncode == 0, replay.stderr
        assert "Traceback" not in replay.stderr
        said = receiver.messages()
        assert said[0] == "before", "what stands before the damage arrives"
        assert [m for m in said if m.startswith("record ")] == [f"record {n}" for n in range(50)]
        assert "older" not in said
    assert sorted(path.name for path in (folder / "damaged").iterdir()) == [f"logs-{name}" for name in sorted(bad)]
    assert delivery_state.Delivered.read(folder).signals["logs"].damaged == 4
