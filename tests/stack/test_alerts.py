"""Alerts from what a process says to the message: real Prometheus, Loki and Alertmanager, and receivers of our own."""

import contextlib
import json
import time
import urllib.parse
import urllib.request
from operator import itemgetter

import pytest
import yaml

from artifacts.home import CHECKOUT
from grafana.boards import panel_id
from telemetry import Observe, records
from telemetry.endpoints import endpoints
from telemetry.names import STATES
from telemetry.outbox import Outbox
from telemetry.shipper import Shipper
from tests.stack.alert_receivers import AlertReceivers
from tests.stack.live import BACKENDS, Live, eventually

pytestmark = [pytest.mark.stack, pytest.mark.timeout(3000)]  # the first start builds the programs
MINUTE = 60 * 10**9
LOKI = CHECKOUT / "loki"
RULES = {
    rule["alert"]: rule
    for file in (LOKI / "rules" / "fake").glob("*.yml")
    for group in yaml.safe_load(file.read_text())["groups"]
    for rule in group["rules"]
}
CASES = [case for file in (LOKI / "tests").glob("*.yml") for case in yaml.safe_load(file.read_text())["tests"]]


@pytest.fixture(scope="module")
def told():
    with AlertReceivers() as told:
        yield told


@pytest.fixture(scope="module")
def live(told, tmp_path_factory):
    live = Live(tmp_path_factory.mktemp("stack"), (*BACKENDS, "alertmanager", "exporter"))
    (live.home / "alertmanager.yml").write_text(configuration(told))  # as a user has it: their own file goes first
    live.up()
    yield live
    live.down()


def configuration(told):
    """The three examples in one file, with addresses of ours."""
    examples = {file.stem: yaml.safe_load(file.read_text()) for file in CHECKOUT.glob("prometheus/receivers/*.yml")}
    ours = {
        "webhook": {"url": f"{told.address}/webhook"},
        "chat": {"api_url": f"{told.address}/chat"},
        "mail": {"smarthost": told.smarthost, "require_tls": False, "auth_username": "", "auth_password": ""},
    }
    whole = examples["webhook"]
    whole["receivers"] = [
        one for name, example in examples.items() for one in example["receivers"] if one["name"] == name
    ]
    for receiver in whole["receivers"]:
        (settings,) = next(value for key, value in receiver.items() if key.endswith("_configs"))
        settings.update(ours[receiver["name"]])
    whole["route"]["routes"] = [{"receiver": name, "continue": True} for name in examples]
    return yaml.safe_dump(whole)


def ship(folder, live):
    working = Shipper(folder, endpoints(live.environment), print)
    working.start()
    working.drain(20, patient=True)


def fail(folder, live, pipeline, run, *, node):
    """Records of a pipeline's process when a node fails (with no node: when something else fails)."""
    observe = Observe.open("glassformer", pipeline=pipeline, run=run, step="pipeline", node="", outbox=folder)
    with contextlib.suppress(RuntimeError), observe.span("pipeline"):
        if node:
            observe.metric("node.state", STATES["failed"], node=node)
        raise RuntimeError("no such luck")
    observe.close()
    ship(folder, live)


def resource(request, part, **attributes):
    made = getattr(request, part).add()
    for name, value in {"service.name": "glassformer", "service.namespace": "glassformer", **attributes}.items():
        made.resource.attributes.add(key=name).value.string_value = value
    return made


def line(level, event, pipeline, run, ago=0):
    """A log record as our processes write it, some minutes ago; with `pipeline` empty, of a step that is run by hand."""
    about = {"glassformer.run": run, "glassformer.step": "pretrain"} | (
        {"glassformer.pipeline": pipeline} if pipeline else {}
    )
    request = records.request_class("logs")()
    record = resource(request, "resource_logs", **about).scope_logs.add().log_records.add()
    record.time_unix_nano = record.observed_time_unix_nano = time.time_ns() - ago * MINUTE
    record.severity_text, record.body.string_value = level.upper(), f"{event} of {run}"
    record.attributes.add(key="event").value.string_value = event
    return request.SerializeToString()


def failed_state(run, ago):
    about = {"glassformer.run": run, "glassformer.pipeline": run, "service.instance.id": run}
    request = records.request_class("metrics")()
    metric = (
        resource(request, "resource_metrics", **about)
        .scope_metrics.add()
        .metrics.add(name="glassformer.node.state", unit="{state}")
    )
    point = metric.gauge.data_points.add(time_unix_nano=time.time_ns() - ago * MINUTE, as_double=STATES["failed"])
    point.attributes.add(key="node").value.string_value = "pretrain"
    return request.SerializeToString()


def send(folder, live, signal, payloads):
    outbox = Outbox(folder)
    for payload in payloads:
        outbox.append(signal, payload)
    outbox.close()
    ship(folder, live)


def ask(live, service, path):
    with urllib.request.urlopen(live.services[service].address + path, timeout=30) as answer:
        return answer.read().decode()


@pytest.fixture(scope="module")
def sent(live, tmp_path_factory):
    """A failed step, an error of a pipeline that failed in no step, and yesterday's failure, replayed."""
    fail(tmp_path_factory.mktemp("outbox"), live, "letters", "r1", node="pretrain")
    fail(tmp_path_factory.mktemp("outbox"), live, "texts", "r2", node="")
    yesterday = tmp_path_factory.mktemp("outbox")
    send(yesterday, live, "metrics", [failed_state("yesterday", 20 * 60)])
    send(yesterday, live, "logs", [line("error", "span.failed", "yesterday", "yesterday", 20 * 60)])


def messages(told, path, word):
    return [body for where, body in told.posts if where == path and word in json.dumps(body)]


def test_loki_loads_the_alert_rules(live, sent):
    (groups,) = yaml.safe_load(ask(live, "loki", "/loki/api/v1/rules")).values()
    assert [rule["alert"] for group in groups for rule in group["rules"]] == list(RULES)

    def health():
        found = json.loads(ask(live, "loki", "/prometheus/api/v1/rules"))["data"]["groups"]
        return {rule["name"]: (rule["health"], rule["lastError"]) for group in found for rule in group["rules"]}

    eventually(health, dict.fromkeys(RULES, ("ok", "")), 40)


@pytest.fixture(scope="module")
def logged(live, sent, tmp_path_factory):
    """The lines of all cases, in Loki. Each case has runs of its own."""
    lines = [one for case in CASES for one in case["lines"]]
    runs, now = "|".join(sorted({one["run"] for one in lines})), time.time_ns()
    send(tmp_path_factory.mktemp("outbox"), live, "logs", [line(**one) for one in lines])
    query = f'{{service_name="glassformer"}} | glassformer_run=~"{runs}"'
    eventually(lambda: len(live.logs(query, now - 24 * 60 * MINUTE, now + MINUTE)), len(lines))


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["name"])
def test_log_rules_fire_as_their_test_cases_expect(live, logged, case):
    runs = {one["run"] for one in case["lines"]}
    for wanted in case["alert_rule_test"]:
        answer = live._get("loki", "/loki/api/v1/query", query=RULES[wanted["alertname"]]["expr"], time=time.time_ns())
        found = [one["metric"] for one in answer["result"] if one["metric"]["glassformer_run"] in runs]
        expected = [one["exp_labels"] for one in wanted.get("exp_alerts", [])]
        assert sorted(found, key=itemgetter("event")) == sorted(expected, key=itemgetter("event")), wanted["alertname"]


def test_log_alerts_have_the_annotations_of_their_test_cases(live, logged):
    cases = [one for case in CASES for wanted in case["alert_rule_test"] for one in wanted.get("exp_alerts", [])]
    expected = [own_runbook(live, one["exp_annotations"]) for one in cases]

    def annotations():
        return [
            one["annotations"] for one in json.loads(ask(live, "loki", "/prometheus/api/v1/alerts"))["data"]["alerts"]
        ]

    eventually(annotations, lambda found: all(one in found for one in expected), 40)


def own_runbook(live, annotations):
    """With the address of this exporter."""
    written = annotations["runbook_url"]
    return annotations | {"runbook_url": live.services["exporter"].address + urllib.parse.urlsplit(written).path}


def test_failed_step_sends_an_alert_for_its_pipeline(live, told, sent):
    [message, *_] = eventually(lambda: messages(told, "/webhook", '"r1"'), bool, 90)
    assert message["groupLabels"] == {"glassformer_pipeline": "letters"}
    [alert] = [one for one in message["alerts"] if one["labels"]["glassformer_run"] == "r1"]
    assert alert["labels"] == {
        "alertname": "StepFailed",
        "severity": "critical",
        "glassformer_pipeline": "letters",
        "glassformer_run": "r1",
        "node": "pretrain",
    }
    assert alert["annotations"]["description"] == "letters, run r1: node pretrain ended with an error."
    assert alert["annotations"]["dashboard"] == "/d/glassformer-run?var-run=r1"
    panel = str(panel_id("glassformer-run", "state-timeline", "Nodes"))
    assert (alert["annotations"]["__dashboardUid__"], alert["annotations"]["__panelId__"]) == ("glassformer-run", panel)
    with urllib.request.urlopen(alert["annotations"]["runbook_url"], timeout=30) as page:
        assert page.read().startswith(b"# StepFailed\n")
    assert alert["generatorURL"].startswith(f"{live.services['prometheus'].address}/graph?")
    assert message["externalURL"] == live.services["alertmanager"].address


def test_step_failed_alert_suppresses_its_error_logged_alert(live, sent):
    def states():
        found = json.loads(ask(live, "alertmanager", "/api/v2/alerts"))
        return {
            one["labels"]["alertname"]: one["status"]["state"]
            for one in found
            if one["labels"].get("glassformer_run") == "r1"
        }

    eventually(states, {"StepFailed": "active", "ErrorLogged": "suppressed"}, 60)


def test_error_outside_a_step_alerts_from_its_log_line(live, told, sent):
    [message, *_] = eventually(lambda: messages(told, "/webhook", '"r2"'), bool, 90)
    [alert] = message["alerts"]
    assert (alert["labels"]["alertname"], alert["labels"]["event"]) == ("ErrorLogged", "span.failed")
    assert alert["annotations"]["description"] == "texts, run r2: logged span.failed at level error (1 in 15 minutes)."
    assert alert["annotations"]["dashboard"] == "/d/glassformer-logs?var-run=r2&var-event=span.failed"
    assert alert["generatorURL"].startswith(f"http://127.0.0.1:{live.ports.grafana}/explore?")


def test_mail_and_chat_alerts_are_readable(live, told, sent):
    [post, *_] = eventually(lambda: messages(told, "/chat", "run r1"), bool, 90)
    [attachment] = post["attachments"]
    assert attachment["title"] == "FIRING: letters"
    assert (
        "*Step pretrain failed* (critical): letters, run r1: node pretrain ended with an error." in attachment["text"]
    )
    runbook = f"{live.services['exporter'].address}/runbooks/StepFailed"
    assert f"{runbook}, http://127.0.0.1:3000/d/glassformer-run?var-run=r1" in attachment["text"]
    assert attachment["title_link"].startswith(live.services["alertmanager"].address)
    [mail, *_] = eventually(lambda: [one for one in told.mails if "run r1" in one.as_string()], bool, 90)
    assert mail["Subject"] == "[firing] letters: StepFailed"
    text = mail.get_body(("plain",)).get_content()
    assert "Step pretrain failed (critical, firing)" in text
    assert f"What to do: {runbook}" in text
    assert f"how to silence them: {live.services['alertmanager'].address}" in text


def test_failure_from_yesterday_is_stored_but_sends_no_alert(live, told, sent):
    eventually(lambda: messages(told, "/webhook", '"r1"'), bool, 90)  # the rules have looked at all of it
    assert live.samples('glassformer_node_state{glassformer_run="yesterday"}', time.time() - 20 * 3600 + 30)
    assert "yesterday" not in ask(live, "prometheus", "/api/v1/alerts")
    assert "yesterday" not in ask(live, "alertmanager", "/api/v2/alerts")
    assert not messages(told, "/webhook", "yesterday")
