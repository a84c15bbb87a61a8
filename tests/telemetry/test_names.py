"""Every name that the code says is listed, under the right kind, and every listed name is said somewhere."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from telemetry import names

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("artifacts", "deploy", "models", "pipelines", "steps", "tasks", "telemetry", "training")
KINDS = {
    "log": "event",
    "_log": "event",
    "phase": "span",
    "span": "span",
    "span_since": "span",
    "past": "span",
    "metric": "gauge",
    "count": "counter",
} | {"measure": "histogram"}
LISTED = {
    "event": names.EVENTS,
    "span": names.SPANS,
    **{
        kind: {name: told for name, told in names.METRICS.items() if told.kind == kind}
        for kind in ("gauge", "counter", "histogram")
    },
}


def sources() -> Iterator[tuple[Path, ast.Module]]:
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            if path not in (ROOT / "telemetry" / "names.py", ROOT / "telemetry" / "conventions.py"):
                yield path.relative_to(ROOT), ast.parse(path.read_text())


def literals(node: ast.expr) -> list[str]:
    return [part.value for part in ast.walk(node) if isinstance(part, ast.Constant) and isinstance(part.value, str)]


def said() -> Iterator[tuple[str, str, str]]:
    """(where, kind, name) of each call of `observe`, or of `self` within Observe, that has a literal name."""
    for path, tree in sources():
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "Request" and node.args:
                yield from ((f"{path}:{node.lineno}", "span", name) for name in literals(node.args[0]))
            if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.args):
                continue
            owner = ast.unparse(node.func.value).rpartition(".")[2]
            within = owner == "observe" or (owner == "self" and path.name == "observe.py")
            if within and node.func.attr in KINDS:
                for name in literals(node.args[0]):
                    yield f"{path}:{node.lineno}", KINDS[node.func.attr], name


def test_source_scan_finds_telemetry_calls() -> None:
    assert sum(1 for _ in said()) > 20


def test_every_used_name_is_listed_under_its_kind() -> None:
    unknown = [f"{where}: {kind} {name!r}" for where, kind, name in said() if name not in LISTED[kind]]
    assert not unknown


def test_every_listed_name_is_used() -> None:
    found = {(kind, name) for _, kind, name in said()}
    # A metric may be picked from a table and passed as a variable: its dotted name stands in the source all the same.
    dotted = {
        node.value
        for _, tree in sources()
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }
    unused = [
        f"{kind} {name!r}"
        for kind, listed in LISTED.items()
        for name in listed
        if (kind, name) not in found and not (kind not in ("event", "span") and name in dotted)
    ]
    assert not unused, "remove them from telemetry/names.py, or say them"


def test_each_name_has_a_meaning_and_each_metric_a_unit() -> None:
    everything = {**names.EVENTS, **names.SPANS, **names.METRICS}
    assert all(told.meaning and not told.meaning.endswith(".") for told in everything.values())
    assert all(told.unit for told in names.METRICS.values())
    assert all("." in name and name == name.lower() for name in {**names.EVENTS, **names.METRICS})


def test_an_unknown_name_raises_in_tests() -> None:
    with pytest.raises(ValueError, match=r"'no\.such' is not a name of gauge kind"):
        names.is_known("no.such", "gauge")


def test_a_name_of_another_kind_is_unknown() -> None:
    assert names.is_known("training.loss", "gauge")
    with pytest.raises(ValueError, match=r"'training\.loss' is not a name of counter kind"):
        names.is_known("training.loss", "counter")


def test_unknown_name_is_reported_once_outside_tests(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("PYTEST_CURRENT_TEST")
    monkeypatch.delenv("GLASSFORMER_STRICT_TELEMETRY", raising=False)
    assert not names.is_known("never.heard", "event")
    assert not names.is_known("never.heard", "event")
    assert capsys.readouterr().err.count("never.heard") == 1
