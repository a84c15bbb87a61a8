"""Collect periodically in its own thread, so that a scrape only reads memory."""

from __future__ import annotations

import os
import shutil
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.exposition import generate_latest
from prometheus_client.registry import Collector

from deploy.exporter.registry import Registry, Version
from deploy.exporter.runs import AGES, Runs
from deploy.families import counter, counters, gauge, gauges
from redaction import redact
from telemetry import status

if TYPE_CHECKING:
    from mlflow import MlflowClient

_CATCHING_UP = 1.0  # seconds between collections while runs are left that were never read
_OF_SCORES = ("metric", "better", "unit")  # labels
_WALK_EVERY = 300.0  # seconds between two readings of how much the artifacts take: it looks at every file


_OUTBOX: dict[str, tuple[str, Callable[[Any], float]]] = {
    "bytes": ("bytes that wait", lambda progress: progress["waiting"]["bytes"]),
    "oldest_timestamp_seconds": (
        "when the oldest record that waits was written",
        lambda progress: progress["waiting"]["since"],
    ),
    "last_error_timestamp_seconds": ("when delivery last failed", lambda progress: progress["last_error_at"]),
}
_OUTBOX_TOTALS = {  # they begin at nothing when the outbox's files are cleared away
    "delivered": "records that backends took",
    "set_aside": "records that backends refused",
}
Family = GaugeMetricFamily | CounterMetricFamily


class Exporter(Collector):
    """Figures of MLflow, the outbox and the disk. `collect` answers from memory."""

    def __init__(self, home: Path, connect: Callable[[], MlflowClient]) -> None:
        self._home, self._connect = home, connect
        self._client: MlflowClient | None = None
        self._runs, self._registry = Runs(), Registry()
        self._mlflow_up, self._mlflow_at = False, 0.0
        self._collected_at = self._took = 0.0
        self._outbox: dict[str, Any] = {}
        self._models_page = b""
        self._artifacts, self._tokens, self._walked_at = 0, 0, 0.0
        self._told = ""
        self._lock = threading.Lock()

    @property
    def ready(self) -> bool:
        """Whether there was a first collection."""
        return self._collected_at > 0

    def work(self, every: float, ending: threading.Event) -> None:
        """Collect until the exporter is closed."""
        while not ending.is_set():
            try:
                self.update()
            except (
                Exception
            ) as error:  # a damaged outbox, a folder that cannot be read: the times say that it stands still
                self._tell(f"a collection failed: {redact(' '.join(str(error).split())[:200])}")
            catching_up = self._mlflow_up and not self._runs.complete
            ending.wait(min(every, _CATCHING_UP) if catching_up else every)

    def update(self) -> None:
        """One collection. What does not answer keeps its last values; the times say how old they are."""
        started = time.monotonic()
        self._ask_mlflow()
        models = generate_latest(_Families(list(self._about_models())))
        outbox = status.read(self._home / "outbox")
        if time.monotonic() - self._walked_at > _WALK_EVERY or not self._walked_at:
            self._artifacts, self._tokens = (_bytes_under(self._home / name) for name in ("artifacts", "tokens"))
            self._walked_at = time.monotonic()
        with self._lock:
            self._outbox, self._models_page = outbox, models
            self._collected_at, self._took = time.time(), time.monotonic() - started

    def collect(self) -> Iterable[Family]:
        """The metrics for Prometheus."""
        return [*self._about_now(), *self._about_models()]

    def page(self) -> bytes:
        """The same as text. Thousands of series of models are written down once a collection, not at each scrape."""
        return generate_latest(_Families(self._about_now())) + self._models_page

    def _about_now(self) -> list[Family]:
        with self._lock:
            return [*self._about_itself(), *self._about_runs(), *self._about_outbox(), *self._about_disk()]

    def _ask_mlflow(self) -> None:
        try:
            self._client = self._client or self._connect()
            self._registry.read(self._client)
            self._runs.read(self._client)
        except Exception as error:  # a store that is away, migrating or broken is a value here, and no reason to end
            self._mlflow_up = False
            self._tell(f"MLflow does not answer: {redact(' '.join(str(error).split())[:200])}")
            return
        self._mlflow_up, self._mlflow_at = True, time.time()
        if self._told.startswith("MLflow"):
            self._tell("MLflow answers again")

    def _tell(self, message: str) -> None:
        if message != self._told:
            self._told = message
            print(message, file=sys.stderr, flush=True)

    def _about_itself(self) -> Iterator[Family]:
        yield gauge("glassformer_exporter_collected_timestamp_seconds", "when it last collected", self._collected_at)
        yield gauge("glassformer_exporter_collect_seconds", "how long that took", self._took)
        yield gauge("glassformer_mlflow_up", "1 when MLflow answered", float(self._mlflow_up))
        yield gauge("glassformer_mlflow_last_success_timestamp_seconds", "when MLflow last answered", self._mlflow_at)

    def _about_models(self) -> Iterator[Family]:
        if not self._mlflow_at:
            return
        known = self._registry
        yield gauge(
            "glassformer_registry_complete", "0 when there are more models than have series", float(known.complete)
        )
        yield gauges(
            "glassformer_model_versions", "versions of a model", ["model"], [((m,), n) for m, n in known.counts.items()]
        )
        scored = [one for one in known.versions if one.score is not None]
        yield gauges(
            "glassformer_model_version_score",
            "primary metric of a version",
            ["model", "version", *_OF_SCORES],
            [((one.model, one.number, *_about(one)), one.score) for one in scored],
        )
        yield gauges(
            "glassformer_model_version_baseline_score",
            "primary metric of a baseline in a version's report",
            ["model", "version", "baseline", *_OF_SCORES],
            [
                ((one.model, one.number, name, *_about(one)), value)
                for one in scored
                for name, value in one.baselines.items()
            ],
        )
        yield from self._about_aliases()

    def _about_runs(self) -> Iterator[Family]:
        runs, now = self._runs, time.time()
        if not runs.complete:  # a count that is still rising would look like runs that start
            return
        yield gauges("glassformer_runs", "runs in MLflow", ["state"], [((s,), n) for s, n in runs.states.items()])
        age = now - runs.running_since if runs.running_since else 0.0
        yield gauge("glassformer_oldest_running_seconds", "age of the oldest run that runs", age)
        older = [((str(limit),), sum(now - since > limit for since in runs.running)) for limit in AGES]
        yield gauges(
            "glassformer_running_older_than", "runs that run for longer than so many seconds", ["seconds"], older
        )
        if runs.last_started:
            yield gauge(
                "glassformer_last_run_started_timestamp_seconds", "when the newest run started", runs.last_started
            )
        yield gauges(
            "glassformer_last_run_ended_timestamp_seconds",
            "when a run last ended in a state",
            ["state"],
            [((state,), ended) for state, ended in runs.last_ended.items()],
        )

    def _about_aliases(self) -> Iterator[Family]:
        known = self._registry
        held = {(one.model, one.number): one for one in known.versions}
        yield gauges(
            "glassformer_alias_version",
            "the version that has an alias",
            ["model", "alias"],
            [(key, float(number)) for key, (number, _) in known.aliases.items()],
        )
        yield gauges(
            "glassformer_alias_changed_timestamp_seconds",
            "when an alias came to name its version: by the gate's decision, or else seen by the exporter",
            ["model", "alias"],
            [(key, since) for key, (_, since) in known.aliases.items() if since],
        )
        scores = [
            ((*key, *_about(one)), one.score)
            for key, (number, _) in known.aliases.items()
            if (one := held.get((key[0], number))) and one.score is not None
        ]
        yield gauges(
            "glassformer_alias_score", "score of the version that has an alias", ["model", "alias", *_OF_SCORES], scores
        )

    def _about_outbox(self) -> Iterator[Family]:
        signals = self._outbox.get("signals", {})
        for name, (meaning, read) in _OUTBOX.items():
            values = [((signal,), read(progress)) for signal, progress in signals.items()]
            yield gauges(f"glassformer_outbox_{name}", meaning, ["signal"], values)
        for name, meaning in _OUTBOX_TOTALS.items():
            totals = [((signal,), progress[name]) for signal, progress in signals.items()]
            yield counters(f"glassformer_outbox_{name}_records", meaning, ["signal"], totals)
        dropped = sum(one["records"] for one in self._outbox.get("dropped", []))
        yield counter("glassformer_outbox_dropped_records", "records that the outbox could not hold", dropped)

    def _about_disk(self) -> Iterator[Family]:
        disk = shutil.disk_usage(next(path for path in (self._home, *self._home.parents) if path.exists()))
        yield gauge("glassformer_disk_free_bytes", "free on the disk of artifacts and outbox", disk.free)
        yield gauge("glassformer_disk_size_bytes", "size of that disk", disk.total)
        yield gauge("glassformer_artifacts_bytes", "bytes of all artifacts", self._artifacts)
        yield gauge("glassformer_token_files_bytes", "bytes of all token files, a cache of trainings", self._tokens)


def _about(version: Version) -> tuple[str, str, str]:
    return version.metric, version.better, version.unit


class _Families(Collector):
    """Families that are known, for what writes a page."""

    def __init__(self, families: list[Family]) -> None:
        self._families = families

    def collect(self) -> Iterable[Family]:
        return self._families


def _bytes_under(folder: Path) -> int:
    total = 0
    for place, _, files in os.walk(folder):
        for name in files:
            try:
                total += os.lstat(os.path.join(place, name)).st_size  # noqa: PTH118
            except FileNotFoundError:
                continue  # cleared away meanwhile
    return total
