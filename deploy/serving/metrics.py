"""The server's metrics for Prometheus: rate, errors and duration of requests, queue, batches, versions, drift."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.core import Metric
from prometheus_client.registry import Collector

from deploy.families import counter, counters, gauge, gauges

if TYPE_CHECKING:
    from deploy.serving.batching import Batch
    from deploy.serving.connections import Connections
    from deploy.serving.drift import Drift
    from deploy.serving.loaded_versions import Fleet
    from deploy.serving.version import Version

_SECONDS = (0.002, 0.005, 0.01, 0.02, 0.03, 0.05, 0.075, 0.1, 0.15, 0.25, 0.5, 1, 2, 5, 10, 30)
_ROWS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512)


class Metrics:
    """Counters of this process. Labels are few by design: version, endpoint, code."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._requests = self._counter(
            "glassformer_serving_requests", "requests by version, endpoint and code", "version", "endpoint", "code"
        )
        self._seconds = self._histogram(
            "glassformer_serving_request_seconds",
            "time of a request, from its headers to its answer",
            _SECONDS,
            "version",
            "endpoint",
        )
        self._refused = self._counter(
            "glassformer_serving_rejected", "requests that were not taken, by reason", "reason"
        )
        self._batch_rows = self._histogram("glassformer_serving_batch_size", "questions of a batch", _ROWS, "version")
        self._batch_seconds = self._histogram(
            "glassformer_serving_batch_seconds", "time of a batch in its worker", _SECONDS, "version"
        )
        self._waited = self._histogram(
            "glassformer_serving_queue_seconds", "how long the oldest question of a batch waited", _SECONDS, "version"
        )
        self._tokens = self._counter(
            "glassformer_serving_tokens", "tokens of the batches, padding included, estimated", "version"
        )
        self._truncated = self._counter(
            "glassformer_serving_truncated", "texts longer than the model reads: the rest was left out", "version"
        )
        self.in_flight = 0

    def _counter(self, name: str, meaning: str, *labels: str) -> Counter:
        return Counter(name, meaning, labels, registry=self.registry)

    def _histogram(self, name: str, meaning: str, edges: Sequence[float], *labels: str) -> Histogram:
        return Histogram(name, meaning, labels, registry=self.registry, buckets=edges)

    def count_answer(self, version: str, endpoint: str, code: int, seconds: float, ids: tuple[int, int] | None) -> None:
        """One request. Its exemplar leads to its span, of these ids if it has one."""
        self._requests.labels(version, endpoint, str(code)).inc()
        exemplar = {"trace_id": f"{ids[0]:032x}", "span_id": f"{ids[1]:016x}"} if ids else None
        self._seconds.labels(version, endpoint).observe(seconds, exemplar)

    def count_full(self, version: str, endpoint: str) -> None:
        """One request that a full queue did not take: nothing was read of it, so it has no time and no span."""
        self._requests.labels(version, endpoint, "429").inc()

    def count_truncated(self, version: str, texts: int) -> None:
        """Texts of one request of which not all was read."""
        if texts:
            self._truncated.labels(version).inc(texts)

    def count_rejection(self, reason: str) -> None:
        """One that was not taken: `queue`, `deadline`, `connections`, `key`, `host`, ..."""
        self._refused.labels(reason).inc()

    def batch(self, version: Version, done: Batch) -> None:
        """One batch."""
        number = version.number
        self._batch_rows.labels(number).observe(done.rows)
        self._batch_seconds.labels(number).observe(done.seconds)
        self._waited.labels(number).observe(done.waited)
        self._tokens.labels(number).inc(done.tokens)

    def count_connections(self, connections: Connections) -> None:
        """Tell of these at each scrape."""
        self.registry.register(_OfConnections(connections))

    def watch(self, fleet: Fleet, drift: Mapping[str, Drift]) -> None:
        """Tell of these at each scrape."""
        self.registry.register(_Now(self, fleet, drift))


_OF_VERSIONS: tuple[tuple[str, str, Callable[[Version], float]], ...] = (
    ("glassformer_serving_queue_requests", "questions that wait", lambda one: len(one.queue)),
    ("glassformer_serving_workers", "workers that run", lambda one: one.alive),
    ("glassformer_serving_worker_resident_bytes", "memory of a version's workers", lambda one: one.resident_bytes),
)


class _OfConnections(Collector):
    """Connections at the moment of a scrape."""

    def __init__(self, connections: Connections) -> None:
        self._connections = connections

    def collect(self) -> Iterator[Metric]:
        """One gauge, and counters of what was turned away."""
        of = self._connections
        yield gauge("glassformer_serving_connections", "connections that are open", len(of.open))
        yield counter("glassformer_serving_connections_refused", "connections beyond the bound", of.refused)
        yield counter("glassformer_serving_connections_cut", "connections that took too long over a request", of.cut)
        yield counter("glassformer_serving_headers_refused", "requests with headers too long or too many", of.overlong)


class _Now(Collector):
    """Metrics that are read at the moment of a scrape."""

    def __init__(self, metrics: Metrics, fleet: Fleet, drift: Mapping[str, Drift]) -> None:
        self._metrics, self._fleet, self._drift = metrics, fleet, drift

    def describe(self) -> list[Metric]:
        """Nothing is asked before the first scrape."""
        return []

    def collect(self) -> Iterator[Metric]:
        """Gauges of the fleet."""
        fleet, loaded = self._fleet, self._fleet.versions
        yield gauge("glassformer_serving_in_flight", "requests that are being answered", self._metrics.in_flight)
        yield gauge("glassformer_serving_ready", "1 when there is a version that can answer", float(fleet.ready))
        yield gauge(
            "glassformer_serving_registry_up", "1 when the registry answered the last time", float(fleet.registry_up)
        )
        yield gauge(
            "glassformer_serving_registry_last_success_timestamp_seconds",
            "when the registry last answered",
            fleet.registry_at,
        )
        yield gauge(
            "glassformer_serving_from_disk",
            "1 when what answers is not known to be the champion",
            float(fleet.from_disk),
        )
        yield gauge(
            "glassformer_serving_alias_behind_seconds",
            "how long the alias names a version that does not answer",
            fleet.behind_seconds,
        )
        yield gauge(
            "glassformer_serving_switched_timestamp_seconds",
            "when the version that answers last changed",
            fleet.switched_at,
        )
        yield gauge("glassformer_serving_switch_seconds", "how long the last change took", fleet.switch_seconds)
        yield gauges(
            "glassformer_serving_version",
            "1 for a version that is loaded, by its role",
            ["version", "role"],
            [((one.number, role), 1) for role, one in loaded],
        )
        yield gauges(
            "glassformer_serving_version_refused",
            "1 for a version that must not answer",
            ["version"],
            [((number,), 1) for number in fleet.refused],
        )
        for name, meaning, read in _OF_VERSIONS:
            yield gauges(name, meaning, ["version"], [((one.number,), read(one)) for _, one in loaded])
        yield counters(
            "glassformer_serving_worker_restarts",
            "workers that ended and were restarted",
            ["version"],
            [((one.number,), one.restarts) for _, one in loaded],
        )
        yield from self._drift_metrics()

    def _drift_metrics(self) -> Iterator[Metric]:
        found = self._drift.items()
        yield gauges(
            "glassformer_serving_drift_psi",
            "population stability index against the data it was evaluated on",
            ["version", "of"],
            [((number, of), value) for number, drift in found for of, value in drift.indices().items()],
        )
        yield gauges(
            "glassformer_serving_unknown_token_share",
            "share of tokens that the tokenizer does not know",
            ["version", "of"],
            [((number, of), share) for number, drift in found for of, share in drift.unknown_shares().items()],
        )
        yield gauges(
            "glassformer_serving_drift_rows",
            "questions on which drift is computed",
            ["version"],
            [((number,), drift.rows) for number, drift in found],
        )
