"""Hostile or careless records arrive in the real backends bounded, escaped, counted, and as one entry."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from telemetry import Observe, delivery_state
from telemetry.labels import MOST_SERIES
from tests.stack.conftest import Away
from tests.stack.live import Live, eventually

pytestmark = [pytest.mark.stack, pytest.mark.timeout(3000)]  # the first start builds the programs
FORGED = 'ok\n2026-01-01T00:00:00Z level=error forged\r\x1b[2J\x1b[31mred\x00\x9b31m\u202egnp.exe", "level": "error'
BROKEN = b"caf\xe9 \xff\xfe".decode("utf-8", "surrogateescape")
WIDE = "\U0001f600" * 3_900  # four bytes each: characters are not what a backend counts
RUN = "hostile"


@pytest.fixture(scope="module")
def said(away: Away, tmp_path_factory: pytest.TempPathFactory) -> tuple[Live, Path, int]:
    folder, began, live = tmp_path_factory.mktemp("hostile"), time.time_ns(), away.live
    observe = Observe.open(
        "glassformer", pipeline="docs", run=RUN, step="hostile", node="hostile", outbox=folder / "outbox",
        log_file=folder / "log.jsonl", terminal=False,
    )  # fmt: skip
    with observe.span("step", **{f"a{number}": WIDE for number in range(200)}):
        observe.log("corpus.written", "long " + "x" * 1_000_000)
        observe.log("corpus.written", "wide " + "\U0001f600" * 1_000_000)
        observe.log("corpus.written", "many", **{f"f{number}": number for number in range(10_000)})
        observe.log("corpus.written", "large", **{f"f{number}": WIDE for number in range(10_000)})
        observe.log("corpus.written", FORGED, **{FORGED: FORGED, BROKEN: BROKEN, "": "no name", "a.b": 1, "a_b": 2})
        observe.log("corpus.written", f"broken {BROKEN}")
        observe.log("corpus.written", "numbers", big=2**80, nan=float("nan"), deep=[[[[{"a": float("inf")}]]]])
        for number in range(10_000):
            observe.count("corpus.quarantined", 1, reason=f"{number} {FORGED}")
            observe.metric("corpus.rows", number, split=f"split {number} {BROKEN}")
    observe.close()
    _deliver(folder, live)
    return live, folder, began


def _deliver(folder: Path, live: Live) -> None:
    from telemetry.endpoints import endpoints
    from telemetry.shipper import Shipper

    working = Shipper(folder / "outbox", endpoints(live.environment), print)
    working.start()
    assert working.drain(30, patient=True)


def test_hostile_records_are_not_refused(said: tuple[Live, Path, int]) -> None:
    _, folder, _ = said
    letters = [file.read_text() for file in (folder / "outbox" / "dead-letter").glob("*")]
    assert letters == []
    assert delivery_state.Delivered.read(folder / "outbox").signals["logs"].delivered >= 8


def test_every_record_is_one_bounded_and_escaped_loki_entry(said: tuple[Live, Path, int]) -> None:
    live, _, began = said
    lines = eventually(
        lambda: live.logs(f'{{glassformer_step="hostile"}} | glassformer_run="{RUN}"', began, time.time_ns()),
        lambda lines: len(lines) >= 9,
    )
    by_word = {line.split()[0]: (line, labels) for _, line, labels in lines}
    assert len(lines) == 9, "began, seven, and what was capped"
    assert by_word["long"][0].endswith("(980005 characters more)")
    assert len(by_word["wide"][0].encode()) < 100_000
    assert int(by_word["many"][1]["fields_left_out"]) == 10_000 - 64
    assert int(by_word["large"][1]["fields_left_out"]) > 9_900
    forged, labels = by_word["ok"]
    assert forged.startswith("ok\n2026-01-01"), "a newline stays: it cannot make two entries"
    assert "\\r\\x1b[2J\\x1b[31mred\\x00\\x9b31m\\u202egnp" in forged
    assert labels["detected_level"] == "info"
    assert by_word["broken"][0] == "broken caf\\udce9 \\udcff\\udcfe"
    assert (by_word["numbers"][1]["big"], by_word["numbers"][1]["nan"]) == (str(2**80), "nan")
    text = json.dumps(lines, ensure_ascii=False)
    assert not any(ord(c) < 32 or 127 <= ord(c) < 160 for c in text)
    assert {labels["service_name"] for _, _, labels in lines} == {"glassformer"}


def test_hostile_label_values_stay_within_the_series_limit(said: tuple[Live, Path, int]) -> None:
    live, folder, began = said
    streams = live._get("loki", "/loki/api/v1/series", **{"match[]": '{glassformer_step="hostile"}', "start": began})
    assert len(streams) == 1
    for name, kept in (("glassformer_corpus_quarantined_total", "reason"), ("glassformer_corpus_rows", "split")):
        query = f'last_over_time({{__name__="{name}", glassformer_run="{RUN}"}}[1h])'
        found = eventually(lambda query=query: live.samples(query), lambda found: len(found) > 100)
        assert len(found) == MOST_SERIES + 1
        others = [value for labels, value in found if labels[kept] == "other"]
        assert others == [10_000 - MOST_SERIES if name.endswith("_total") else 9_999]
    [(_, capped)] = live.samples(
        f'last_over_time({{__name__="glassformer_telemetry_capped_total", glassformer_run="{RUN}"}}[1h])'
    )
    assert capped == 2 * (10_000 - MOST_SERIES)
    assert f"{int(capped)} measurements" in (folder / "log.jsonl").read_text()


def test_log_file_has_one_line_of_strict_json_per_record(said: tuple[Live, Path, int]) -> None:
    _, folder, _ = said
    text = (folder / "log.jsonl").read_text()
    assert text.count("\n") == len(text.splitlines()) == 9

    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is no JSON")

    for line in text.splitlines():
        json.loads(line, parse_constant=refuse)
    assert "\x1b" not in text
