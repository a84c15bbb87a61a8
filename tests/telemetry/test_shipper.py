"""The shipper as a process: beside a run, killed, twice at once, against backends that refuse, hang or come back."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from telemetry import delivery, delivery_state, shipper
from telemetry.endpoints import Endpoint
from telemetry.outbox import Outbox
from telemetry.resource_usage import Readings
from telemetry.segments import SIGNALS, segments
from telemetry.shipper import Shipping
from tests.telemetry.receiver import Receiver, Reply, log_request

ROOT = Path(__file__).resolve().parents[2]
UNREACHABLE = "http://127.0.0.1:9/otlp/v1/logs"  # discard: nobody listens


METRICS = 2 + len(Readings(Path()).all())  # the one a test says, how far the step is, and what the process uses


def write(folder: Path, *messages: str) -> None:
    outbox = Outbox(folder)
    for message in messages:
        outbox.append("logs", log_request(message))
    outbox.close()


def telemetry(*arguments: str, environment: dict[str, str] | None = None) -> subprocess.Popen[str]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("OTEL_")}
    return subprocess.Popen(
        [sys.executable, "-m", "telemetry", *arguments],
        cwd=ROOT,
        env=clean | (environment or {}),
        text=True,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def done(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    out, err = process.communicate(timeout=60)
    return process.returncode, out, err


def wait_until(condition: Callable[[], object], seconds: float = 20.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.02)


@pytest.fixture
def backends(monkeypatch: pytest.MonkeyPatch) -> Receiver:
    """A receiver for all signals, in the environment of this process and its children."""
    with Receiver() as receiver:
        for name, value in receiver.environment.items():
            monkeypatch.setenv(name, value)
        yield receiver


def test_shipper_is_not_started_without_an_endpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for signal_ in SIGNALS:
        monkeypatch.delenv(f"OTEL_EXPORTER_OTLP_{signal_.upper()}_ENDPOINT", raising=False)
    assert Shipping.start(tmp_path) is None


def test_invalid_endpoint_is_reported_and_starts_no_shipper(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_LOGS_ENDPOINT", "localhost:3100")
    assert Shipping.start(tmp_path) is None
    assert "OTEL_EXPORTER_OTLP_LOGS_ENDPOINT=localhost:3100: not an address" in capsys.readouterr().err


def test_shipper_delivers_during_the_run_and_the_rest_at_its_end(tmp_path: Path, backends: Receiver) -> None:
    outbox = Outbox(tmp_path)
    shipping = Shipping.start(tmp_path)
    assert shipping is not None
    outbox.append("logs", log_request("early"))
    wait_until(lambda: backends.messages() == ["early"])
    outbox.append("logs", log_request("late"))
    outbox.close()
    shipping.close()
    assert backends.messages() == ["early", "late"]
    assert segments(tmp_path, "logs") == []
    assert delivery_state.Delivered.read(tmp_path).signals["logs"].delivered == 2


def test_shipper_ends_when_its_parent_process_is_killed(tmp_path: Path, backends: Receiver) -> None:
    code = (
        "import time; from pathlib import Path; from telemetry.shipper import Shipping; "
        f"s = Shipping.start(Path({str(tmp_path)!r})); print(s._process.pid, flush=True); time.sleep(60)"
    )
    run = subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert run.stdout is not None
    pid = int(run.stdout.readline())
    wait_until(lambda: (tmp_path / "shipper.lock").exists())
    write(tmp_path, "last words")
    run.kill()
    run.communicate()
    wait_until(lambda: not Path(f"/proc/{pid}").exists() or "zombie" in Path(f"/proc/{pid}/status").read_text(), 10)
    assert backends.messages() == ["last words"]


@pytest.mark.parametrize("how", ["refuses", "hangs"])
def test_run_waits_at_most_five_seconds_for_its_shipper(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    with Receiver(lambda signal_, request: Reply(after=60)) as receiver:
        url = UNREACHABLE if how == "refuses" else receiver.environment["OTEL_EXPORTER_OTLP_LOGS_ENDPOINT"]
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_LOGS_ENDPOINT", url)
        write(tmp_path, "waits")
        shipping = Shipping.start(tmp_path)
        assert shipping is not None
        wait_until(lambda: (tmp_path / "shipper.lock").exists())
        started = time.monotonic()
        shipping.close()
        assert time.monotonic() - started < shipper.EXIT_SECONDS + 1  # the bound that users are promised
        assert delivery_state.waiting(tmp_path, "logs").records == 1


def test_replay_delivers_all_signals_and_reports_the_count(tmp_path: Path, backends: Receiver) -> None:
    from telemetry import Observe

    observe = Observe.open("t", pipeline="p", run="r", step="s", node="n", outbox=tmp_path, terminal=False)
    with observe.span("step"):
        observe.metric("training.loss", 2.0)
    observe.close()
    code, out, err = done(telemetry("replay", "--outbox", str(tmp_path), environment=backends.environment))
    assert (code, out) == (0, f"{2 + METRICS} records delivered\n"), err
    assert {signal_: len(backends.units(signal_)) for signal_ in SIGNALS} == {
        "logs": 1,
        "traces": 1,
        "metrics": METRICS,
    }
    code, out, _ = done(telemetry("replay", "--outbox", str(tmp_path), environment=backends.environment))
    assert (code, out) == (0, "0 records delivered\n")


def test_concurrent_replays_send_everything_once(tmp_path: Path, backends: Receiver) -> None:
    backends.answers = lambda signal_, request: Reply(after=0.3)
    messages = [f"record {number}" for number in range(200)]
    for start in range(0, 200, 20):
        write(tmp_path, *messages[start : start + 20])
    both = [telemetry("replay", "--outbox", str(tmp_path), environment=backends.environment) for _ in range(2)]
    assert [done(process)[0] for process in both] == [0, 0]
    assert backends.messages() == messages


def test_replay_ends_when_a_server_that_keeps_running_has_delivered(tmp_path: Path, backends: Receiver) -> None:
    write(tmp_path, "before")
    server = Shipping.start(tmp_path)
    assert server is not None
    try:
        wait_until(lambda: backends.messages() == ["before"])
        write(tmp_path, "one", "two")
        code, out, err = done(telemetry("replay", "--outbox", str(tmp_path), environment=backends.environment))
        assert (code, err) == (0, "")
        assert "by the process that delivers this outbox now" in out
        assert backends.messages() == ["before", "one", "two"]
    finally:
        server.close()


def test_replay_exits_with_75_if_another_process_delivers_nothing(tmp_path: Path, backends: Receiver) -> None:
    write(tmp_path, "waits")
    with shipper.only_one(tmp_path) as mine:
        assert mine
        code, _, err = done(
            telemetry("replay", "--wait", "0.5", "--outbox", str(tmp_path), environment=backends.environment)
        )
    assert (code, backends.messages()) == (75, [])
    assert "makes no progress" in err


def test_killed_replay_repeats_at_most_one_batch_per_kill(tmp_path: Path, backends: Receiver) -> None:
    messages = [f"record {number}" for number in range(200)]
    for start in range(0, 200, 20):
        write(tmp_path, *messages[start : start + 20])
    backends.answers = lambda signal_, request: Reply(after=0.15)
    killed = 0
    for number in range(4):
        seen = len(backends.requests)
        process = telemetry("replay", "--outbox", str(tmp_path), environment=backends.environment)
        wait_until(lambda seen=seen, number=number: len(backends.requests) > seen + number % 2)
        process.send_signal(signal.SIGKILL)
        done(process)
        killed += 1
    backends.answers = lambda signal_, request: Reply()
    assert done(telemetry("replay", "--outbox", str(tmp_path), environment=backends.environment))[0] == 0
    found = backends.messages()
    assert list(dict.fromkeys(found)) == messages, "nothing is lost"
    repeated = (len(found) - len(messages)) // 20
    assert len(found) == len(messages) + 20 * repeated
    told = delivery_state.Delivered.read(tmp_path).signals["logs"].perhaps_twice
    assert repeated <= told <= killed


def test_replay_waits_for_the_backend_and_exits_with_75_on_timeout(tmp_path: Path, backends: Receiver) -> None:
    write(tmp_path, "patient")
    environment = {"OTEL_EXPORTER_OTLP_LOGS_ENDPOINT": UNREACHABLE}
    code, out, err = done(telemetry("replay", "--wait", "0.5", "--outbox", str(tmp_path), environment=environment))
    assert (code, out) == (75, "0 records delivered\n")
    assert "logs: 1 wait (" in err
    assert "refused" in err
    left = [503, 503]
    backends.answers = lambda signal_, request: Reply(left.pop() if left else 200, headers={"retry-after": "0.2"})
    assert done(telemetry("replay", "--outbox", str(tmp_path), environment=backends.environment))[0] == 0
    assert backends.messages() == ["patient"]


def test_unavailable_backend_does_not_block_other_signals(tmp_path: Path, backends: Receiver) -> None:
    from telemetry import Observe

    backends.answers = lambda signal_, request: Reply(503 if signal_ == "logs" else 200)
    observe = Observe.open("t", pipeline="p", run="r", step="s", node="n", outbox=tmp_path, terminal=False)
    with observe.span("step"):
        observe.metric("training.loss", 2.0)
    observe.close()
    code, out, _ = done(telemetry("replay", "--wait", "1", "--outbox", str(tmp_path), environment=backends.environment))
    assert (code, out) == (75, f"{1 + METRICS} records delivered\n")
    assert (len(backends.units("traces")), len(backends.units("metrics"))) == (1, METRICS)


def test_status_reports_waiting_records_their_age_and_the_last_error(tmp_path: Path) -> None:
    write(tmp_path, "one", "two")
    environment = {"OTEL_EXPORTER_OTLP_LOGS_ENDPOINT": UNREACHABLE.replace("//", "//user:hunter22@")}
    done(telemetry("replay", "--wait", "0.2", "--outbox", str(tmp_path), environment=environment))
    delivery_state.note_dropped(tmp_path, 7, "over 10 bytes")
    code, out, _ = done(telemetry("status", "--outbox", str(tmp_path), environment=environment))
    assert code == 0
    assert re.search(r"the oldest for \d+ s\b", out)
    for told in ("2 records wait", "last error", "refused", "no backend (OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
                 "dropped   7 records: over 10 bytes", "http://***@127.0.0.1:9"):  # fmt: skip
        assert told in out, told
    assert "hunter" not in out
    found = json.loads(done(telemetry("status", "--json", "--outbox", str(tmp_path), environment=environment))[1])
    assert found["signals"]["logs"]["waiting"]["records"] == 2
    assert found["dropped"][0]["records"] == 7
    assert b"hunter" not in b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())


@pytest.mark.parametrize(
    ("arguments", "environment", "told"),
    [
        (["replay"], {}, "no backend: start one with `make stack`, or set OTEL_EXPORTER_OTLP_LOGS_ENDPOINT"),
        (["replay"], {"OTEL_EXPORTER_OTLP_LOGS_ENDPOINT": "nowhere"}, "not an address"),
        (["status"], {"OTEL_EXPORTER_OTLP_METRICS_ENDPOINT": "nowhere"}, "not an address"),
        (["repaly"], {}, "invalid choice: 'repaly'"),
    ],
)
def test_usage_error_exits_with_2_and_a_helpful_message(
    tmp_path: Path, arguments: list[str], environment: dict[str, str], told: str
) -> None:
    code, out, err = done(telemetry(*arguments, "--outbox", str(tmp_path), environment=environment))
    assert (code, out) == (2, "")
    assert told in err
    assert "Traceback" not in err


def test_local_full_disk_does_not_stop_delivery(
    tmp_path: Path, backends: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path, "one")
    mark, failures = delivery_state.acknowledge, [OSError(28, "No space left on device")] * 1

    def full(segment: Path, end: int, sending: int = 0) -> None:
        if failures:
            raise failures.pop()
        mark(segment, end, sending)

    monkeypatch.setattr(delivery.delivery_state, "acknowledge", full)
    monkeypatch.setattr(shipper, "_DISK_PAUSE", 0.05)
    target = {"logs": Endpoint(backends.environment["OTEL_EXPORTER_OTLP_LOGS_ENDPOINT"], {})}
    working = shipper.Shipper(tmp_path, target, lambda message: None)
    working.start()
    assert working.drain(5.0, patient=True)
    assert backends.messages() == ["one"]
    assert "No space left" in working.progress("logs").last_error
