"""Nodes side by side: how many, in which order, and the end of the others when one fails or a signal comes."""

import threading
from types import SimpleNamespace
from typing import Any

import pytest

from artifacts import Output
from artifacts.errors import UserError
from artifacts.runs import Run
from artifacts.store import Store
from pipelines import graph, jobs, launch
from pipelines.graph import Node
from pipelines.jobs import Workers, number_of, ready
from pipelines.node_run import NodeRunner, StepError
from pipelines.plan import Planned
from pipelines.problems import Problems
from pipelines.run import Driver
from telemetry import Interrupted, Observe

WAIT = 60  # seconds, for what happens at once


def node(name: str, *inputs: str, step: str = "") -> Node:
    return Node(name, step or name, {f"input{place}": feeder for place, feeder in enumerate(inputs)}, {})


@pytest.mark.parametrize(
    ("cores", "gigabytes", "expected"), [(2, 64, 1), (4, 64, 1), (8, 64, 2), (16, 64, 4), (16, 9, 2), (64, 2, 1)]
)
def test_default_follows_cores_and_memory(monkeypatch, tmp_path, cores, gigabytes, expected):
    monkeypatch.setattr(jobs, "_GPU", tmp_path / "none")
    monkeypatch.setattr(jobs.os, "sched_getaffinity", lambda _: set(range(cores)))
    monkeypatch.setattr(jobs, "_memory", lambda: gigabytes << 30)
    assert number_of("auto") == number_of("") == expected
    assert number_of("3") == 3


def test_default_is_one_beside_a_gpu(monkeypatch, tmp_path):
    monkeypatch.setattr(jobs, "_GPU", tmp_path)
    monkeypatch.setattr(jobs.os, "sched_getaffinity", lambda _: set(range(64)))
    assert number_of("auto") == 1


def test_memory_is_that_of_the_container(tmp_path):
    (tmp_path / "memory.max").write_text("max\n")
    whole = jobs._memory(tmp_path)
    (tmp_path / "memory.max").write_text("4096\n")
    assert jobs._memory(tmp_path) == 4096 < whole


@pytest.mark.parametrize("text", ["-1", "two", "1.5", "0"])
def test_wrong_number_of_jobs_is_an_error(text):
    with pytest.raises(UserError, match=f"--jobs {text}: (give a number, or auto|must be at least 1)") as refused:
        number_of(text)
    assert refused.value.exit_code == 2


def test_ready_nodes_have_all_inputs_and_registrations_keep_their_order():
    waiting = [
        node("a", "x"),
        node("b", "y"),
        node("first", "y", step="register"),
        node("second", "x", step="register"),
    ]
    assert [one.id for one in ready(waiting, {"x"}, [])] == ["a"], "the second registration waits for the first"
    assert [one.id for one in ready(waiting, {"x", "y"}, [])] == ["a", "b", "first"]
    assert [one.id for one in ready(waiting[3:], {"x"}, [waiting[2]])] == []
    assert [one.id for one in ready(waiting[3:], {"x"}, [])] == ["second"]


def test_branches_are_nodes_of_which_neither_is_before_the_other():
    (docs,) = graph.load("docs")
    assert docs.branches(docs.nodes)
    assert docs.branches(["finetune", "finetune_scratch"])
    assert not docs.branches(["prepare_data", "train_tokenizer", "pretrain", "finetune", "evaluate"])


class Recording(Observe):
    def __init__(self) -> None:
        super().__init__()
        self.events: list[tuple[str, str]] = []

    def log(self, event: str, message: str, **fields: Any) -> None:
        self.events.append((event, message))


class Runner(NodeRunner):
    """Runs nodes by functions, and makes an artifact of each."""

    def __init__(self, store: Store, workers: Workers, does: dict[str, Any]) -> None:
        self.store, self.workers, self.does, self.started, self.given = store, workers, does, [], {}

    def run(self, planned: Planned, inputs: Any) -> dict[str, Any]:
        name = planned.node.id
        self.started.append(name)
        self.given[name] = {key: made.file("rows").read_text() for key, made in inputs.items()}
        self.does.get(name, lambda: None)()
        output = Output("corpus", self.store.work(name), root=self.store.root)
        output.file("rows").write_text(name)
        made = output.commit()
        return {"artifact": {"path": self.store.path_of(made)}, "state": "made", "exit_code": 0,
                "seconds": 1.0, "cpu_seconds": 1.0, "peak_bytes": 1}  # fmt: skip


class Planner:
    """Everything is a miss."""

    problems, force = Problems(), set[str]()

    def __init__(self) -> None:
        self.planned: dict[str, Planned] = {}

    def plan(self, node: Node) -> Planned:
        self.planned[node.id] = planned = Planned(node, "MISS", ("new",), {}, node.id, None, None)
        return planned

    def record_result(self, node: str, digest: str) -> None:
        pass


NODES = [node("data"), node("left", "data"), node("right", "data"), node("end", "right", "left")]


def driver(root, most: int, nodes=NODES, **does: Any) -> Driver:
    """A driver whose nodes do these things."""
    store, workers = Store(root), Workers(most)
    pipeline = graph.Pipeline("trial", "", {one.id: one for one in nodes})
    run = Run.start(root, "r1", "trial", "")
    mlflow_run: Any = SimpleNamespace(plan=lambda plan: None)
    runner, planner = Runner(store, workers, does), Planner()
    return Driver(pipeline, store, workers, run, Recording(), mlflow_run, planner, runner, list(nodes), set())  # type: ignore[arg-type]


def meeting() -> dict[str, Any]:
    """Two functions that return only if both are at work at the same time."""
    barrier = threading.Barrier(2, timeout=WAIT)
    return {"left": barrier.wait, "right": barrier.wait}


def test_ready_nodes_run_side_by_side_and_results_keep_the_order(tmp_path):
    ending = threading.Event()
    both = meeting()
    trial = driver(
        tmp_path, 2, left=lambda: (both["left"](), ending.wait(WAIT)), right=lambda: (both["right"](), ending.set())
    )
    trial.execute()
    assert trial.runner.started[0] == "data"
    assert trial.runner.started[-1] == "end"
    assert list(trial.costs) == list(trial.artifacts) == ["data", "left", "right", "end"], "though right ended first"
    assert trial.runner.given["end"] == {"input0": "right", "input1": "left"}
    assert trial.runner.side_by_side
    assert {name: about["state"] for name, about in trial.run.nodes.items()} == dict.fromkeys(trial.costs, "made")


def test_one_job_runs_nodes_in_order_and_never_two(tmp_path):
    at_work: list[str] = []

    def alone(name: str) -> Any:
        def work() -> None:
            at_work.append(name)
            assert at_work == [name]
            at_work.remove(name)

        return work

    trial = driver(tmp_path, 1, **{one.id: alone(one.id) for one in NODES})
    trial.execute()
    assert trial.runner.started == ["data", "left", "right", "end"]
    assert not trial.runner.side_by_side


def test_node_at_work_ends_after_the_failure_of_another_and_no_other_starts(tmp_path):
    failed = threading.Event()
    both = meeting()

    def fail() -> None:
        both["left"]()
        failed.set()
        raise StepError("left", {"exit_code": 3, "error": "no luck"})

    trial = driver(tmp_path, 2, left=fail, right=lambda: (both["right"](), failed.wait(WAIT)))
    with pytest.raises(StepError, match="no luck") as raised:
        trial.execute()
    assert raised.value.exit_code == 3
    assert "right" in trial.artifacts, "what it made is kept"
    assert "end" not in trial.runner.started


def test_first_of_two_failures_is_raised(tmp_path):
    reported = threading.Event()

    def fail(name: str, code: int) -> None:
        raise StepError(name, {"exit_code": code, "error": name})

    trial = driver(tmp_path, 2, left=lambda: fail("left", 4), right=lambda: (reported.wait(WAIT), fail("right", 5)))
    trial.observe.log = lambda event, *_, **__: reported.set() if event == "node.failed" else None  # type: ignore[method-assign]
    with pytest.raises(StepError, match="left"):
        trial.execute()
    assert trial.workers.at_work == {}


def test_signal_stops_all_workers(tmp_path, monkeypatch):
    """Of the nodes at work one is a process, which is ended; the other pauses before a retry."""
    ended, reached = threading.Event(), threading.Barrier(3, timeout=WAIT)
    trial = driver(tmp_path, 2)

    def process() -> None:
        reached.wait()
        assert ended.wait(WAIT)
        trial.workers.raise_if_stopped()

    def pause() -> None:
        reached.wait()
        trial.workers.pause(10 * WAIT)

    trial.runner.does.update(left=process, right=pause)  # type: ignore[attr-defined]
    monkeypatch.setattr(launch, "end_children", lambda all_ended: ended.set())

    def interrupted() -> None:
        reached.wait()
        raise Interrupted(15)

    waits, original = [0], trial.workers.next_ended

    def next_ended() -> Any:
        waits[0] += 1
        return original() if waits[0] == 1 else interrupted()

    trial.workers.next_ended = next_ended  # type: ignore[method-assign]
    with pytest.raises(Interrupted) as raised:
        trial.execute()
    assert raised.value.signal_number == 15
    errors = {name: worker.error for name, worker in trial.workers.at_work.items()}
    assert {name: type(error) for name, error in errors.items()} == {"left": Interrupted, "right": Interrupted}
    assert "end" not in trial.runner.started
