"""Naming rules: functions are verbs or nouns, docstrings are noun or verb phrases."""

import ast
import re

import pytest

from artifacts.home import CHECKOUT

CLEAN = (
    "artifacts", "benchmarks", "command_line", "deploy", "glassformer", "grafana", "models", "pipelines", "redaction", "steps",
    "tasks", "telemetry", "training",
)  # fmt: skip
_PARTICIPLE = re.compile(
    "[a-z]+ed|begun|broken|built|chosen|done|drawn|fed|given|gone|heard|held|hidden|kept|known|left|lost|made|met|paid|said|seen"
    "|sent|shown|spent|taken|taught|told|thrown|understood|unknown|written"
)
_VERBS = ("embed", "feed", "need", "proceed", "seed", "shed", "speed")


def _definitions(folder: str):
    for path in sorted((CHECKOUT / folder).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.Module):
                yield f"{path.relative_to(CHECKOUT)}: {getattr(node, 'name', 'module')}", node


def is_participle(name: str) -> bool:
    """Whether a whole name is a past participle: `told`, `_parsed`."""
    word = name.strip("_").lower()
    return word not in _VERBS and _PARTICIPLE.fullmatch(word) is not None


@pytest.mark.parametrize("folder", CLEAN)
def test_no_function_name_is_a_bare_participle(folder):
    found = [
        where
        for where, node in _definitions(folder)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and is_participle(node.name)
    ]
    assert found == []


@pytest.mark.parametrize("folder", [*CLEAN, *(f"tests/{name}" for name in CLEAN)])
def test_no_docstring_begins_with_a_relative_clause(folder):
    starts = ((where, ast.get_docstring(node) or "") for where, node in _definitions(folder))
    assert [where for where, text in starts if re.match(r"(What|Who|Which)\b", text)] == []


def test_names_of_tests_begin_with_the_unit_under_test():
    starts = re.compile(r"def (test_(?:it|what|who|whoever|which|nobody)_\w+)")
    files = sorted((CHECKOUT / "tests").rglob("test_*.py"))
    assert [name for path in files for name in starts.findall(path.read_text(encoding="utf-8"))] == []


def test_participles_are_distinguished_from_verbs():
    assert [word for word in ("_told", "parsed", "made", "read", "seed", "bound", "hold") if is_participle(word)] == [
        "_told",
        "parsed",
        "made",
    ]
