"""Two dozen secrets around a whole pipeline, and in its errors: none is found anywhere afterwards."""

from __future__ import annotations

import json
import time
import urllib.request

import pytest

from telemetry import records
from tests.stack.canaries import ENVIRONMENT, SAID, SOURCES, WORDS, found_in
from tests.stack.conftest import Away
from tests.stack.live import eventually

pytestmark = [pytest.mark.stack, pytest.mark.timeout(3000)]  # the first start builds the programs


def test_planted_secrets_are_detectable_before_redaction(away: Away) -> None:
    everything = "\n".join([*ENVIRONMENT.values(), *SOURCES, SAID])
    assert found_in(everything) == WORDS
    assert len(WORDS) >= 20
    written = b"".join(unit for units in away.written.values() for unit in units)
    assert b"***" in written, "they were said, and hidden"


def test_no_planted_secret_is_printed_or_written(away: Away) -> None:
    """Segments, dead letters, logs, runs, artifacts with their reports, sidecars and model; MLflow's database and files."""
    assert found_in("\n".join(away.said)) == []
    files = [path for path in away.home.folder.rglob("*") if path.is_file()]
    kinds = {path.suffix for path in files}
    assert {".db", ".html", ".jsonl", ".json", ".safetensors"} <= kinds
    hits = {str(path): found for path in files if (found := found_in(path.read_bytes()))}
    assert hits == {}
    for units in away.written.values():
        assert [found_in(unit) for unit in units if found_in(unit)] == []


def test_no_planted_secret_reaches_a_backend(away: Away) -> None:
    live, now = away.live, time.time_ns()
    lines = eventually(
        lambda: live.logs('{service_name="glassformer"}', away.began, now),
        lambda lines: any("refused: Authorization: ***" in line for _, line, _ in lines),
    )
    assert len(lines) > 50
    assert found_in(json.dumps(lines)) == []
    series = live._get("prometheus", "/api/v1/series", **{"match[]": '{__name__!=""}'})
    assert any(one["__name__"] == "glassformer_corpus_quarantined_total" for one in series)
    assert found_in(json.dumps(series)) == []
    if live.has_tempo:
        requests = [records.request_class("traces").FromString(unit) for unit in away.written["traces"]]
        ids = {request.resource_spans[0].scope_spans[0].spans[0].trace_id.hex() for request in requests}
        traces = [eventually(lambda trace_id=trace_id: live.trace(trace_id), bool) for trace_id in ids]
        assert len(traces) == len(away.said) - 2, "one a command that ran something"
        assert found_in(json.dumps(traces)) == []
    else:
        shown = [json.dumps(records.as_dict("traces", unit)) for unit in away.receiver.units("traces")]
        assert shown
        assert found_in("".join(shown)) == []
    for path in (live.home / "stack").glob("*.log"):
        assert found_in(path.read_bytes()) == [], "nor in what a backend said itself"


def test_no_planted_secret_is_on_a_backend_configuration_page(away: Away) -> None:
    for service, path in (("loki", "/config"), ("prometheus", "/api/v1/status/config")):
        with urllib.request.urlopen(f"{away.live.services[service].address}{path}", timeout=30) as answer:
            assert found_in(answer.read()) == []
