"""The choice of runs to compare: by id, by a unique beginning of one, by pipeline, or the newest."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

from artifacts.errors import UserError
from redaction import redact

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

LATEST = "latest"
_PIPELINES = "tags.`glassformer.pipeline` IS NOT NULL"
_MOST = 6  # runs that an error names
_AN_ID = re.compile(r"[0-9a-f]{1,32}")


def choose(client: MlflowClient, words: Sequence[str]) -> list[Run]:
    """MLflow's runs for these words; without words the newest two pipelines' runs. UserError for a word that names no run,
    or several."""
    experiments = [found.experiment_id for found in client.search_experiments()]
    if not words:
        newest = _search(client, experiments, _PIPELINES, 2)
        if len(newest) < 2:
            raise UserError("fewer than two runs are known here; run a pipeline again with another setting", 2)
        return newest
    chosen: dict[str, tuple[str, Run]] = {}
    for word in words:
        run = _find(client, experiments, word)
        if run.info.run_id in chosen:
            raise UserError(f"{chosen[run.info.run_id][0]} and {word} are one run, {name_of(run)}; name another", 2)
        chosen[run.info.run_id] = (word, run)
    return [run for _, run in chosen.values()]


def name_of(run: Run) -> str:
    """Pipeline (or step), time and short id of a run."""
    tags = run.data.tags
    what = tags.get("glassformer.pipeline") or tags.get("glassformer.node") or tags.get("glassformer.step")
    return f"{what or run.info.run_name} {time_of(run.info.start_time / 1000)} {id_of(run)[:8]}"


def id_of(run: Run) -> str:
    """Glassformer's id of a pipeline's run, as `runs` and the dashboards show it; of any other run MLflow's."""
    tags = run.data.tags
    return str((tags.get("glassformer.run") if "glassformer.pipeline" in tags else "") or run.info.run_id)


def time_of(seconds: float) -> str:
    """A moment in local time, to the minute."""
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(seconds))


def _find(client: MlflowClient, experiments: list[str], word: str) -> Run:
    clause = _PIPELINES if word == LATEST else f"tags.`glassformer.pipeline` = '{word}'"
    if "'" not in word and (newest := _search(client, experiments, clause, 1)):  # MLflow's filters have no escapes
        return newest[0]
    found: dict[str, Run] = {}
    if _AN_ID.fullmatch(word):
        for clause in (f"tags.`glassformer.run` LIKE '{word}%' AND {_PIPELINES}", f"attributes.run_id LIKE '{word}%'"):
            found |= {run.info.run_id: run for run in _search(client, experiments, clause, _MOST + 1)}
    if len(found) == 1:
        return next(iter(found.values()))
    if not found:
        store = redact(os.environ.get("MLFLOW_TRACKING_URI", "") or "MLflow's store")
        raise UserError(
            f"{word}: no run of {store} has an id that begins so, and no pipeline of this name ran; "
            "`python -m pipelines runs` lists runs",
            2,
        )
    newest = sorted(found.values(), key=lambda run: run.info.start_time, reverse=True)
    number = f"{len(found)}" if len(found) <= _MOST else f"more than {_MOST}"
    names = ", ".join(f"{name_of(run)} (MLflow {run.info.run_id[:8]})" for run in newest[:_MOST])
    raise UserError(f"{word}: {number} runs have an id that begins so: {names}; give more of it", 2)


def _search(client: MlflowClient, experiments: list[str], clause: str, most: int) -> list[Run]:
    return list(client.search_runs(experiments, clause, max_results=most, order_by=["attributes.start_time DESC"]))
