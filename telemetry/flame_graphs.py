"""Sample a process with py-spy and draw flame graphs: a program of its own, started by `telemetry/profiler.py`.

    python -I -S telemetry/flame_graphs.py PY_SPY PID THREAD FOLDER

It needs the standard library alone and imports nothing of ours: that would cost more than the sampling does. Each line of
standard input is an interval to draw; its end is the end of the work. What keeps it from sampling is one line of its output.

py-spy writes one file a segment. A segment is added to step.svg and step.folded, and the intervals that ended in it are drawn.
Times are those of the main thread, whether it works or waits, and those of other threads where they work. `NAME.folded` has a
line for each stack, `root;...;leaf MILLISECONDS`.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
import zlib
from collections.abc import Iterable, Mapping
from functools import cache
from html import escape
from pathlib import Path
from typing import IO, Any, NamedTuple

RATE = 2  # samples a second: of a training some 0.25 % of a core, 1.2 ms a sample; starting takes 0.1 s
SEGMENT_S = 60
MOST_INTERVALS = 20  # that keep a graph
_REMEMBERED_S = 600.0  # an interval that is longer shows its end
_WIDTH, _ROW, _MARGIN, _TOP = 1200, 17, 8, 30
_LETTER = 6.2  # width of one
OTHERS = "other threads, where they work"
# Ends of the innermost frame of a thread that waits: for a lock, for work, for the end of the pipeline that started it.
_WAITING = ("/threading.py)", "/thread.py)", "/queue.py)", "/selectors.py)", "(steps/process.py)")
_NARROWEST = 0.4  # a frame of fewer pixels is left out

Stack = tuple[str, ...]


class Stretch(NamedTuple):
    """A time in which a thread had one stack."""

    start: float
    end: float
    stack: Stack


def stretches(events: Iterable[Mapping[str, Any]], thread: int, offset: float = 0.0) -> list[Stretch]:
    """The threads' stacks from a Chrome trace (events `B` and `E`, `ts` in microseconds), in seconds after `offset`.

    Those of `thread`, the main one, whether it works or waits; those of others below `OTHERS`, where they work.
    """
    found: list[Stretch] = []
    stacks: dict[int, list[str]] = {}
    since: dict[int, float] = {}
    for event in events:
        if event["ph"] not in "BE":
            continue
        at, number = event["ts"] / 1e6 + offset, event["tid"]
        stack = stacks.setdefault(number, [] if number == thread else [OTHERS])
        if at > since.get(number, at) and _is_shown(stack):
            found.append(Stretch(since[number], at, tuple(stack)))
        since[number] = at
        if event["ph"] == "B":
            stack.append(_frame(event["name"], event.get("args", {}).get("filename", "")))
        elif stack:
            stack.pop()
    return found


def _is_shown(stack: list[str]) -> bool:
    if stack[:1] != [OTHERS]:
        return bool(stack)
    return not (len(stack) == 1 or stack[-1].endswith(_WAITING) or any("(telemetry/" in frame for frame in stack))


@cache
def _frame(function: str, file: str) -> str:
    shown = f"{function} ({'/'.join(file.split('/')[-2:])})" if file else function
    return shown.replace(";", ":").replace("\n", " ")


def fold(found: Iterable[Stretch], start: float = float("-inf"), end: float = float("inf")) -> dict[Stack, float]:
    """Seconds of each stack between two moments."""
    seconds: dict[Stack, float] = {}
    for one in found:
        if (within := min(one.end, end) - max(one.start, start)) > 0:
            seconds[one.stack] = seconds.get(one.stack, 0.0) + within
    return seconds


def as_text(seconds: Mapping[Stack, float]) -> str:
    """Collapsed stacks, as flamegraph.pl, speedscope and Pyroscope read them; the counts are milliseconds."""
    return "".join(f"{';'.join(stack)} {round(1000 * spent)}\n" for stack, spent in sorted(seconds.items()))


def draw(title: str, seconds: Mapping[Stack, float]) -> str:
    """The graph as SVG: callers above, the functions that they called below, as wide as the time they took."""
    total = sum(seconds.values())
    frames = list(_frames(seconds, total)) if total else []
    depth = max((level for level, *_ in frames), default=0)
    height = _TOP + _ROW * (depth + 1) + _MARGIN
    heading = escape(title if frames else f"{title}: no samples")
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" width="{_WIDTH}" height="{height}" '
        'font-family="ui-monospace, Menlo, Consolas, monospace" font-size="10">',
        f'<rect width="{_WIDTH}" height="{height}" fill="#ffffff"/>',
        f'<text x="{_MARGIN}" y="19" font-size="13" fill="#222222">{heading}</text>',
    ]
    scale = (_WIDTH - 2 * _MARGIN) / total if total else 0.0
    for level, name, start, spent in frames:
        x, width, y = _MARGIN + start * scale, spent * scale, _TOP + _ROW * level
        letters = int((width - 4) / _LETTER)
        shown = name if len(name) <= letters else f"{name[: letters - 1]}…"
        text = f'<text x="{x + 3:.1f}" y="{y + 12}" fill="#10243a">{escape(shown)}</text>' if letters > 2 else ""
        about = escape(f"{name}: {spent:.2f} s, {spent / total:.1%}")
        parts.append(
            f'<g><title>{about}</title><rect x="{x:.1f}" y="{y}" width="{max(width - 0.5, 0.3):.1f}" height="{_ROW - 1}" '
            f'fill="{_colour(name)}"/>{text}</g>'
        )
    return "\n".join([*parts, "</svg>\n"])


def _frames(seconds: Mapping[Stack, float], total: float) -> Iterable[tuple[int, str, float, float]]:
    """Level, name, start and seconds of each frame that can be seen; without recursion, as stacks can be deep."""
    waiting: list[tuple[int, str, float, list[tuple[Stack, float]]]] = [(0, "all", 0.0, list(seconds.items()))]
    while waiting:
        level, name, start, below = waiting.pop()
        spent = sum(one for _, one in below)
        if spent * _WIDTH < _NARROWEST * total:
            continue
        yield level, name, start, spent
        children: dict[str, list[tuple[Stack, float]]] = {}
        for stack, one in below:
            if len(stack) > level:
                children.setdefault(stack[level], []).append((stack, one))
        for child, stacks in sorted(children.items()):
            waiting.append((level + 1, child, start, stacks))
            start += sum(one for _, one in stacks)


def _colour(name: str) -> str:
    """A blue, the same for all functions of a file."""
    shade = zlib.crc32(name.rpartition("(")[2].encode()) % 5
    return ("#9ecae9", "#b3d4ee", "#8fbfe3", "#c3dff3", "#a9cbe6")[shade]


class Graphs:
    """The graphs of one step in a folder, as far as they are drawn."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.wanted: list[dict[str, Any]] = []
        self._whole: dict[Stack, float] = {}
        self._recent: list[Stretch] = []
        self._kept: dict[str, float] = {}  # intervals that have a graph, and how slow they were

    def add(self, segment: list[Stretch], ended: float) -> None:
        """Add a segment that ended at `ended`, and draw what is complete now."""
        for stack, spent in fold(segment).items():
            self._whole[stack] = self._whole.get(stack, 0.0) + spent
        self._recent = [one for one in self._recent if one.end > ended - _REMEMBERED_S] + segment
        self._write("step", "the whole step", self._whole)
        ready = [one for one in self.wanted if one["end"] <= ended]
        self.wanted = [one for one in self.wanted if one["end"] > ended]
        for one in ready:
            self._interval(one)

    def _interval(self, one: Mapping[str, Any]) -> None:
        self._kept[one["name"]] = one["times"]
        fastest = min(self._kept, key=self._kept.__getitem__)
        if len(self._kept) > MOST_INTERVALS:
            del self._kept[fastest]
            for ending in ("svg", "folded"):
                (self.folder / f"{fastest}.{ending}").unlink(missing_ok=True)
        if one["name"] in self._kept:
            title = f"{one['name']}, {one['times']:.1f} times as long an update as usual"
            self._write(one["name"], title, fold(self._recent, one["start"], one["end"]))

    def _write(self, name: str, title: str, seconds: Mapping[Stack, float]) -> None:
        main = sum(spent for stack, spent in seconds.items() if stack[0] != OTHERS)
        title = f"{title}: {main:.1f} s of the main thread"
        for ending, text in (("svg", draw(title, seconds)), ("folded", as_text(seconds))):
            new = self.folder / f".{name}.{ending}"
            new.write_text(text, encoding="utf-8")
            new.replace(self.folder / f"{name}.{ending}")


def sample(py_spy: str, pid: int, thread: int, folder: Path, lines: IO[str]) -> str:
    """Sample until `lines` or the process ends. Returns what went wrong, or nothing."""
    graphs, ended, trace = Graphs(folder), threading.Event(), folder / f".trace-{os.getpid()}.json"
    running: list[subprocess.Popen[str]] = []

    def listen() -> None:
        for line in lines:
            graphs.wanted.append(json.loads(line))
        ended.set()
        for each in running[-1:]:
            each.send_signal(signal.SIGINT)  # it writes what it has

    listener = threading.Thread(target=listen, daemon=True)
    command = [py_spy, "record", "--pid", str(pid), "--rate", str(RATE), "--duration", str(SEGMENT_S)]
    command += ["--nonblocking", "--idle", "--function", "--format", "chrometrace", "--output", str(trace)]
    while not ended.is_set():
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
        )
        running[:] = [process]
        if not listener.is_alive() and not ended.is_set():
            listener.start()
        if ended.is_set():
            process.send_signal(signal.SIGINT)
        problems = process.communicate()[1]
        now = time.time()
        try:
            events = json.loads(trace.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            gone = ended.is_set() or not _is_there(pid)
            return "" if gone else " ".join(problems.split())[-300:] or f"py-spy ended with {process.returncode}"
        finally:
            trace.unlink(missing_ok=True)
        offset = now - max((event["ts"] for event in events), default=0) / 1e6
        graphs.add(stretches(events, thread, offset), now)
        if not _is_there(pid):
            break
    return ""


def _is_there(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True


def main() -> None:
    """Sample, and print what went wrong."""
    py_spy, pid, thread, folder = sys.argv[1:]
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # py-spy inherits it: ignored, its end would be lost while it starts
    os.nice(10)
    sys.stdin.readline()  # the process has allowed it now
    if problem := sample(py_spy, int(pid), int(thread), Path(folder), sys.stdin):
        print(problem, flush=True)


if __name__ == "__main__":
    main()
