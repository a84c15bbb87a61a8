"""Lookup of a training by run and node: finished, failed, killed, under way or taken from the cache."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from artifacts import Artifact, ArtifactError, atomic, open_artifact
from artifacts.runs import FINISHED, RUNNING, Run, all_runs
from artifacts.store import Store
from tasks.why import WhyError
from training.update_log import Updates

_KNOWN = 5  # runs that an error names


@dataclass(frozen=True)
class Training:
    """A training that kept a record. `folder` holds it: the sidecars of an artifact, or the work folder of a step."""

    run: str
    pipeline: str
    node: str
    folder: Path
    updates: Updates
    artifact: Artifact | None  # None if it was not finished
    state: str  # in words, for people

    @property
    def about(self) -> dict[str, Any]:
        """The file that `tasks/training.py` wrote: task, settings, model, seed, shards, log_every, inputs."""
        try:
            return dict(atomic.read_json(self.folder / "training.json"))
        except (OSError, ValueError) as error:
            raise WhyError(f"{self.folder / 'training.json'}: cannot be read ({error})", 1) from None


def trainings(store: Store, run: str, node: str) -> list[Training]:
    """The trainings of a run (any unique beginning of its id; the newest where it is empty), or the one of a node."""
    chosen = _run(store, run)
    if isinstance(chosen, Training):
        found, reasons = {chosen.node: chosen}, {chosen.node: ""}
    else:
        looked = {name: _of_node(store, chosen, name) for name in _nodes(chosen)}
        found = {name: made for name, made in looked.items() if isinstance(made, Training)}
        reasons = {name: made if isinstance(made, str) else "" for name, made in looked.items()}
    if node and node not in reasons:
        raise WhyError(
            f"run {run_of(chosen)} has no node {node!r} so far; it has {', '.join(sorted(reasons)) or 'none'}"
        )
    if node and node not in found:
        others = f"; trainings of this run: {', '.join(found)}" if found else ""
        raise WhyError(f"{node}: {reasons[node]}{others}")
    if not found:
        gone = [f"{name}: {why}" for name, why in reasons.items() if "gone" in why or "earlier version" in why]
        raise WhyError(f"run {run_of(chosen)}: no training in it kept a record of its updates{_in_brackets(gone)}")
    return [found[node]] if node else list(found.values())


def run_of(chosen: Run | Training) -> str:
    """The run's id, shortened."""
    return (chosen.id if isinstance(chosen, Run) else chosen.run)[:12]


def _in_brackets(parts: list[str]) -> str:
    return f" ({'; '.join(parts)})" if parts else ""


def _run(store: Store, wanted: str) -> Run | Training:
    runs = list(all_runs(store.root))
    if not wanted:
        if not runs:
            raise WhyError(f"{store.root}: no run yet; `python -m pipelines run docs` makes one")
        return runs[-1]
    matches = [run for run in runs if run.id.startswith(wanted)]
    if len(matches) > 1:
        raise WhyError(
            f"--run {wanted}: {len(matches)} runs begin so: {', '.join(run.id[:12] for run in matches[:_KNOWN])}"
        )
    if matches:
        return matches[0]
    if by_hand := _by_hand(store, wanted):
        return by_hand
    newest = ", ".join(run.id[:12] for run in reversed(runs[-_KNOWN:])) or "none"
    raise WhyError(f"--run {wanted}: no such run in {store.root}; the newest: {newest} (`python -m pipelines runs`)")


def _nodes(run: Run) -> list[str]:
    """Its nodes: those it says are done, and those it has started, which have a file each."""
    started = (path for path in Path(run.folder).glob("*.json") if path.suffixes == [".json"])
    return sorted({*run.nodes, *(path.stem for path in started)} - {"run"})


def _of_node(store: Store, run: Run, node: str) -> Training | str:
    """The training of a node, or why it has none to show."""
    own = Path(run.folder) / node
    if updates := Updates.within(own):  # of a loop that is not ours
        return Training(run.id, run.pipeline, node, own, updates, None, _state_of(run))
    if path := run.nodes.get(node, {}).get("path"):
        return _finished_training(run.id, run.pipeline, node, store.root / path)
    try:
        task = atomic.read_json(Path(run.folder) / f"{node}.json")
        step, fingerprint = str(task["step"]), str(task["fingerprint"])
    except (OSError, ValueError, KeyError):
        return "was not started"
    work = store.work(fingerprint)
    if updates := Updates.within(work):
        return Training(run.id, run.pipeline, node, work, updates, None, _state_of(run))
    if record := store.record(step, fingerprint):  # a later run went on from where this one ended
        return _finished_training(run.id, run.pipeline, node, store.root / record["artifact"]["path"])
    return "kept no record of updates: it is no training, or ended before its first update"


def _state_of(run: Run) -> str:
    if run.state == RUNNING and run.is_alive():
        return "under way"
    return "finished" if run.state == FINISHED else "not finished: it failed or was killed"


def _finished_training(run: str, pipeline: str, node: str, path: Path) -> Training | str:
    try:
        artifact = open_artifact(path, check=False)
    except ArtifactError:
        return f"its artifact {path} is gone (removed by `python -m artifacts gc`?); run the pipeline again"
    updates = Updates.within(artifact.sidecar("training.json").parent)
    if updates is None:
        trained = artifact.kind == "checkpoint"
        return (
            "trained by an earlier version, which kept no record"
            if trained
            else f"no training: it made a {artifact.kind}"
        )
    by = read_made_by(artifact)
    state = "finished" if by.get("run") in ("", None, run) else f"taken from the cache: run {by['run'][:12]} made it"
    return Training(run, pipeline, node, updates.path.parent, updates, artifact, state)


def read_made_by(artifact: Artifact) -> dict[str, Any]:
    """The run that made an artifact, and its config."""
    try:
        return dict(atomic.read_json(artifact.sidecar("made_by.json")))
    except (OSError, ValueError):
        return {}


def _by_hand(store: Store, wanted: str) -> Training | None:
    """A step started by hand keeps no file of its run: its artifact says which it was."""
    for path in sorted((store.root / "artifacts" / "checkpoint").glob("*/manifest.json"), reverse=True):
        artifact = open_artifact(path.parent, check=False)
        if (run := str(read_made_by(artifact).get("run", ""))).startswith(wanted):
            found = _finished_training(run, "", str(artifact.manifest["step"]), artifact.path)
            return found if isinstance(found, Training) else None
    return None
