"""Panels agree with MLflow and the artifacts, number by number: for runs that succeeded, failed, were killed, are
live, of a step by hand, and of metrics of which more, or less, is better."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from grafana.boards import BOARDS, as_json
from grafana.live import Backends, Series, panels
from grafana.panels import NO_NEWS
from steps.promote.history import History
from telemetry.endpoints import variable_of
from telemetry.names import STATES
from tests.pipeline_home import Home
from tests.stack.live import Live, eventually
from tests.telemetry.receiver import Receiver

pytestmark = [pytest.mark.stack, pytest.mark.timeout(3000)]
SERVED = ("prometheus", "tempo", "exporter")
BUILT = {name: json.loads(as_json(build())) for name, build in BOARDS.items()}
SHORT = ("--set", "pretrain.max_updates=40")
OF_MLFLOW = {"FINISHED": "done", "FAILED": "failed", "KILLED": "killed", "RUNNING": "running"}
Answers = dict[tuple[str, ...], float]


@dataclass
class World:
    """The home, its backends, and a run of each kind."""

    home: Home
    live: Live
    receiver: Receiver
    began: float
    runs: dict[str, str] = field(default_factory=dict)  # kind -> id

    def ask(
        self, board: str, title: str, query: int = 0, *, by: tuple[str, ...] = (), late: float = 0.0, **chosen: str
    ) -> Answers:
        """The numbers of a panel: the last value of each series of its query, by these labels. `late` moves the end of the time
        range, in seconds."""
        addresses = {name: one.address for name, one in self.live.services.items()}
        backends = Backends(addresses, self.began - 60, time.time() + late, dict(chosen))
        backends.fill_variables(BUILT[board])
        panel = next(one for one in panels(BUILT[board]) if one["title"] == title)
        found: list[Series] = backends.ask(panel, panel["targets"][query])
        return {tuple(one.labels.get(name, "") for name in by): one.points[-1][1] for one in found}

    def one(self, board: str, title: str, **chosen: Any) -> float:
        """The one number that a panel shows."""
        [value] = self.ask(board, title, **chosen).values()
        return value

    def state(self, kind: str, **chosen: Any) -> str:
        """The word under State on the board of a run."""
        names = {number: state for state, number in STATES.items()} | {NO_NEWS: "no news"}
        shown = self.ask("run", "State", run=self.runs[kind], **chosen)
        return " ".join(names[int(value)] for value in shown.values())  # none before its first metrics have arrived

    def new_run(self, kind: str, act: Callable[[], Any]) -> Any:
        """Do something that makes one run, and keep its id."""
        before = set(self.folders())
        done = act()
        [self.runs[kind]] = set(self.folders()) - before
        return done

    def folders(self) -> list[str]:
        return [path.name for path in (self.home.state / "runs").glob("*")]

    def record(self, kind: str) -> dict[str, Any]:
        return dict(json.loads((self.home.state / "runs" / self.runs[kind] / "run.json").read_text()))

    def read_artifact(self, kind: str, node: str, *file: str) -> Any:
        """A JSON file of an artifact that a node made."""
        return json.loads((self.home.state / self.record(kind)["nodes"][node]["path"]).joinpath(*file).read_text())

    def status(self, kind: str) -> str:
        """The state of a run in MLflow, in the words of the board."""
        run = self.home.client().get_run(self.record(kind)["mlflow_runs"][""])
        return OF_MLFLOW[run.info.status]

    def traced(self, kind: str) -> bool:
        """Whether the panel Trace has the run's trace, or where there is no Tempo: whether a span of its query was delivered."""
        if self.live.has_tempo:
            return bool(self.ask("run", "Trace", run=self.runs[kind]))
        wanted = ("glassformer.run", self.runs[kind])
        return any(wanted in _resource(unit) for unit in self.receiver.units("traces"))


def _resource(unit: bytes) -> set[tuple[str, str]]:
    from telemetry import records

    [part] = records.request_class("traces").FromString(unit).resource_spans
    return {(pair.key, pair.value.string_value) for pair in part.resource.attributes}


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with Receiver() as receiver:
        home = Home(tmp_path_factory.mktemp("truth"))
        live = Live(home.state, SERVED, home.environment)
        world = World(home, live, receiver, time.time())
        try:
            live.up()
            away = {"logs"} if live.has_tempo else {"logs", "traces"}
            home.extra |= {name: receiver.environment[name] for name in map(variable_of, away)}
            world.new_run("good", lambda: home.run("run", "tiny", "--promote", *SHORT))
            world.new_run("language", lambda: home.run("run", "tests/pipelines/tiny_gpt.yaml"))
            world.new_run(
                "failed", lambda: home.run("run", "tiny", "--set", f"prepare_data.source={_damaged(home)}", expect=1)
            )
            corpus = home.state / world.record("good")["nodes"]["prepare_data"]["path"]
            step = ("--corpus", str(corpus), "--vocab_size", "500")
            world.new_run("step", lambda: home.run(*step, module="steps.train_tokenizer"))
            home.run("replay", module="telemetry")
            yield world
        finally:
            live.down()


def _damaged(home: Home) -> Path:
    """A file of rows of which half are empty."""
    file = home.folder / "rows.jsonl"
    rows = [{"text": f"Row {number} of a file that is damaged." if number % 2 else ""} for number in range(40)]
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return file


@pytest.mark.parametrize("kind", ["good", "language", "failed"])
def test_run_board_shows_state_cost_and_nodes_of_a_pipeline(world: World, kind: str) -> None:
    assert eventually(lambda: world.state(kind), lambda state: state != "running", 60) == world.status(kind)
    run, client = world.runs[kind], world.home.client()
    nodes = {node: client.get_run(made).data for node, made in world.record(kind)["mlflow_runs"].items() if node}
    ran = {node: data.metrics for node, data in nodes.items() if "step.seconds" in data.metrics}
    for title, key in (("Time in steps", "step.seconds"), ("CPU time", "step.cpu_seconds")):
        if ran:
            assert world.one("run", title, run=run) == pytest.approx(sum(found[key] for found in ran.values()), abs=0.5)
    cost = world.ask("run", "Cost", by=("glassformer_node",), run=run)
    assert {node for (node,) in cost} == set(ran), "the nodes that ran"
    assert all(cost[node,] == pytest.approx(found["step.seconds"], abs=0.2) for node, found in ran.items())
    shown = world.ask("run", "Nodes", by=("node",), run=run)
    expected = {"good": "done", "failed": "failed"}
    for node, data in nodes.items():
        cached = data.tags.get("glassformer.cached") == "true"
        assert shown[node,] == STATES["cached" if cached else expected.get(kind, "done")], node
    assert world.traced(kind)


@pytest.mark.parametrize(("kind", "better"), [("good", "higher"), ("language", "lower")])
def test_score_is_that_of_the_report_with_metric_direction_and_unit(world: World, kind: str, better: str) -> None:
    scores = world.read_artifact(kind, "evaluate", "scores.json")
    metric, unit = scores["primary_metric"], {"higher": "1", "lower": "bit/By"}[better]
    value = scores["metrics"][metric]["value"]
    about = (metric, better, unit)
    assert world.ask("run", "Score", by=("metric", "better", "unit"), run=world.runs[kind]) == {about: value}
    compared = {f"this model ({better} is better)": value} | {
        name: found[metric]["value"] for name, found in scores["baselines"].items()
    }
    shown = world.ask("evaluation", "Beside what is simpler: $metric", by=("baseline",), metric=metric)
    assert {name: value for (name,), value in shown.items()} == pytest.approx(compared)
    of_runs = world.ask(
        "evaluation", "Scores of runs: $metric", by=("glassformer_run", "better", "unit"), metric=metric
    )
    assert of_runs == {(world.runs[kind], better, unit): value}, "no run of another metric"


def test_versions_show_the_best_baseline_in_each_direction(world: World) -> None:
    labels = ("model", "version", "metric", "better", "unit")
    expected_scores, expected_best = {}, {}
    for kind, better, best in (("good", "higher", max), ("language", "lower", min)):
        scores = world.read_artifact(kind, "evaluate", "scores.json")
        metric, name = scores["primary_metric"], f"glassformer-{'tiny' if kind == 'good' else 'tiny-gpt'}"
        key = (name, "1", metric, better, "1" if better == "higher" else "bit/By")
        expected_scores[key] = scores["metrics"][metric]["value"]
        expected_best[key] = best(found[metric]["value"] for found in scores["baselines"].values())
    shown = eventually(lambda: world.ask("evaluation", "Versions", by=labels), lambda found: len(found) == 2, 60)
    assert shown == pytest.approx(expected_scores)
    assert world.ask("evaluation", "Versions", 1, by=labels) == pytest.approx(expected_best)


def test_champion_is_that_of_the_history(world: World) -> None:
    client = world.home.client()
    champion = eventually(lambda: world.ask("evaluation", "Champion", by=("model",)), bool, 60)
    assert champion == {("glassformer-tiny",): 1.0}
    held = [one for one in History(client, "glassformer-tiny").decisions() if one.holds][-1]
    client.create_model_version("glassformer-tiny", "x")  # moves the model's last update
    assert client.get_registered_model("glassformer-tiny").last_updated_timestamp / 1000 > held.at
    eventually(lambda: world.one("evaluation", "Registered versions"), 3.0, 60)
    assert world.one("evaluation", "Since") == pytest.approx(1000 * held.at, abs=1)
    score = float(client.get_model_version("glassformer-tiny", "1").tags["glassformer.score"])
    assert world.ask("evaluation", "Its score", by=("model", "metric")) == {("glassformer-tiny", "macro_f1"): score}


def test_every_row_read_is_accounted_for(world: World) -> None:
    corpus = world.read_artifact("good", "prepare_data", "corpus.json")
    more = corpus.get("long_texts", {}).get("rows_more", 0)
    chosen = {"run": world.runs["good"]}
    assert world.one("data", "Read", **chosen) == corpus["read"]
    assert world.one("data", "From long texts", **chosen) == more
    assert world.one("data", "Kept", **chosen) == sum(corpus["rows"].values())
    left_out = {reason: found["count"] for reason, found in corpus["rows_out"].items()}
    assert world.one("data", "Rows left out", **chosen) == sum(left_out.values()) > 0
    assert world.one("data", "Unaccounted", **chosen) == 0
    shown = world.ask("data", "Where the rows went", by=("outcome",), **chosen)
    kept = {f"kept: {split}": count for split, count in corpus["rows"].items()}
    out = {f"out: {reason[:40]}": count for reason, count in left_out.items()}
    assert {name: value for (name,), value in shown.items()} == kept | out
    assert sum(shown.values()) == corpus["read"] + more


def test_corpus_that_was_refused_shows_its_damaged_rows_and_no_other_corpus(world: World) -> None:
    chosen = {"run": world.runs["failed"]}
    # What was written last is looked for at whole minutes (`newest`).
    assert eventually(lambda: world.ask("data", "Read", **chosen), bool, 90) == {(): 40.0}
    assert world.one("data", "Quarantined", **chosen) == 20
    assert world.ask("data", "Kept", **chosen) == {}
    everything = eventually(lambda: world.ask("data", "Read"), {(): 40.0}, 90)
    assert everything == {(): 40.0}, "of all runs: the newest that read a source, and no sum"


def test_step_by_hand_is_a_run_with_state_nodes_and_trace(world: World) -> None:
    assert eventually(lambda: world.state("step"), "done", 60) == "done"
    assert world.ask("run", "Nodes", by=("node",), run=world.runs["step"]) == {("train_tokenizer",): STATES["done"]}
    assert world.traced("step")
    assert world.one("pipelines", "Runs") == len(world.runs)
    offered = BUILT["run"]["templating"]["list"]
    asked = next(one["query"] for one in offered if one["name"] == "run")
    backends = Backends(
        {"prometheus": world.live.services["prometheus"].address}, world.began - 60, time.time(), {"pipeline": ".*"}
    )
    path = "/api/v1/label/glassformer_run/values"
    match = backends.fill(asked.removeprefix("label_values(").rpartition(",")[0])
    assert set(world.runs.values()) == set(backends.get("prometheus", path, **{"match[]": match})["data"])


def test_live_and_killed_runs_are_told_apart(world: World, request: pytest.FixtureRequest) -> None:
    home = world.home
    services = {one.pid for one in world.live.services.values()}
    request.addfinalizer(lambda: [one.kill() for one in home.processes() if one.pid not in services])  # if it fails
    process = world.new_run("killed", lambda: _training(home))
    eventually(lambda: world.state("killed"), "running", 60)
    assert world.one("pipelines", "Running now") == 1.0
    assert eventually(lambda: world.traced("killed"), bool, 60), "while it runs"
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    eventually(lambda: {one.pid for one in home.processes()} - services, set(), 30)
    assert world.state("killed", late=90) == "no news"
    assert world.ask("pipelines", "Running now", late=90) == {}
    process = world.new_run("live", lambda: _training(home))
    eventually(lambda: world.state("live"), "running", 60)
    assert world.status("live") == "running"
    assert eventually(lambda: world.state("killed"), "killed", 60) == world.status("killed")
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=120)
    home.run("replay", module="telemetry")
    assert eventually(lambda: world.state("live"), "killed", 60) == world.status("live")
    assert world.one("pipelines", "Failed") == [world.status(kind) for kind in world.runs if kind != "step"].count(
        "failed"
    )
    assert world.traced("killed")


def _training(home: Home) -> Any:
    """A run in the midst of its training."""
    process = home.start("run", "tiny", "--set", "pretrain.max_updates=100000", "--to", "pretrain")
    known = {path.parent for path in home.state.glob("runs/*/pretrain.metrics.jsonl")}
    eventually(lambda: {path.parent for path in home.state.glob("runs/*/pretrain.metrics.jsonl")} - known, bool, 120)
    return process
