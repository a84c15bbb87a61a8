"""Panels over updates, tokens or seconds: how values find their place on the axis."""

import json
import re

from grafana_foundation_sdk.cog.encoder import JSONEncoder
from matplotlib.figure import Figure

from grafana import axes
from grafana.drawing import draw
from grafana.live import Backends, Series

DURATION = re.compile(r"(\d+h)?(\d+m)?(\d+s)?(\d+ms)?")  # of PromQL: each unit at most once, larger ones first


def built(panel):
    return json.loads(JSONEncoder().encode(panel.build()))


def curves():
    values = {"mean": "a", "lowest": "b", "highest": "c"}
    return built(axes.curves("T", "D.", "none", values, 'glassformer_run=~"$run"', empty="None"))


def test_axis_is_the_last_query_and_the_x_of_every_frame():
    panel = curves()
    assert [target["format"] for target in panel["targets"]] == ["table"] * 4
    assert panel["targets"][-1]["expr"].endswith('(last_over_time($over{glassformer_run=~"$run"}[$__interval]))')
    assert panel["options"]["series"] == [{"x": {"matcher": {"id": "byName", "options": "Value #D"}}}]
    assert panel["options"]["mapping"] == "auto"


def test_values_are_joined_sorted_and_split_by_training():
    steps = {step["id"]: step["options"] for step in curves()["transformations"]}
    assert list(steps) == ["merge", "organize", "filterByValue", "sortBy", "partitionByValues"]
    renamed = {"Value #A": "mean", "Value #B": "lowest", "Value #C": "highest", "Value #D": "axis"}
    assert steps["organize"]["renameByName"] == renamed
    assert steps["partitionByValues"]["fields"] == ["glassformer_node", "glassformer_run"]


def test_every_smoothing_makes_a_valid_duration():
    smoothing = built(axes.smoothing())
    values = [part.split(" : ")[1] for part in smoothing["query"].split(", ")]
    assert smoothing["current"]["value"] == values[0] == "0s"
    for value in values:
        window = Backends({}, 0.0, 3600.0, {"smoothing": value}).fill(axes.WINDOW)
        assert DURATION.fullmatch(window[1:-1]), window


def test_variables_of_choice_begin_with_their_first_value():
    board = {"templating": {"list": [{**built(axes.axis()), "name": "over"}]}}
    backends = Backends({}, 0.0, 3600.0)
    backends.fill_variables(board)
    assert backends.fill("$over{}") == "glassformer_training_updates{}"


def test_preview_draws_values_over_the_axis():
    panel = {**curves(), "title": "T"}
    labels = {"glassformer_node": "pretrain", "glassformer_run": "3f2a"}
    points = {
        "A": [(0, 3.0), (15, 2.0), (30, 1.0)],
        "B": [(15, 1.5)],
        "C": [(15, 9.0)],
        "D": [(15, 100.0), (30, 200.0)],
    }
    answers = [(target, [Series(labels, points[target["refId"]])]) for target in panel["targets"]]
    place = Figure().add_subplot()
    draw(place, panel, answers, 0, 60)
    drawn = [list(zip(line.get_xdata(), line.get_ydata(), strict=True)) for line in place.lines]
    assert drawn == [[(100.0, 2.0), (200.0, 1.0)], [(100.0, 1.5)], [(100.0, 9.0)]]


def test_parameters_are_read_from_the_log_line_of_the_start():
    panel = built(axes.parameters("P", "D.", '{service_name="glassformer"}', empty="None"))
    [target] = panel["targets"]
    assert target["expr"].startswith('{service_name="glassformer"} | line_format `{"parameter":"')
    line = '{"parameter":"pretrain 3f2a",' + '{"seed": 1}'.removeprefix("{")
    assert json.loads(line) == {"parameter": "pretrain 3f2a", "seed": 1}
    place = Figure().add_subplot()
    draw(place, panel, [(target, [Series({}, [(0.0, line)])])], 0, 60)
    cells = {cell.get_text().get_text() for cell in place.tables[0].get_celld().values()}
    assert {"parameter", "pretrain 3f2a", "seed", "1"} <= cells
