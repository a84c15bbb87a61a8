"""Spans of requests: the caller's flag and `--sample-requests` choose them, and an exemplar leads to a span alone."""

import pytest

from telemetry import sampling
from tests.deploy.serving.stub import served
from tests.step_process import units
from tests.telemetry.outbox_records import open_observe, requests

NOT_SAMPLED, SAMPLED = (f"00-{0xABC:032x}-{0xDEF:016x}-{flags}" for flags in ("00", "01"))


@pytest.fixture(autouse=True)
def _no_sampling_around(monkeypatch):
    for name in ("TRACEPARENT", sampling.SAMPLER, sampling.ARGUMENT):
        monkeypatch.delenv(name, raising=False)


def traced(shelf, folder, *asked, **changes):
    """Status, spans and exemplars of a server that was asked these texts, each with a `traceparent` or none."""
    observe = open_observe(folder)
    with served(shelf, folder, **changes) as server:
        server.observe.request = observe.request
        headers = [{"traceparent": parent} if parent else {} for _, parent in asked]
        answers = [
            server.post("/v1/classify", {"inputs": text}, **given)
            for (text, _), given in zip(asked, headers, strict=True)
        ]
        shown = server.get("/metrics", accept="application/openmetrics-text; version=1.0.0").data.decode()
        counted = server.metric('glassformer_serving_request_seconds_count{endpoint="v1/classify",version="1"}')
    observe.close()
    assert counted == len(asked), "metrics do not depend on spans"
    spans = [
        span for r in requests(folder, "traces") for p in r.resource_spans for s in p.scope_spans for span in s.spans
    ]
    ids = [answer.headers["x-trace-id"] for answer in answers]
    assert all(int(trace_id, 16) for trace_id in ids)
    assert sum("trace_id=" in line for line in shown.splitlines()) <= len(spans)
    return [answer.status for answer in answers], ids, [span.trace_id.hex() for span in spans], shown


def test_request_of_a_caller_that_is_not_sampled_has_no_span_and_no_exemplar(shelf, tmp_path):
    status, ids, spans, shown = traced(shelf, tmp_path, ("a", NOT_SAMPLED))
    assert (status, ids, spans) == ([200], [f"{0xABC:032x}"], [])
    assert "trace_id=" not in shown


def test_share_of_requests_is_of_those_without_a_parent(shelf, tmp_path):
    status, ids, spans, shown = traced(shelf, tmp_path, ("a", ""), ("b", SAMPLED), sample_requests=0.0)
    assert (status, spans) == ([200, 200], [f"{0xABC:032x}"])
    assert f'trace_id="{0xABC:032x}"' in shown
    assert ids[0] not in shown


def test_failed_request_has_a_span_whatever_the_share(shelf, tmp_path):
    status, ids, spans, _ = traced(shelf, tmp_path, ("die", ""), ("die", NOT_SAMPLED), sample_requests=0.0)
    assert status == [500, 500]
    assert spans == ids[:1], "the caller's flag counts for failed ones too"


def test_sampler_of_the_environment_counts_for_requests(shelf, tmp_path, monkeypatch):
    monkeypatch.setenv(sampling.SAMPLER, "always_off")
    status, _, spans, shown = traced(shelf, tmp_path, ("a", ""), ("b", SAMPLED), ("die", ""))
    assert (status, spans) == ([200, 200, 500], [])
    assert "trace_id=" not in shown
    assert units(tmp_path / "outbox", "traces") == []
