"""Panels drawn without Grafana."""

from matplotlib.figure import Figure

from grafana.drawing import draw
from grafana.live import Series, spans_of

PANEL = {"title": "Where the time went", "type": "traces", "fieldConfig": {"defaults": {}}}


def span(name: str, parent: str, began: float, seconds: float) -> dict:
    at = round(began * 1e9)
    times = {"startTimeUnixNano": str(at), "endTimeUnixNano": str(at + round(seconds * 1e9))}
    return {"name": name, "spanId": name, "parentSpanId": parent, **times}


def test_waterfall_has_each_span_below_the_one_that_it_is_part_of():
    spans = [span("step", "node", 3, 5), span("pipeline", "", 1, 10), span("node", "pipeline", 2, 7),
             span("plan", "pipeline", 1.5, 0.5), span("orphan", "lost", 20, 1)]  # fmt: skip
    trace = {"resourceSpans": [{"scopeSpans": [{"spans": spans}]}]}
    axes = Figure().subplots()
    draw(axes, PANEL, [({}, spans_of(trace))], 0, 30)
    said = [text.get_text() for text in axes.texts]
    assert said == ["pipeline  10 s", "plan  0.5 s", "node  7 s", "step  5 s", "orphan  1 s"]
    assert [(bar.get_x(), bar.get_width()) for bar in axes.patches] == [(0, 10), (0.5, 0.5), (1, 7), (2, 5), (19, 1)]


def test_heat_map_has_a_column_for_each_time_of_the_query():
    start = 1_796_092_000.0
    end = start + 4140  # its 240th part is no whole second
    times = [end - 17 * place for place in range(5, -1, -1)]
    series = [Series({"le": le}, [(at, value) for at in times]) for le, value in (("1.0", 2.0), ("+Inf", 5.0))]
    axes = Figure().subplots()
    panel = {"title": "", "type": "heatmap", "fieldConfig": {"defaults": {}}}
    draw(axes, panel, [({}, series)], start, end)
    [mesh] = axes.collections
    assert mesh.get_array().tolist() == [[2.0] * 6, [3.0] * 6]
