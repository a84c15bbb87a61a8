"""A whole pipeline with its backends down: nobody notices; then `replay` brings every record, once, with its own time."""

from collections import Counter

import pytest

from telemetry import records
from telemetry.segments import SIGNALS, read_segment, segments
from tests.finished import finished_run
from tests.pipeline_home import Home
from tests.telemetry.receiver import Receiver, Reply

pytestmark = pytest.mark.slow
SMALL = [part for node in ("pretrain", "finetune", "finetune_scratch") for part in ("--set", f"{node}.max_updates=20")]
STEPS = {"prepare_data", "train_tokenizer", "pretrain", "finetune", "evaluate", "register", "promote"}


def steps_of(signal, unit):
    """The step that a record's resource names."""
    parts = next(iter(records.as_dict(signal, unit).values()))
    about = {entry["key"]: entry["value"].get("stringValue") for entry in parts[0]["resource"]["attributes"]}
    return about.get("glassformer.step")


def test_replay_delivers_all_records_after_backend_outage(tmp_path):
    down = {f"OTEL_EXPORTER_OTLP_{signal.upper()}_ENDPOINT": "http://127.0.0.1:9/v1/x" for signal in SIGNALS}
    home = Home(tmp_path, down)
    output = home.run("run", "tiny", "--promote", *SMALL)
    assert "Traceback" not in output
    assert home.wait_gone(10) == [], "the shipper ended with the run; a last flame graph may still be drawn"
    written = {
        signal: [
            unit
            for path in segments(home.state / "outbox", signal)
            for frame in read_segment(path)
            for unit in records.units(signal, frame.payload)
        ]
        for signal in SIGNALS
    }
    for signal in SIGNALS:
        assert STEPS | {"pipeline"} <= {steps_of(signal, unit) for unit in written[signal]}, signal
    with Receiver() as receiver:
        up = Home(tmp_path, receiver.environment)
        output = up.run("replay", module="telemetry")
        assert f"{sum(map(len, written.values()))} records delivered" in output
        for signal in SIGNALS:
            assert Counter(receiver.units(signal)) == Counter(written[signal]), signal
        assert "0 records wait" in up.run("status", module="telemetry")


def test_faulty_backends_do_not_change_artifacts(tmp_path):
    """Each request meets another fault; the digests are those of a run that sends nothing."""
    faults = [Reply(429), Reply(503), Reply(500), Reply(400), Reply(401), Reply(413), Reply(302), Reply(200, cut=True),
              Reply(200, b"<html>"), Reply(after=3.0)]  # fmt: skip
    with Receiver(lambda signal, request: faults[len(receiver.requests) % len(faults)]) as receiver:
        home = Home(tmp_path, receiver.environment)
        home.run("run", "tiny", "--to", "pretrain")
        assert len(receiver.requests) > 3, "it was tried"
    made = {node: entry["artifact"] for node, entry in home.plan("tiny").items() if entry["artifact"]}
    assert made == {
        node: finished_run("tiny").digests[node] for node in ("prepare_data", "train_tokenizer", "pretrain")
    }
