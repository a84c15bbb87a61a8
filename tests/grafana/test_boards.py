"""The committed dashboards are what the code says, and every panel says what it is."""

import json
import re

import pytest

from grafana.board import board
from grafana.boards import BOARDS, FOLDER, as_json
from grafana.live import Backends, panels
from grafana.panels import heat

BUILT = {name: json.loads(as_json(build())) for name, build in BOARDS.items()}


@pytest.mark.parametrize("name", BOARDS)
def test_committed_dashboard_matches_the_code(name):
    assert (FOLDER / f"{name}.json").read_text() == as_json(BOARDS[name]()), "run `python -m grafana`"


@pytest.mark.parametrize("name", BOARDS)
def test_every_panel_has_title_description_unit_and_no_data_text(name):
    assert BUILT[name]["uid"] == f"glassformer-{name}"
    for panel in panels(BUILT[name]):
        defaults = panel["fieldConfig"]["defaults"]
        assert panel["title"]
        assert panel["description"].endswith("."), panel["title"]
        assert defaults["unit"]
        assert defaults["noValue"]
        assert panel["targets"]
        assert all(target["datasource"]["uid"].startswith("${") for target in panel["targets"]), "a variable"


def test_panel_keeps_its_id_when_one_is_put_before_it():
    def ids(*panels):
        made = json.loads(as_json(board("u", "Board", "What is it?", [], {"Row": panels})))
        return {panel["title"]: panel["id"] for panel in made["panels"]}

    before, new = (heat(title, "A picture.", "s", "up") for title in ("Kept", "New"))
    alone, both = ids(before), ids(new, before)
    assert both == alone | {"New": both["New"]}
    assert len(set(both.values())) == 3


@pytest.mark.parametrize("name", BOARDS)
def test_panels_do_not_overlap_and_have_unique_ids(name):
    found = BUILT[name]["panels"]
    assert len({panel["id"] for panel in found}) == len(found), "two panels of one kind and title: name one otherwise"
    assert all(0 < panel["id"] < 2**31 for panel in found)
    cells = [
        (x, y)
        for panel in found
        for place in [panel["gridPos"]]
        for x in range(place["x"], place["x"] + place["w"])
        for y in range(place["y"], place["y"] + place["h"])
    ]
    assert len(cells) == len(set(cells))
    assert max(x for x, _ in cells) < 24


@pytest.mark.parametrize("name", BOARDS)
def test_links_name_variables_of_their_board_and_of_grafana(name):
    offered = {"__url_time_range", "__value", "__field", "__from", "__to"}
    offered |= {variable["name"] for variable in BUILT[name]["templating"]["list"]}
    for panel in panels(BUILT[name]):
        for override in panel["fieldConfig"].get("overrides", []):
            for made in (p["value"] for p in override["properties"] if p["id"] == "links"):
                assert all("%24" not in link["url"] for link in made), "a variable that was quoted is none"
                assert {found for link in made for found in re.findall(r"\$\{(\w+)", link["url"])} <= offered
                if "${__field" in json.dumps(made):
                    assert override["matcher"]["options"] in {target["refId"] for target in panel["targets"]}


@pytest.mark.parametrize("name", BOARDS)
def test_annotations_hold_their_query_for_both_data_sources_and_name_variables_of_the_board(name):
    variables = {variable["name"] for variable in BUILT[name]["templating"]["list"]}
    found = BUILT[name]["annotations"]["list"]
    assert [one["name"] for one in found] == ["Promotions", "Roll-backs", "Deployments", "Alerts"]
    for one in found:
        assert one["expr"] == one["target"]["expr"]
        assert one["enable"]
        assert one["titleFormat"]
        assert set(re.findall(r"\$\{?(\w+)", json.dumps(one))) <= variables


def test_events_of_an_alert_are_the_moments_at_which_it_began():
    class Recording(Backends):
        def get(self, source, path, **parameters):
            fired = [[at, "1"] for at in (100, 115, 130, 400, 415)]
            return {
                "data": {"resultType": "matrix", "result": [{"metric": {"alertname": "DiskFilling"}, "values": fired}]}
            }

    asked = {
        "name": "Alerts",
        "iconColor": "#D55E00",
        "datasource": {"type": "prometheus"},
        "target": {"expr": "ALERTS"},
    }
    events = Recording({"prometheus": ""}, 0.0, 600.0).events({"annotations": {"list": [asked]}})
    assert [(event.at, event.text) for event in events] == [(100, "DiskFilling"), (400, "DiskFilling")]


def test_variables_are_filled_in_as_grafana_does():
    backends = Backends({}, 1_000.0, 1_000.0 + 3_600, {"run": "r1"})
    assert backends.fill('x{run=~"$run"}[$__range:1m]') == 'x{run=~"r1"}[3600s:1m]'
    assert backends.fill("${run} ${run:regex} $unknown $__interval") == "r1 r1 $unknown 15s"


def test_curves_end_at_the_end_of_the_time_range():
    asked = {}

    class Recording(Backends):
        def get(self, source, path, **parameters):
            asked.update(parameters)
            return {"data": {"resultType": "matrix", "result": []}}

    panel = {"datasource": {"type": "prometheus"}}
    Recording({"prometheus": ""}, 1_000.0, 1_100.7).ask(panel, {"expr": "up"})
    assert asked == {"query": "up", "step": 15, "start": pytest.approx(1_010.7), "end": 1_100.7}
