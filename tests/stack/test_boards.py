"""Every panel of every board, and every link between the windows, after a real run of a pipeline, by the backends' own APIs."""

import json
import re
import socket
import time
import urllib.parse
import urllib.request

import pytest
import yaml

from artifacts.home import CHECKOUT
from grafana.boards import BOARDS, as_json
from grafana.live import QueryError, panels
from grafana.panels import NOTHING
from tests.stack.live import eventually
from tests.stack.window import links_of, opened

pytestmark = [pytest.mark.stack, pytest.mark.timeout(3000)]
BUILT = {name: json.loads(as_json(build())) for name, build in BOARDS.items()}
PANELS = [
    pytest.param(name, panel, id=f"{name}: {panel['title']}")
    for name, board in BUILT.items()
    for panel in panels(board)
]
# Panels that are empty after runs in which all went well, or without a GPU; each says so in its own words. All others must show
# something.
GOOD_NEWS = {
    ("pipelines", "Running now"), ("pipelines", "Alerts"), ("pipelines", "Warnings and errors"),
    ("machines", "Refused log lines"), ("machines", "Utilization"), ("machines", "GPU memory"), ("machines", "Power"),
    ("run", "Spans that failed"), ("run", "Saved by the cache"),
    ("serving", "Turned away"), ("serving", "Slow requests"),
    ("data", "Quarantined"), ("data", "Quarantined by reason"), ("data", "Left out"), ("data", "Rows left out"),
    ("data", "Labels lost by reason"), ("training", "Roll-backs"), ("pipelines", "Failed"),
    ("training", "Validation score of each run"),
}  # fmt: skip
OF_TEMPO = {("machines", "Spans taken")}  # asked of Prometheus, about Tempo


@pytest.fixture(scope="module")
def window(tmp_path_factory):
    with opened(tmp_path_factory.mktemp("window")) as found:
        print("spans are in", "Tempo" if found.live.has_tempo else "the strict receiver: there is no Tempo on PATH")
        yield found


@pytest.fixture(scope="module")
def sources():
    file = CHECKOUT / "grafana" / "provisioning" / "datasources" / "glassformer.yaml"
    return {source["uid"]: source for source in yaml.safe_load(file.read_text())["datasources"]}


def filled(window, name):
    """Backends with the board's variables chosen as a user finds them, but the run that made everything."""
    backends = window.backends
    backends.variables["run"] = window.runs[0] if name == "run" else ".*"
    backends.fill_variables(BUILT[name])
    return backends


@pytest.mark.parametrize(("name", "panel"), PANELS)
def test_every_panel_shows_data_or_its_own_no_data_text(window, name, panel):
    title, words = panel["title"], panel["fieldConfig"]["defaults"]["noValue"]
    if not window.live.has_tempo and (panel["datasource"]["type"] == "tempo" or (name, title) in OF_TEMPO):
        pytest.skip("no Tempo on PATH: the query is parsed by Grafana's own parser in tests/grafana/test_schema.py")
    if (name, title) in GOOD_NEWS:
        assert words != NOTHING
        for target in panel["targets"]:
            ask(window, name, panel, target)  # it parses and is answered
        return
    for target in panel["targets"]:
        found = eventually(lambda target=target: ask(window, name, panel, target), bool, 60)
        assert any(one.points for one in found)


def ask(window, name, panel, target):
    return filled(window, name).ask(panel, target)


def test_missing_metrics_and_invalid_queries_are_detected(window):
    panel = {"title": "x", "datasource": {"type": "prometheus"}, "fieldConfig": {"defaults": {"noValue": NOTHING}}}
    assert window.backends.ask(panel, {"expr": "no_such_metric"}) == []
    with pytest.raises(QueryError, match="parse error"):
        window.backends.ask(panel, {"expr": "sum by (glassformer_run) glassformer_training_loss"})
    with pytest.raises(QueryError, match=r"parse error|syntax error"):
        window.backends.ask({"datasource": {"type": "loki"}}, {"expr": '{service_name="glassformer"} | event=~'})


def test_every_dashboard_variable_has_values(window):
    for name, board in BUILT.items():
        backends = window.backends
        for variable in board["templating"]["list"]:
            if variable["type"] == "query":
                backends.fill_variables(board)
                if asked := re.fullmatch(r"query_result\((.+)\)", variable["query"]):
                    found = backends.ask({}, {"expr": asked[1], "instant": True})
                    titles = {one.labels["glassformer_run"]: one.labels.get("title", "") for one in found}
                    assert set(titles) == set(window.runs)
                    assert all(title.endswith(f" {run[:8]}") for run, title in titles.items())
                    continue
                asked = re.fullmatch(r"label_values\((.+), (\w+)\)", variable["query"])
                path = f"/api/v1/label/{asked[2]}/values"
                values = backends.get("prometheus", path, **{"match[]": backends.fill(asked[1])})["data"]
                assert values, f"{name}: {variable['name']}"


def test_logs_link_to_traces_runs_and_mlflow(window, sources):
    """Fields that Loki's data source turns into links are on the lines, and name something that exists."""
    lines = window.backends.ask(
        {"datasource": {"type": "loki"}}, {"expr": '{service_name="glassformer"} | event="run.opened"'}
    )
    fields = {field["matcherRegex"]: field for field in sources["loki"]["jsonData"]["derivedFields"]}
    assert set(fields) == {"trace_id", "glassformer_run", "mlflow_url"}
    assert len(lines) == 2, "a line each run"
    for line in lines:
        assert set(fields) <= set(line.labels)
        assert eventually(lambda line=line: window.spans(line.labels["trace_id"]), bool, 60)
        assert line.labels["glassformer_run"] in window.runs
        assert_board(
            window, fields["glassformer_run"]["url"].replace("$${__value.raw}", line.labels["glassformer_run"])
        )
        assert mlflow_run(window, line.labels["mlflow_url"])["data"]["tags"]
    assert fields["trace_id"]["datasourceUid"] == "tempo"


def test_every_log_line_has_trace_run_and_host(window):
    """Not only those that were looked at above."""
    lines = window.backends.ask(
        {"datasource": {"type": "loki"}}, {"expr": '{service_name="glassformer"} | event != ""'}
    )
    assert len(lines) > 20
    assert all(re.fullmatch(r"[0-9a-f]{32}", line.labels["trace_id"]) for line in lines)
    assert {line.labels["host_name"] for line in lines} == {socket.gethostname()}
    runs = {line.labels["glassformer_run"] for line in lines if line.labels["glassformer_step"] != "serving"}
    assert runs == set(window.runs)


def test_serving_exemplar_links_to_its_request_and_the_training_trace(window):
    def exemplars():
        asked = {"query": "glassformer_serving_request_seconds_bucket", "start": window.started, "end": time.time()}
        found = window.backends.get("prometheus", "/api/v1/query_exemplars", **asked)["data"]
        return [one["labels"]["trace_id"] for series in found for one in series["exemplars"]]

    trace_id = eventually(exemplars, bool, 60)[0]
    (span,) = eventually(lambda: window.spans(trace_id), bool, 60)
    assert (span["name"], span["attributes"]["model"]) == ("request", "glassformer-tiny")
    run = json.loads((window.home.state / "runs" / window.runs[0] / "run.json").read_text())
    assert span["links"] == [run["trace_id"]]


def test_spans_link_to_logs_metrics_and_mlflow(window, sources):
    run = json.loads((window.home.state / "runs" / window.runs[0] / "run.json").read_text())
    spans = eventually(
        lambda: window.spans(run["trace_id"]), lambda found: any(s["name"] == "pipeline" for s in found), 60
    )
    settings = sources["tempo"]["jsonData"]
    trained = next(
        span for span in spans if span["name"] == "step" and span["resource"]["glassformer.step"] == "pretrain"
    )
    logql = settings["tracesToLogsV2"]["query"].replace("$${__trace.traceId}", run["trace_id"])
    logql = re.sub(r'\$\$\{__span\.tags\["([^"]+)"\]\}', lambda tag: trained["resource"][tag[1]], logql)
    assert window.backends.ask({"datasource": {"type": "loki"}}, {"expr": logql})
    tags = ", ".join(
        f'{tag["value"]}="{trained["resource"][tag["key"]]}"' for tag in settings["tracesToMetrics"]["tags"]
    )
    for query in settings["tracesToMetrics"]["queries"]:
        expr = query["query"].replace("$$__tags", tags)
        assert window.backends.ask({}, {"expr": expr}), expr
    for name, attribute in (("pipeline", "cicd.pipeline.run.url.full"), ("node", "cicd.pipeline.task.run.url.full")):
        found = [span["attributes"][attribute] for span in spans if span["name"] == name]
        assert found
        assert all(mlflow_run(window, address)["info"]["status"] == "FINISHED" for address in found)


def test_training_exemplars_link_to_their_spans(window, sources):
    [destination] = sources["prometheus"]["jsonData"]["exemplarTraceIdDestinations"]
    run = json.loads((window.home.state / "runs" / window.runs[0] / "run.json").read_text())
    asked = {"query": f'glassformer_training_update_loss_bucket{{glassformer_run="{run["id"]}"}}'}
    backends = window.backends
    found = backends.get("prometheus", "/api/v1/query_exemplars", start=backends.start, end=backends.end, **asked)[
        "data"
    ]
    exemplars = [exemplar["labels"] for series in found for exemplar in series["exemplars"]]
    assert exemplars
    assert {labels[destination["name"]] for labels in exemplars} == {run["trace_id"]}
    spans = {span["id"] for span in window.spans(run["trace_id"])}
    assert {labels["span_id"] for labels in exemplars} <= spans
    assert all(int(labels["update"]) > 0 for labels in exemplars)


def test_every_mlflow_run_links_to_dashboard_logs_and_trace(window):
    every = [one["experiment_id"] for one in mlflow(window, "experiments/search", max_results=100)["experiments"]]
    found = mlflow(window, "runs/search", experiment_ids=every, max_results=100)["runs"]
    assert len(found) >= 16, "two pipelines, seven nodes each, and promote"
    for run in found:
        tags = {tag["key"]: tag["value"] for tag in run["data"]["tags"]}
        for name in ("dashboard", "logs"):
            assert_board(window, tags[f"glassformer.{name}"])
            assert tags[f"glassformer.{name}"].split("&from=")[0] in tags["mlflow.note.content"]
        panes = json.loads(urllib.parse.parse_qs(urllib.parse.urlsplit(tags["glassformer.trace"]).query)["panes"][0])
        assert window.spans(panes["trace"]["queries"][0]["query"])


def test_dashboard_links_name_existing_dashboards_and_variables(window):
    for board in BUILT.values():
        assert [link["tags"] for link in board["links"]] == [["glassformer"]]
        assert "glassformer" in board["tags"]
        for panel in panels(board):
            for link in links_of(panel):
                if link["url"].startswith("/d/"):
                    assert_board(window, of_run(link["url"], window.runs[0]))


def of_run(url, run):
    """A link's address as Grafana makes it of a curve or a cell of this run."""
    for variable in ("${__value.raw}", "${__field.labels.glassformer_run}"):
        url = url.replace(variable, run)
    return url.replace("${__url_time_range}", "from=now-1h")


@pytest.mark.parametrize("place", ["curve", "cell"])
def test_links_of_a_run_ask_for_its_trace_and_its_page_in_mlflow(window, place):
    title = {"curve": "Training loss", "cell": "Results"}[place]
    [panel] = [panel for panel in panels(BUILT["training"]) if panel["title"] == title]
    _, trace, page = links_of(panel)
    run = json.loads((window.home.state / "runs" / window.runs[0] / "run.json").read_text())
    asked = {}
    for link in (trace, page):
        address = urllib.parse.urlsplit(of_run(link["url"], run["id"]))
        [pane] = json.loads(urllib.parse.parse_qs(address.query)["panes"][0]).values()
        assert pane["range"] == {"from": "${__from}", "to": "${__to}"}
        [asked[pane["datasource"]]] = pane["queries"]
    [line] = window.backends.ask({"datasource": {"type": "loki"}}, {"expr": asked["${loki}"]["expr"]})
    assert mlflow_run(window, line.labels["mlflow_url"])["info"]["run_id"] == run["mlflow_runs"][""]
    assert asked["${tempo}"]["query"] == f'{{ resource.glassformer.run = "{run["id"]}" }}'
    if window.live.has_tempo:
        found = eventually(lambda: window.backends.ask({"datasource": {"type": "tempo"}}, asked["${tempo}"]), bool, 60)
        assert run["trace_id"] in {one.labels["trace"] for one in found}


@pytest.mark.parametrize(("name", "panel"), PANELS)
def test_curves_have_the_labels_that_their_links_name(window, name, panel):
    for override in panel["fieldConfig"].get("overrides", []):
        named = set(re.findall(r"\$\{__field\.labels\.(\w+)\}", json.dumps(override)))
        for target in panel["targets"] if named else []:
            if override["matcher"] == {"id": "byFrameRefID", "options": target["refId"]}:
                found = ask(window, name, panel, target)
                assert all(named <= set(one.labels) for one in found)


def assert_board(window, address):
    """A dashboard's address names one of ours, with variables that it has and values that Prometheus knows."""
    parts = urllib.parse.urlsplit(address)
    board = next(board for board in BUILT.values() if board["uid"] == parts.path.removeprefix("/d/"))
    variables = {variable["name"]: variable for variable in board["templating"]["list"]}
    for name, [value] in urllib.parse.parse_qs(parts.query).items():
        if name.startswith("var-"):
            asked = variables[name.removeprefix("var-")]["query"]
            by_label = re.fullmatch(r"label_values\((.+), (\w+)\)", asked)
            label = by_label[2] if by_label else "glassformer_run"
            assert by_label or asked.startswith("query_result(max by (glassformer_run, ")
            values = window.backends.get("prometheus", f"/api/v1/label/{label}/values")["data"]
            assert value in values, address


def mlflow_run(window, address):
    """The run of this page, from MLflow's own API."""
    found = re.fullmatch(r"(http.+)/#/experiments/(\w+)/runs/(\w+)", address)
    assert found[1] == window.live.services["mlflow"].address
    run = mlflow(window, "runs/get", run_id=found[3])["run"]
    assert run["info"]["experiment_id"] == found[2]
    return run


def mlflow(window, path, **asked):
    address = f"{window.live.services['mlflow'].address}/api/2.0/mlflow/{path}"
    body = json.dumps(asked).encode() if path.endswith("search") else None
    address += "" if body else f"?{urllib.parse.urlencode(asked)}"
    request = urllib.request.Request(address, body, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=30) as answer:
        return json.load(answer)


def test_overview_numbers_are_correct_after_two_good_runs(window):
    """The overview's numbers after two good runs."""
    found = {panel["title"]: panel for panel in panels(BUILT["pipelines"]) if panel["type"] == "stat"}

    def value(title):
        [answer] = ask(window, "pipelines", found[title], found[title]["targets"][0])
        return answer.points[-1][1]

    assert value("Alerts that fire") == 0
    assert value("Runs") == 2
    assert ask(window, "pipelines", found["Failed"], found["Failed"]["targets"][0]) == []
    assert value("From the cache") == pytest.approx(7 / 14)
    assert value("Saved") > 0
    assert eventually(lambda: value("Telemetry that waits"), lambda waits: waits < 100_000, 60) >= 0
    assert time.time() > window.started
