import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from telemetry import delivery_state
from telemetry import outbox as outbox_module
from telemetry.outbox import Outbox
from telemetry.segments import FRAME, MAGIC, SegmentError, Signal, read_segment, segments, torn_bytes
from tests.telemetry.receiver import log_request

ROOT = Path(__file__).resolve().parents[2]


def payloads(folder: Path, signal_: Signal = "logs") -> list[bytes]:
    return [frame.payload for path in segments(folder, signal_) for frame in read_segment(path)]


def test_records_are_read_in_order_with_their_time(tmp_path: Path) -> None:
    before = time.time_ns()
    outbox = Outbox(tmp_path)
    outbox.append("logs", b"one")
    outbox.append("traces", b"span")
    outbox.append("logs", b"")
    outbox.close()
    assert payloads(tmp_path) == [b"one", b""]
    assert payloads(tmp_path, "traces") == [b"span"]
    assert payloads(tmp_path, "metrics") == []
    [path] = segments(tmp_path, "logs")
    frames = list(read_segment(path))
    assert before <= frames[0].time_ns <= frames[1].time_ns <= time.time_ns()
    assert frames[-1].end == path.stat().st_size
    assert torn_bytes(path) == 0
    assert outbox.dropped == 0


def test_segment_format_matches_its_documentation(tmp_path: Path) -> None:
    """Byte for byte, from the module's docstring: a shipper of another version must be able to rely on it."""
    outbox = Outbox(tmp_path)
    outbox.append("metrics", b"payload")
    outbox.close()
    data = segments(tmp_path, "metrics")[0].read_bytes()
    assert data[:5] == b"GFOB\x01"
    assert int.from_bytes(data[5:9], "little") == 7
    crc = outbox_module.checksum(int.from_bytes(data[13:21], "little"), b"payload")
    assert int.from_bytes(data[9:13], "little") == crc
    assert data[21:] == b"payload"


def test_reading_resumes_at_the_last_position(tmp_path: Path) -> None:
    outbox = Outbox(tmp_path)
    outbox.append("logs", b"one")
    [path] = segments(tmp_path, "logs")
    [first] = read_segment(path)
    outbox.append("logs", b"two")
    assert [frame.payload for frame in read_segment(path, first.end)] == [b"two"]
    outbox.close()


def test_a_torn_tail_is_left_out_at_every_length(tmp_path: Path) -> None:
    outbox = Outbox(tmp_path)
    outbox.append("logs", b"whole")
    outbox.append("logs", b"torn")
    outbox.close()
    [path] = segments(tmp_path, "logs")
    data = path.read_bytes()
    first = len(MAGIC) + FRAME.size + len(b"whole")
    for length in range(len(data)):
        path.write_bytes(data[:length])
        assert [frame.payload for frame in read_segment(path)] == ([b"whole"] if length >= first else [])
        assert torn_bytes(path) == length - (first if length >= first else min(length, len(MAGIC)))


def test_a_flipped_bit_ends_the_segment(tmp_path: Path) -> None:
    outbox = Outbox(tmp_path)
    for payload in (b"first", b"second", b"third"):
        outbox.append("logs", payload)
    outbox.close()
    [path] = segments(tmp_path, "logs")
    data = path.read_bytes()
    start = len(MAGIC) + FRAME.size + len(b"first")
    for place in range(start, start + FRAME.size + len(b"second")):
        for bit in (1, 128):
            path.write_bytes(data[:place] + bytes([data[place] ^ bit]) + data[place + 1 :])
            assert [frame.payload for frame in read_segment(path)] == [b"first"]


def test_a_segment_of_another_version_is_refused_by_name(tmp_path: Path) -> None:
    path = tmp_path / "x.seg"
    path.write_bytes(b"GFOB\x02rest")
    with pytest.raises(SegmentError, match=r"x\.seg: not an outbox segment of version 1"):
        list(read_segment(path))


def test_segments_are_rotated_and_nothing_is_lost(tmp_path: Path) -> None:
    outbox = Outbox(tmp_path, segment_bytes=1000)
    sent = [str(number).encode() * 20 for number in range(200)]
    for payload in sent:
        outbox.append("logs", payload)
    outbox.append("logs", b"x" * 5000)  # longer than a segment: one of its own
    outbox.close()
    assert payloads(tmp_path) == [*sent, b"x" * 5000]
    assert len(segments(tmp_path, "logs")) > 5
    assert sum(path.stat().st_size > 1000 for path in segments(tmp_path, "logs")) == 1


def test_full_outbox_drops_the_oldest_records_and_counts_them(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    outbox = Outbox(tmp_path, bound=10_000, segment_bytes=1000)
    sent = [log_request(f"{number:05d}" * 18) for number in range(300)]
    for payload in sent:
        outbox.append("logs", payload)
    outbox.close()
    kept = payloads(tmp_path)
    assert sum(entry["records"] for entry in delivery_state.read_dropped(tmp_path)) == outbox.dropped
    assert sum(path.stat().st_size for path in segments(tmp_path, "logs")) <= 10_000
    assert kept == sent[-len(kept) :]
    assert outbox.dropped == len(sent) - len(kept) > 0
    assert capsys.readouterr().err.count("the oldest telemetry is dropped") == 1


def test_unreadable_old_segment_is_dropped_at_the_size_limit(tmp_path: Path) -> None:
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs" / "0-1-1.seg").write_bytes(b"not ours" * 2000)
    outbox = Outbox(tmp_path, bound=10_000, segment_bytes=1000)
    outbox.append("logs", b"new")
    outbox.close()
    assert payloads(tmp_path) == [b"new"]


def test_unwritable_folder_raises_no_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").write_text("")  # no folder can be made here, not by root either
    outbox = Outbox(tmp_path / "file" / "outbox")
    for _ in range(3):
        outbox.append("logs", b"lost")
    outbox.close()
    assert outbox.dropped == 3
    assert capsys.readouterr().err.count("telemetry cannot be written") == 1


def test_full_disk_leaves_whole_frames_and_writing_resumes_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    outbox = Outbox(tmp_path)
    outbox.append("logs", b"before")
    write = os.write
    with monkeypatch.context() as patch:
        patch.setattr(os, "write", lambda file, data: write(file, data[: len(data) // 2]))
        outbox.append("logs", b"half of this is written")
        outbox.append("traces", b"its segment cannot even begin")
    outbox.append("logs", b"after")
    outbox.close()
    assert payloads(tmp_path) == [b"before", b"after"]
    assert outbox.dropped == 2
    assert segments(tmp_path, "traces") == []
    assert [torn_bytes(path) for path in segments(tmp_path, "logs")] == [0]


def test_slow_disk_sync_does_not_block_appends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    outbox = Outbox(tmp_path)
    outbox.append("logs", b"one")
    began, go_on = threading.Event(), threading.Event()

    def slow(file: int) -> None:
        began.set()
        go_on.wait(20)

    monkeypatch.setattr(os, "fsync", slow)
    syncing = threading.Thread(target=outbox.sync)
    syncing.start()
    assert began.wait(10)
    outbox.append("logs", b"two")  # would wait for ever if the sync held the lock
    assert payloads(tmp_path) == [b"one", b"two"]
    go_on.set()
    syncing.join()
    outbox.close()


def test_forked_child_writes_its_own_segments(tmp_path: Path) -> None:
    outbox = Outbox(tmp_path)
    outbox.append("logs", b"parent before")
    child = os.fork()
    if child == 0:
        outbox.append("logs", b"child")
        os._exit(0)
    os.waitpid(child, 0)
    outbox.append("logs", b"parent after")
    outbox.close()
    by_process = {
        path.name.split("-")[1]: [f.payload for f in read_segment(path)] for path in segments(tmp_path, "logs")
    }
    assert by_process == {str(os.getpid()): [b"parent before", b"parent after"], str(child): [b"child"]}


WRITER = """
import sys, time
from pathlib import Path
from telemetry.outbox import Outbox
outbox = Outbox(Path(sys.argv[1]), segment_bytes=20_000)
number = 0
while True:
    outbox.append("logs", f"{number} {time.time_ns()}".encode() * 10)
    number += 1
    print(number, flush=True)
"""


def test_all_appended_records_are_readable_after_sigkill(tmp_path: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", WRITER, str(tmp_path)], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    for line in process.stdout:
        if int(line) >= 2000:
            break
    process.send_signal(signal.SIGKILL)
    rest = process.stdout.read().split()
    process.stdout.close()
    process.wait()
    told = int(rest[-1]) if rest else 2000
    found = payloads(tmp_path)
    assert len(found) in (told, told + 1)  # one more may be written and not yet told
    assert [int(payload.split()[0]) for payload in found] == list(range(len(found)))
