"""Edits of our code that count for a fingerprint."""

import json
import textwrap
from pathlib import Path
from types import SimpleNamespace

import pytest

from pipelines import code


@pytest.fixture
def project(tmp_path):
    def write(file: str, text: str) -> Path:
        path = tmp_path / file
        path.parent.mkdir(parents=True, exist_ok=True)
        for folder in path.relative_to(tmp_path).parents:
            (tmp_path / folder / "__init__.py").touch() if folder != Path() else None
        path.write_text(textwrap.dedent(text))
        return path

    write.root = tmp_path
    return write


def closure(project, module="steps.one", config=None):
    code.read.cache_clear()
    code._memory.cache_clear()
    return code.closure([module], config, project.root)


def test_closure_follows_nested_and_relative_imports(project):
    project("steps/one.py", "from training import loop\ndef run():\n    from tasks.deep import thing\n")
    project("training/loop.py", "from . import batches\n")
    project("training/batches.py", "import numpy\n")
    project("tasks/deep.py", "thing = 1\n")
    project("training/unused.py", "x = 1\n")
    assert [file for file in closure(project) if "__init__" not in file] == [
        "steps/one.py",
        "tasks/deep.py",
        "training/batches.py",
        "training/loop.py",
    ]
    assert "training/__init__.py" in closure(project), "importing a package's module runs the package"


def test_closure_excludes_type_checking_and_main_imports(project):
    project(
        "steps/one.py",
        """
        from typing import TYPE_CHECKING
        if TYPE_CHECKING:
            from tasks import types
        if __name__ == "__main__":
            from steps.wrapper import main
    """,
    )
    project("tasks/types.py", "")
    project("steps/wrapper.py", "")
    assert [file for file in closure(project) if "__init__" not in file] == ["steps/one.py"]


@pytest.mark.parametrize(
    ("after", "same"),
    [
        ("def run(a):\n    # why\n    return a + 1\n", True),
        ('"""What it is."""\n\ndef run(a):\n    """Add one."""\n    return a + 1\n', True),
        ("def run( a ) :\n\n    return (a+1)\n", True),
        ("def run(a):\n    return a + 2\n", False),
        ("def run(b):\n    return b + 1\n", False),
    ],
)
def test_comments_docstrings_and_formatting_do_not_change_closure(project, after, same):
    project("steps/one.py", "def run(a):\n    return a + 1\n")
    before = closure(project)
    project("steps/one.py", after)
    assert (closure(project) == before) is same


def test_unparsable_file_is_in_closure(project):
    project("steps/one.py", "def run(:\n")
    assert list(closure(project)) == ["steps/__init__.py", "steps/one.py"]


def test_closure_excludes_standard_library(project):
    project("steps/one.py", "import os.path, json\nfrom importlib import metadata\n")
    assert list(closure(project)) == ["steps/__init__.py", "steps/one.py"]


@pytest.mark.parametrize(("init", "counts"), [("hf:folder", True), ("", False)])
def test_conditional_import_counts_only_if_config_field_is_set(project, init, counts):
    project("steps/one.py", "def run(config):\n    if config.init:\n        from tasks import imported\n")
    project("tasks/imported.py", "x = 1\n")
    assert ("tasks/imported.py" in closure(project, config=SimpleNamespace(init=init))) is counts


def test_closure_excludes_telemetry(project):
    project("steps/one.py", "from telemetry.log_lines import line\n")
    project("telemetry/log_lines.py", "line = 1\n")
    assert list(closure(project)) == ["steps/__init__.py", "steps/one.py"]


@pytest.fixture
def remembering(project, monkeypatch):
    """Whose sources are remembered; returns the number of files that the next closure parses, and its hashes."""
    memory = project.root / "cache" / "code.json"
    monkeypatch.setattr(code, "CHECKOUT", project.root)
    monkeypatch.setattr(code, "MEMORY", memory)
    monkeypatch.setattr(code.sys, "dont_write_bytecode", False)
    parse, parsed = code._parse, []
    monkeypatch.setattr(code, "_parse", lambda file, text: parsed.append(file) or parse(file, text))

    def count():
        parsed.clear()
        return closure(project), [file for file in parsed if "__init__" not in file]

    yield count, memory
    code._memory.cache_clear()


def test_parsed_files_are_remembered_until_their_text_changes(project, remembering):
    count, _ = remembering
    project("steps/one.py", "if config.init:\n    from training import loop\nfrom tasks import deep\n")
    loop = project("training/loop.py", "x = 1\n")
    project("tasks/deep.py", "")
    first, parsed = count()
    assert sorted(parsed) == ["steps/one.py", "tasks/deep.py", "training/loop.py"]
    assert count() == (first, [])
    loop.write_text("x = 2\n")
    second, parsed = count()
    assert parsed == ["training/loop.py"]
    assert {file for file in first if first[file] != second[file]} == {"training/loop.py"}
    assert "training/loop.py" not in closure(project, config=SimpleNamespace(init="")), "conditions are remembered too"


@pytest.mark.parametrize("damage", ["", "{", '{"parser": 1}', '{"parser": "PARSER", "sources": {"KEY": [1]}}'])
def test_damaged_memory_is_ignored(project, remembering, damage):
    count, memory = remembering
    project("steps/one.py", "x = 1\n")
    first, _ = count()
    content = json.loads(memory.read_text())
    damage = damage.replace("PARSER", content["parser"]).replace("KEY", next(iter(content["sources"])))
    memory.write_text(damage)
    assert count()[0] == first


def test_read_only_installation_remembers_nothing(project, remembering, monkeypatch):
    count, memory = remembering

    def refuse(path, text):
        raise PermissionError(path)

    project("steps/one.py", "x = 1\n")
    monkeypatch.setattr(code.atomic, "write_text", refuse)
    first, _ = count()
    assert count() == (first, ["steps/one.py"])
    assert not memory.exists()
