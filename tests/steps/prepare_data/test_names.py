"""`names`: a docstring without its name, and the name in words."""

import pytest

from steps.prepare_data import docstrings, names
from steps.prepare_data.config import Config
from steps.prepare_data.source_choice import source_of
from telemetry import Observe


@pytest.mark.parametrize(
    ("file", "name", "expected"),
    [
        ("numpy/linalg/_linalg.py", "matrix_norm", "linalg matrix norm"),
        ("pandas/core/frame.py", "DataFrame.groupby", "frame data groupby"),
        ("http/server.py", "HTTPServer.server_bind2", "server http bind 2"),
        ("csv.py", "DictReader", "csv dict reader"),
        ("networkx/__init__.py", "Graph", "graph"),
        ("mlflow/sklearn/__init__.py", "log_model", "log model"),
        ("torch/nn/modules/numpy_like.py", "F", "like f"),
    ],
)
def test_query_turns_names_into_search_words(file, name, expected):
    assert " ".join(names.query(file, name)) == expected


@pytest.mark.parametrize(
    ("text", "own", "expected"),
    [
        ("log_model, or a.log_model(x); log_models not", "log_model", "this, or a.this(x); log_models not"),
        ("The norm of x: norm(x), `norm`, a.norm", "norm", "The norm of x: this(x), `this`, a.this"),
        ("A DictReader reads", "DictReader", "A this reads"),
    ],
)
def test_own_name_in_docstring_is_replaced(text, own, expected):
    assert names.without(text, own) == expected


def test_public_docstrings_are_read_without_running_code(tmp_path):
    path = tmp_path / "module.py"
    path.write_text(
        '"""Module."""\nraise SystemExit\nclass A:\n    """Of numpy."""\n    def _hidden(self): "No."\n    def __len__(self): "No."\n'
        '    def shown(self): "Calls shown()."\n'
    )
    assert names.public_docstrings(str(path)) == [("A", 3, "Of library."), ("A.shown", 7, "Calls this().")]
    path.write_text("def (")
    assert names.public_docstrings(str(path)) == []


def test_rows_are_pairs_with_the_groups_of_the_docs_corpus():
    rows = list(names.read("fsspec", 1, Observe.silent()))
    assert len(rows) > 100
    of_docs = {row.id: row.group for row in docstrings.read("fsspec", 1, Observe.silent())}
    for row in rows:
        assert of_docs[row.id] == row.group, "so that a module is in the same split of both corpora"
        assert row.label == "fsspec"
        assert len(row.target.split()) >= 2
        assert not docstrings.leaks(f"{row.text} {row.target}")
    assert source_of(Config(source="names")).content(Config(source="names")) == "pairs"
