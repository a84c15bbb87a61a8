import json
import math
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from telemetry import mlflow_metrics as feed_module
from telemetry.mlflow_metrics import Courier, Feed, Reading, count_waiting, waiting
from tests.waiting import until

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(autouse=True)
def _often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feed_module, "_INTERVAL", 0.02)


def filled(path: Path, *values: float) -> Feed:
    feed = Feed(path)
    for update, value in enumerate(values):
        feed.add("training.loss", value, update)
    return feed


def test_readings_arrive_in_order_and_once(tmp_path: Path) -> None:
    feed = filled(tmp_path / "a.jsonl", *range(1200))
    batches: list[list[Reading]] = []
    courier = Courier(feed.path, batches.append, pytest.fail)
    until(lambda: sum(map(len, batches)) == 1200)
    feed.add("training.loss", 7.5, 1200)
    assert courier.close(10) == 0
    feed.close()
    sent = [reading for batch in batches for reading in batch]
    assert [reading.update for reading in sent] == list(range(1201))
    assert (sent[-1].key, sent[-1].value) == ("training.loss", 7.5)
    assert abs(sent[-1].time_ms / 1000 - time.time()) < 60
    assert max(map(len, batches)) == 500


def test_outage_delays_readings_without_losing_any(tmp_path: Path) -> None:
    feed = filled(tmp_path / "a.jsonl", 1, 2, 3)
    sent: list[float] = []
    trouble: list[str] = []
    down = threading.Event()
    down.set()
    tries = 0

    def send(readings: list[Reading]) -> None:
        nonlocal tries
        tries += 1
        if down.is_set():
            raise ConnectionError("refused\nby the server")
        sent.extend(reading.value for reading in readings)

    courier = Courier(feed.path, send, trouble.append)
    until(lambda: tries >= 3)
    feed.add("training.loss", 4, 4)  # the writer notices nothing
    assert waiting(feed.path)
    down.clear()
    assert courier.close(10) == 0
    assert sent == [1, 2, 3, 4]
    assert trouble == ["metrics cannot be delivered yet, they wait on disk: refused by the server"]
    feed.close()


def test_undelivered_readings_are_sent_by_the_next_courier(tmp_path: Path) -> None:
    feed = filled(tmp_path / "a.jsonl", *range(700))
    first: list[Reading] = []

    def one_batch_only(readings: list[Reading]) -> None:
        if first:
            raise ConnectionError("gone")
        first.extend(readings)

    courier = Courier(feed.path, one_batch_only, lambda _: None)
    until(lambda: bool(first))
    assert courier.close(0.1) == 200
    feed.close()
    second: list[Reading] = []
    assert Courier(feed.path, second.extend, pytest.fail).close(10) == 0
    assert [reading.update for reading in first + second] == list(range(700))


def test_hanging_server_does_not_block_closing(tmp_path: Path) -> None:
    feed = filled(tmp_path / "a.jsonl", 1)
    asked, release = threading.Event(), threading.Event()

    def hang(readings: list[Reading]) -> None:
        asked.set()
        release.wait(30)

    courier = Courier(feed.path, hang, lambda _: None)
    assert asked.wait(10)
    started = time.monotonic()
    assert courier.close(0.1) == 1
    assert time.monotonic() - started < 5
    release.set()
    feed.close()


def test_nan_and_infinity_are_stored_but_not_sent(tmp_path: Path) -> None:
    feed = filled(tmp_path / "a.jsonl", math.nan, math.inf, 1.0)
    sent: list[Reading] = []
    assert Courier(feed.path, sent.extend, pytest.fail).close(10) == 0
    assert [reading.value for reading in sent] == [1.0]
    feed.close()
    assert [json.loads(line)["v"] for line in feed.path.read_text().splitlines()] == ["nan", "inf", 1.0]


def test_torn_feed_line_is_left_out(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    filled(path, 1.0).close()
    with path.open("ab") as file:
        file.write(b'{"k":"training.lo')
    feed = filled(path, 2.0)
    sent: list[Reading] = []
    assert Courier(path, sent.extend, pytest.fail).close(10) == 0
    assert [reading.value for reading in sent] == [1.0, 2.0]
    feed.close()


def test_metric_name_is_made_valid_for_mlflow(tmp_path: Path) -> None:
    feed = Feed(tmp_path / "a.jsonl")
    feed.add("corpus.rows.a:b(c)\n" + "x" * 400, 1.0, 0)
    feed.close()
    name = json.loads(feed.path.read_text())["k"]
    assert name.startswith("corpus.rows.a_b_c__xxx")
    assert len(name) == 250


def test_courier_waits_for_a_missing_feed(tmp_path: Path) -> None:
    sent: list[Reading] = []
    courier = Courier(tmp_path / "later.jsonl", sent.extend, pytest.fail)
    assert count_waiting(tmp_path / "later.jsonl") == 0
    filled(tmp_path / "later.jsonl", 5.0).close()
    until(lambda: bool(sent))
    assert courier.close(5) == 0


WRITER = """
import sys
from pathlib import Path
from telemetry.mlflow_metrics import Feed
feed = Feed(Path(sys.argv[1]))
for number in range(10**9):
    feed.add("training.loss", number, number)
    print(number, flush=True)
"""


def test_after_sigkill_of_the_writer_every_reading_is_delivered(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    process = subprocess.Popen([sys.executable, "-c", WRITER, str(path)], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    for line in process.stdout:
        if int(line) >= 1000:
            break
    os.kill(process.pid, signal.SIGKILL)
    rest = process.stdout.read().split()
    process.stdout.close()
    process.wait()
    sent: list[Reading] = []
    assert Courier(path, sent.extend, pytest.fail).close(20) == 0
    told = int(rest[-1]) if rest else 1000
    assert [reading.update for reading in sent] == list(range(len(sent)))
    assert len(sent) in (told + 1, told + 2)
