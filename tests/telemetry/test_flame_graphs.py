"""Flame graphs: samples of a window, collapsed stacks, the drawing, and the sampling of a real process."""

import subprocess
import sys
from io import StringIO
from xml.etree import ElementTree

import pytest

from telemetry import flame_graphs
from telemetry.flame_graphs import MOST_INTERVALS, OTHERS, Graphs, Stretch, as_text, draw, fold, sample, stretches
from telemetry.profiler import find_py_spy

SVG = "{http://www.w3.org/2000/svg}"


def event(kind, name, seconds, *, thread=1, file="/a/training/loop.py"):
    return {"ph": kind, "name": name, "tid": thread, "ts": round(1e6 * seconds), "args": {"filename": file, "line": 3}}


TRACE = [
    event("B", "run", 1), event("B", "update", 1), event("B", "other", 1, thread=2), event("E", "update", 3), event("B", "validate", 3),
    event("E", "validate", 4), event("E", "other", 5, thread=2), event("E", "run", 5),
]  # fmt: skip
RUN, UPDATE, VALIDATE = "run (training/loop.py)", "update (training/loop.py)", "validate (training/loop.py)"


def titles(picture):
    return [title.text for title in ElementTree.fromstring(picture).iter(f"{SVG}title")]


def test_stretches_are_those_of_the_main_thread_and_of_others():
    other = "other (training/loop.py)"
    assert sorted(stretches(TRACE, 1, 100.0)) == [
        Stretch(101, 103, (RUN, UPDATE)),
        Stretch(101, 105, (OTHERS, other)),
        Stretch(103, 104, (RUN, VALIDATE)),
        Stretch(104, 105, (RUN,)),
    ]


@pytest.mark.parametrize(
    ("name", "file"),
    [("wait", "/lib/python3.11/threading.py"), ("_worker", "/lib/python3.11/concurrent/futures/thread.py"),
     ("_work", "/a/telemetry/outbox.py"), ("end_with_parent", "/a/steps/process.py")],
)  # fmt: skip
def test_stretches_of_other_threads_leave_out_waiting(name, file):
    inner = [event("B", name, 1, file=file), event("E", name, 4, file=file)]
    trace = [event("B", "update", 0), *inner, event("E", "update", 5)]
    assert stretches(trace, 9) == [
        Stretch(0, 1, (OTHERS, UPDATE)), Stretch(4, 5, (OTHERS, UPDATE))
    ]  # fmt: skip
    assert [one.start for one in stretches(trace, 1)] == [0, 1, 4], "the main thread's waiting is shown"


def test_stretches_of_no_events_are_empty():
    assert stretches([], 1) == []


def test_fold_cuts_samples_to_the_window():
    found = [one for one in stretches(TRACE, 1) if one.stack[0] != OTHERS]
    assert fold(found) == {(RUN, UPDATE): 2.0, (RUN, VALIDATE): 1.0, (RUN,): 1.0}
    assert fold(found, 2.5, 3.25) == {(RUN, UPDATE): 0.5, (RUN, VALIDATE): 0.25}
    assert fold(found, 9, 10) == {}


def test_as_text_has_a_line_for_each_stack_in_milliseconds():
    assert as_text({(RUN, UPDATE): 0.5, (RUN,): 0.25}) == f"{RUN} 250\n{RUN};{UPDATE} 500\n"


def test_frame_names_cannot_break_collapsed_stacks():
    [one] = stretches([event("B", "a;b\nc", 0, file=""), event("E", "a;b\nc", 1, file="")], 1)
    assert one.stack == ("a:b c",)


def test_draw_shows_seconds_and_share_of_each_function_escaped():
    picture = draw("<step>", {("<module> (a&b/x.py)", "f (y.py)"): 3.0, ("<module> (a&b/x.py)",): 1.0})
    assert titles(picture) == ["all: 4.00 s, 100.0%", "<module> (a&b/x.py): 4.00 s, 100.0%", "f (y.py): 3.00 s, 75.0%"]
    widths = [float(one.get("width")) for one in ElementTree.fromstring(picture).iter(f"{SVG}rect")][1:]
    assert widths[2] == pytest.approx(0.75 * widths[1], abs=1)


def test_draw_of_an_empty_profile_says_so():
    assert "step: no samples" in draw("step", {})
    assert titles(draw("step", {})) == []


def test_draw_takes_stacks_deeper_than_pythons_recursion():
    depth = sys.getrecursionlimit() + 500
    assert len(titles(draw("deep", {tuple(map(str, range(depth))): 1.0}))) == depth + 1


def test_draw_leaves_out_frames_too_narrow_to_see():
    assert titles(draw("step", {("a",): 10_000.0, ("b",): 1.0}))[1:] == ["a: 10000.00 s, 100.0%"]


def test_graphs_draw_an_interval_once_its_samples_are_complete(tmp_path):
    graphs = Graphs(tmp_path)
    graphs.wanted = [{"name": "interval-1-5", "start": 2.0, "end": 7.0, "times": 2.0}]
    graphs.add([Stretch(0, 5, ("early",))], 5.0)
    assert not (tmp_path / "interval-1-5.svg").exists()
    graphs.add([Stretch(5, 10, ("late",))], 10.0)
    assert (tmp_path / "interval-1-5.folded").read_text() == "early 3000\nlate 2000\n"
    assert (tmp_path / "step.folded").read_text() == "early 5000\nlate 5000\n"
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "interval-1-5.folded", "interval-1-5.svg", "step.folded", "step.svg",
    ]  # fmt: skip


def test_graphs_keep_the_slowest_intervals(tmp_path):
    graphs = Graphs(tmp_path)
    times = {f"interval-{n}-{n}": float(n) for n in range(2, MOST_INTERVALS + 5)}
    graphs.wanted = [{"name": name, "start": 0.0, "end": 1.0, "times": slow} for name, slow in times.items()]
    graphs.wanted.append({"name": "interval-1-1", "start": 0.0, "end": 1.0, "times": 1.5})
    graphs.add([Stretch(0, 1, ("a",))], 1.0)
    kept = {path.stem for path in tmp_path.glob("interval-*")}
    assert kept == set(sorted(times, key=times.__getitem__)[-MOST_INTERVALS:])


def program(path, text):
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return str(path)


def test_sample_returns_why_it_was_refused(tmp_path):
    refusing = program(tmp_path / "py-spy", "echo 'Error: Permission Denied' >&2; exit 1")
    with subprocess.Popen(["sleep", "60"]) as alive:
        problem = sample(refusing, alive.pid, 1, tmp_path, StringIO())
        alive.kill()
    assert problem in ("Error: Permission Denied", "")  # its input has ended: that may be heard first


def test_program_ends_with_the_process_it_samples(tmp_path):
    """Also if that one is killed: the samples so far are drawn."""
    script = "import threading, time\n\ndef dawdle():\n    time.sleep(60)\n\nprint(threading.get_ident(), flush=True)\ndawdle()\n"
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True) as target:
        thread = target.stdout.readline().strip()
        command = [sys.executable, "-I", "-S", flame_graphs.__file__, str(find_py_spy()), str(target.pid), thread]
        with subprocess.Popen(
            [*command, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        ) as child:
            child.stdin.write("\n")
            child.stdin.flush()
            with pytest.raises(subprocess.TimeoutExpired):
                child.wait(2)
            target.kill()
            target.wait()
            assert child.wait(30) == 0
            assert child.stdout.read() == ""
    assert "dawdle" in (tmp_path / "step.folded").read_text()
