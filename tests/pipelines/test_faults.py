"""Backends that fail in every way, and a clock that is stepped: the same digest, the same exit code, five seconds at most.

By default each fault meets a forced training whose inputs are in the cache; GLASSFORMER_WHOLE=1 runs all of `tiny` for each.
"""

import json
import os
import shutil
import socket
import time
from contextlib import ExitStack, contextmanager

import pytest

from telemetry import records
from telemetry.segments import SIGNALS
from tests.finished import finished_run
from tests.pipeline_home import Home
from tests.step_process import units
from tests.telemetry.receiver import Receiver, Reply

pytestmark = pytest.mark.slow
NODES = ("prepare_data", "train_tokenizer", "pretrain", "finetune", "finetune_scratch", "evaluate", "register")
WHOLE = os.environ.get("GLASSFORMER_WHOLE") == "1"
RUN = ("run", "tiny", *(("--force", ",".join(NODES)) if WHOLE else ("--force", "pretrain", "--to", "pretrain")))
REPLIES = {
    "429": Reply(429, headers={"retry-after": "30"}),
    "503": Reply(503),
    "answers after 60 s": Reply(after=60),
    "closes in mid-body": Reply(200, b"\x0a", cut=True),
    "closes in mid-body of an error": Reply(503, b"bus", cut=True),
}
UNBUFFERED = {"PYTHONUNBUFFERED": "1"}  # so that "done in" is read when it is said


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    """A home with a pipeline that ran without any backend, and what it made."""
    only = None if WHOLE else ("prepare_data", "train_tokenizer", "pretrain")
    home = finished_run("tiny").cache(tmp_path_factory.mktemp("home"), only)
    home.extra |= UNBUFFERED
    return home, artifacts(home)


def artifacts(home):
    return {node: entry["artifact"] for node, entry in home.plan("tiny").items() if entry["artifact"]}


def everywhere(address):
    return {f"OTEL_EXPORTER_OTLP_{signal.upper()}_ENDPOINT": f"{address}/v1/x" for signal in SIGNALS}


@contextmanager
def blackhole():
    """An address whose packets the kernel drops: connections that nobody accepts fill the queue of one that listens."""
    with ExitStack() as stack:
        server = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
        for _ in range(8):
            caller = stack.enter_context(socket.socket())
            caller.setblocking(False)
            caller.connect_ex(server.getsockname())
        time.sleep(0.2)
        with pytest.raises(TimeoutError):
            socket.create_connection(server.getsockname(), timeout=1.0)
        yield everywhere(f"http://127.0.0.1:{server.getsockname()[1]}")


@contextmanager
def fault(name):
    """The environment of a run whose backends have this fault."""
    if name == "refused":
        yield everywhere("http://127.0.0.1:9")
    elif name == "blackholed":
        with blackhole() as environment:
            yield environment
    else:
        with Receiver(lambda signal, request: REPLIES[name]) as receiver:
            yield receiver.environment
            assert receiver.requests, "it was tried"


@pytest.mark.parametrize("name", ["refused", "blackholed", *REPLIES])
def test_failing_backends_do_not_change_result_or_delay_run(base, name):
    quiet, expected = base
    shutil.rmtree(quiet.state / "outbox", ignore_errors=True)
    with fault(name) as environment:
        home = Home(quiet.folder, UNBUFFERED | environment)
        process, lines, done = home.start(*RUN), [], 0.0
        for line in process.stdout:
            lines.append(line)
            done = done or (time.monotonic() if line.startswith("tiny: done in") else 0.0)
        process.communicate()
        waited = time.monotonic() - done
        assert process.returncode == 0, "".join(lines)[-3000:]
        assert home.wait_gone(10) == []
        assert waited < 5 + 2 + 1, "five seconds for the backends, two for the last metrics, one to end"
    assert artifacts(home) == expected
    assert "Traceback" not in "".join(lines)


def test_failing_step_reports_same_error_with_faulty_backends(base):
    """Each signal meets another fault; the vocabulary is larger than the corpus can give."""
    quiet, _ = base
    wrong = ("run", "tiny", "--to", "train_tokenizer", "--set", "train_tokenizer.vocab_size=150000")
    words = quiet.run(*wrong, expect=1).splitlines()[-1]
    with fault("refused") as logs, fault("blackholed") as traces, fault("answers after 60 s") as metrics:
        mixed = (
            logs
            | {n: v for n, v in traces.items() if "TRACES" in n}
            | {n: v for n, v in metrics.items() if "METRICS" in n}
        )
        assert Home(quiet.folder, UNBUFFERED | mixed).run(*wrong, expect=1).splitlines()[-1] == words
    assert "train_tokenizer failed" in words


def test_control_other_seed_changes_digest(base):
    quiet, expected = base
    home = Home(quiet.folder, UNBUFFERED)
    home.run("run", "tiny", "--to", "pretrain", "--set", "pretrain.seed=9")
    changed = home.plan("tiny", "--set", "pretrain.seed=9")["pretrain"]["artifact"]
    assert changed not in ("", None, expected["pretrain"])


STEPPED = """
import time
_real, _began = time.time_ns, time.monotonic()
def _stepped():
    return _real() + ({step} * 3600 * 10**9 if time.monotonic() - _began > 4 else 0)
time.time_ns = _stepped
time.time = lambda: _stepped() / 1e9
"""


@pytest.mark.parametrize("step", [-1, 1], ids=["an hour back", "an hour forward"])
def test_stepped_clock_keeps_result_and_gives_no_negative_durations(base, tmp_path, step):
    quiet, expected = base
    shutil.rmtree(quiet.state / "outbox", ignore_errors=True)
    shutil.rmtree(quiet.state / "logs", ignore_errors=True)
    (tmp_path / "sitecustomize.py").write_text(STEPPED.format(step=step))
    home = Home(quiet.folder, {"PYTHONPATH": str(tmp_path)})
    output = home.run(*RUN)
    assert artifacts(home) == expected
    assert "in -" not in output
    found = [
        s
        for unit in units(home.state / "outbox", "traces")
        for part in records.request_class("traces").FromString(unit).resource_spans
        for scope in part.scope_spans
        for s in scope.spans
    ]
    assert {"pipeline", "node", "step", "train"} <= {span.name for span in found}
    for span in found:
        seconds = (span.end_time_unix_nano - span.start_time_unix_nano) / 1e9
        assert 0 <= seconds < 600, f"{span.name}: {seconds} s"
    for file in (home.state / "logs").glob("*/*.jsonl"):
        times = [json.loads(line)["time"] for line in file.read_text().splitlines()]
        assert times == sorted(times), file
    assert "-" not in home.run("runs").splitlines()[-1].split("FINISHED")[1]
