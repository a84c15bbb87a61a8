"""telemetry/registry/: current, in the format of Weaver, and with the same names, kinds, units and attributes that are sent."""

import ast
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from telemetry import clock, registry
from telemetry.conventions import ATTRIBUTES, METRIC_ATTRIBUTES, OF_OPENTELEMETRY, PROCESS, SPAN_ATTRIBUTES
from telemetry.export import Request
from telemetry.names import EVENTS, LABELS, METRICS, SPANS, sent_as
from tests.small_training import train
from tests.telemetry.outbox_records import attributes, logs, open_observe, recorded_spans, requests, resources
from tests.telemetry.test_names import KINDS, sources

FILES = {path: text for path, text in registry.files().items() if path.suffix == ".yaml"}
CONTENT = {path.stem: yaml.safe_load(path.read_text()) for path in FILES}
DEFINITIONS = [CONTENT["glassformer"], CONTENT["ml_training"]]

# Keys of a definition of Weaver's `definition/2`: those that it must have, and those that it may have.
COMMON = {"annotations", "note"}
KEYS = {
    "attributes": ({"key", "type", "brief", "stability"}, {"examples"} | COMMON),
    "entities": ({"type", "brief", "stability", "identity"}, {"description"} | COMMON),
    "spans": ({"type", "kind", "name", "brief", "stability"}, {"attributes", "entity_associations"} | COMMON),
    "events": ({"name", "brief", "stability"}, {"attributes", "entity_associations"} | COMMON),
    "metrics": ({"name", "brief", "stability", "unit", "instrument"}, {"attributes", "entity_associations"} | COMMON),
}
VALUES = {"string_value": "string", "int_value": "int", "double_value": "double", "bool_value": "boolean"}


def of(kind: str, content: dict[str, Any], key: str = "name") -> dict[str, dict[str, Any]]:
    found = {one[key]: one for one in content[kind]}
    assert len(found) == len(content[kind]), "each name once"
    return found


def own(one: dict[str, Any]) -> str:
    return str(one["annotations"]["glassformer"]["name"])


def refs(one: dict[str, Any]) -> set[str]:
    return {ref["ref"] for ref in one.get("attributes", [])}


@pytest.mark.parametrize("path", registry.files(), ids=lambda path: path.name)
def test_committed_file_is_current(path: Path) -> None:
    assert path.read_text() == registry.files()[path], "run `python -m telemetry.registry`"


@pytest.mark.parametrize("content", DEFINITIONS, ids=["glassformer", "ml_training"])
def test_definitions_have_the_keys_and_values_of_weavers_format(content: dict[str, Any]) -> None:
    assert content["file_format"] == "definition/2"
    assert set(content) == {"file_format", *KEYS}
    attributes = {one["key"] for one in content["attributes"]}
    entities = {one["type"] for one in content["entities"]}
    for kind, (required, optional) in KEYS.items():
        for one in content[kind]:
            assert required <= set(one) <= required | optional, one
            assert one["stability"] == "development"
            assert one["brief"].endswith(".")
            listed = [*one.get("attributes", []), *one.get("identity", []), *one.get("description", [])]
            assert {ref["ref"] for ref in listed} <= attributes
            assert set(one.get("entity_associations", [])) <= entities
            name = one.get("key") or one.get("name") if kind != "spans" and kind != "entities" else one["type"]
            assert re.fullmatch(r"[a-z][a-z0-9_]*(\.[a-z0-9_]+)*", name), name
    assert {one["kind"] for one in content["spans"]} <= {"internal", "server"}
    assert {one["instrument"] for one in content["metrics"]} <= {"counter", "gauge", "histogram"}


def test_manifest_names_the_registry_by_an_address_with_a_version() -> None:
    assert set(CONTENT["manifest"]) == {"schema_url", "description", "stability"}
    assert re.fullmatch(r"https://\S+/\d+\.\d+\.\d+", CONTENT["manifest"]["schema_url"])


def test_definitions_and_sent_names_are_the_same() -> None:
    content = CONTENT["glassformer"]
    assert set(of("spans", content, "type")) == {f"glassformer.{name}" for name in SPANS}
    assert set(of("events", content)) == set(EVENTS)
    kept = {sent_as(name): entry for name, entry in METRICS.items() if not name.startswith(OF_OPENTELEMETRY)}
    found = of("metrics", content)
    assert {name: (one["instrument"], one["unit"]) for name, one in found.items()} == {
        name: (entry.kind, entry.unit) for name, entry in kept.items()
    }


def test_training_definitions_cover_all_our_names_about_training_and_no_others() -> None:
    content = CONTENT["ml_training"]
    names = {sent_as(name): entry for name, entry in METRICS.items() if name.startswith(("training.", "validation."))}
    assert {own(one): (one["instrument"], one["unit"], one["brief"][1:-1]) for one in content["metrics"]} == {
        name: (entry.kind, entry.unit, entry.meaning[1:]) for name, entry in names.items()
    }
    assert {own(one) for one in content["events"]} == {e for e in EVENTS if e.startswith(("training.", "checkpoint."))}
    assert {own(one) for one in content["spans"]} == {
        "train", "build", "interval", "validate", "checkpoint", "compile",
    }  # fmt: skip
    assert {own(one) for one in content["attributes"]} <= set(ATTRIBUTES)
    for kind, key in (("metrics", "name"), ("events", "name"), ("spans", "type"), ("attributes", "key")):
        assert all(name.startswith("ml.training.") for name in of(kind, content, key))


def test_labels_of_metrics_are_the_ones_that_a_metric_may_have() -> None:
    assert {label for labels in METRIC_ATTRIBUTES.values() for label in labels} == LABELS


def test_attributes_in_the_code_are_listed_for_their_span_or_metric() -> None:
    """Those that are given by name, in a call that names its span or metric."""
    listed = {**METRIC_ATTRIBUTES, **SPAN_ATTRIBUTES}
    found = 0
    for path, tree in sources():
        for node in ast.walk(tree):
            if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.args):
                continue
            name = node.args[0].value if isinstance(node.args[0], ast.Constant) else ""
            if KINDS.get(node.func.attr, "event") == "event" or name not in {**SPANS, **METRICS}:
                continue
            given = {each.arg for each in node.keywords if each.arg} - {"update"}
            assert given <= set(listed.get(str(name), ())), f"{path}:{node.lineno}"
            found += len(given)
    assert found > 10


def test_recorded_training_and_request_carry_defined_attributes_of_the_defined_type(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("TRACEPARENT", raising=False)
    observe = open_observe(tmp_path)
    with observe.span("pipeline"), observe.span("node", node="pretrain", step="pretrain"), observe.span("step"):
        train(tmp_path / "work", observe, max_updates=12)
        asked = {"http.route": "/v1/fill", "model": "m", "version": "3", "questions": 2, "characters": 9}
        observe.request(Request("request", clock.now_ns(), 5, 7, attributes=asked))
    observe.close()
    types = {key: one["type"] for key, one in of("attributes", CONTENT["glassformer"], "key").items()}
    defined = of("spans", CONTENT["glassformer"], "type")
    kinds = {"internal": 1, "server": 2}
    spans = recorded_spans(tmp_path)
    assert {"interval", "validate", "checkpoint", "request", "pipeline"} <= {span.name for span in spans}
    for span in spans:
        one = defined[f"glassformer.{span.name}"]
        assert span.kind == kinds[one["kind"]], span.name
        for pair in span.attributes:
            if not pair.key.startswith(OF_OPENTELEMETRY):
                assert pair.key in refs(one), span.name
                assert types[pair.key] == VALUES[pair.value.WhichOneof("value")], pair.key
    for resource in resources(tmp_path):
        assert {key for key in resource if not key.startswith(OF_OPENTELEMETRY)} == set(PROCESS)
    exemplars = [
        {pair.key: pair.value.WhichOneof("value") for pair in exemplar.filtered_attributes}
        for request in requests(tmp_path, "metrics")
        for metric in request.resource_metrics[0].scope_metrics[0].metrics
        for point in metric.histogram.data_points
        for exemplar in point.exemplars
    ]
    assert exemplars
    assert all(VALUES[one["update"]] == types["update"] for one in exemplars)
    assert {attributes(record)["event"] for record in logs(tmp_path)} <= set(of("events", CONTENT["glassformer"]))
