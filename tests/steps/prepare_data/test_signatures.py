"""`signatures`: what a docstring says of its function's own parameters is marked, and nothing else is."""

import ast
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from artifacts.corpus import Corpus
from artifacts.errors import UserError
from steps.prepare_data import docstrings, signatures
from steps.prepare_data.config import Config
from steps.prepare_data.documents import Parts
from steps.prepare_data.entries import entries
from steps.prepare_data.rows import Row, clean_row
from steps.prepare_data.signatures import is_same, mentions, parameters_of
from steps.prepare_data.spans import SpansError, parse_spans
from telemetry import Observe
from tests.prepared import prepare, sentences, write_jsonl


def marked(text, signature):
    """(kind, words) of each mention, in order, for `def f(signature)`."""
    node = ast.parse(f"def f({signature}): ...").body[0]
    found = mentions(text, parameters_of(node))
    assert found == sorted(found)
    return [(kind[0], text[start:end]) for start, end, kind in found]


NUMPYDOC = """Sum over an axis.

Parameters
----------
x, y : array_like of shape (n,)
    The numbers.
axis : int or None, optional
    The axis. If None, all of x is summed. Default is None.
how : {'fast', 'exact'}, default='fast'
    See `how` elsewhere, and `other`.
rest : int
    Is no parameter.

Returns
-------
axis : int
    What it is not an entry of.
"""


def test_numpydoc_parameters_types_and_defaults_are_marked():
    assert marked(NUMPYDOC, "x, y, axis=None, how='fast'") == [
        ("P", "x"), ("P", "y"), ("T", "array_like of shape (n,)"), ("P", "axis"), ("T", "int or None"), ("V", "None"), ("V", "None"),
        ("P", "how"), ("T", "{'fast', 'exact'}"), ("V", "fast"), ("P", "how"),
    ]  # fmt: skip


def test_google_style_parameters_types_and_defaults_are_marked():
    text = """Wait.

    Args:
        seconds (float, optional): How long. Defaults to 0.5.
        *more: And more.
        unknown (int): Of another function.

    Returns:
        seconds: no entry.
    """
    assert marked(text, "seconds=0.5, *more") == [("P", "seconds"), ("T", "float"), ("V", "0.5"), ("P", "more")]


def test_sphinx_parameters_types_and_defaults_are_marked():
    text = (
        "Go.\n\n:param int n: how often, by default: 3\n:param path: ``None`` for here\n:type path: str or Path\n"
        ":param a: str\n:param unknown: int\n"
    )
    assert marked(text, "n=3, path=None, a=1") == [
        ("T", "int"), ("P", "n"), ("V", "3"), ("P", "path"), ("V", "None"), ("P", "path"), ("T", "str or Path"), ("P", "a"),
        ("T", "str"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "signature", "expected"),
    [
        ("The axis of x; n_jobs at once.", "axis, x, n_jobs", [("P", "n_jobs")]),
        ("See `axis`, ``x`` and *n*, not `axis.more` or :func:`x`.", "axis, x, n", [("P", "axis"), ("P", "x"), ("P", "n")]),
        ("Same as axis=0, or ``axis=1``; axis == 2 is no setting.", "axis=0", [("P", "axis"), ("V", "0"), ("P", "axis")]),
        ("A call of n_jobs() or a.n_jobs or my-n_jobs is none.", "n_jobs", []),
        (">>> f(n_jobs=1)\nn_jobs\n\nWith n_jobs.", "n_jobs=1", [("P", "n_jobs")]),
        ("A `Frame` or :class:`~m.Frame`, no plain Frame.", "x: 'list[Frame]'", [("T", "Frame"), ("T", "m.Frame")]),
        ("Nothing of its own.", "axis, x=None", []),
    ],
)  # fmt: skip
def test_parameter_mentions_in_prose_are_marked(text, signature, expected):
    assert marked(text, signature) == expected


@pytest.mark.parametrize(
    ("token", "default", "same"),
    [
        ("1e-3", "0.001", True), ("1", "True", False), ("True", "True", True), ("'a'", "'a'", True), ("a", "'a'", True),
        ("1", "1.0", True), ("np.inf", "np.inf", True), ("inf", "np.inf", False), ("()", "()", True), ("b", "'a'", False),
        ("-1", "-1", True), ("x(", "'a'", False),
    ],
)  # fmt: skip
def test_is_same_recognizes_the_default_value(token, default, same):
    assert is_same(token, ast.parse(default, mode="eval").body) is same


def test_class_has_init_parameters_and_code_is_not_run(tmp_path):
    path = tmp_path / "module.py"
    path.write_text(
        'raise SystemExit\nclass A:\n    """Of `size`."""\n    def __init__(self, size): ...\n'
        '    def silent(self, size):\n        """Says nothing."""\n'
    )
    assert signatures.functions_with_mentions(str(path)) == [("A", 2, "Of `size`.", '[[4,8,"PARAMETER"]]')]
    path.write_text("def (")
    assert signatures.functions_with_mentions(str(path)) == []


def test_rows_have_the_groups_of_the_docs_corpus():
    rows = list(signatures.read("fsspec", 1, Observe.silent()))
    assert len(rows) > 100
    of_docs = {row.id: row.group for row in docstrings.read("fsspec", 1, Observe.silent())}
    assert all(of_docs[row.id] == row.group for row in rows), "so that a module is in the same split of both corpora"
    for row in rows:
        spans = parse_spans(row.spans, row.text)
        assert spans
        assert {kind for _, _, kind in spans} <= {"PARAMETER", "TYPE", "VALUE"}


@pytest.mark.parametrize(
    "text", ["", "Parameters\n----------", "Args:\n", "Args:\n  x", ":param", "Parameters\n---\nx : "]
)
def test_incomplete_docstring_entries_have_no_type(text):
    for entry in entries(text):
        assert entry.type is None


@given(st.text("ab\n\r\x01 \t_", max_size=40), st.data())
def test_spans_follow_their_text_through_cleaning_and_cutting(text, data):
    """Cleaning takes characters away; a span still holds what it held, cleaned, and a cut one is gone."""
    edges = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=6, unique=True)))
    spans = [[a, b, "X"] for a, b in zip(edges[::2], edges[1::2], strict=False)]
    row = clean_row(Row("id", text, spans=json.dumps(spans)), "id")
    if not isinstance(row, Row):
        return
    row = next(Parts(20, "cut").of(row))
    clean = text.replace("\r\n", "\n").replace("\r", "\n").replace("\x01", "")
    held = [text[a:b].replace("\r\n", "\n").replace("\r", "\n").replace("\x01", "") for a, b, _ in spans]
    assert row.text in clean
    found = [row.text[a:b] for a, b, _ in parse_spans(row.spans, row.text)]
    left = iter(held)
    assert all(any(words.strip() in whole for whole in left) for words in found)


def test_user_supplied_spans_are_kept_in_the_corpus(tmp_path):
    texts = sentences(60)
    rows = [{"text": text, "marks": [[0, 5, "NAME"], {"start": 6, "end": 9, "label": "PLACE"}]} for text in texts]
    rows[0]["marks"] = json.dumps([[0, 3, "NAME"]])
    rows[1]["marks"] = None
    source = write_jsonl(tmp_path / "rows.jsonl", rows)
    corpus = Corpus(prepare(tmp_path, source, spans_column="marks", validation_share=0.2, test_share=0.2))
    found = {row["text"]: row["spans"] for split in ("train", "validation", "test") for row in corpus.rows(split)}
    assert found[texts[0]] == '[[0,3,"NAME"]]'
    assert found[texts[1]] is None
    assert found[texts[2]] == '[[0,5,"NAME"],[6,9,"PLACE"]]'
    assert set(corpus.info["spans_by_kind"]["test"]) == {"NAME", "PLACE"}
    assert corpus.info["content"] == "spans"


@pytest.mark.parametrize(
    ("spans", "why"),
    [
        ([[0, 99999, "A"]], "a span outside its text"), ([[3, 3, "A"]], "a span outside its text"), ([[0, 5, "A"], [4, 6, "A"]], "overlap"),
        ([[0, 5]], "not .start, end, kind."), ([["0", 5, "A"]], "not .start"), ("[[0", "not JSON"), (7, "no list"),
        ([[0, 5, "A\nB"]], "not .start"), ([[True, 5, "A"]], "not .start"), ({"start": 0}, "no list"),
    ],
)  # fmt: skip
def test_invalid_spans_error_names_reason_and_row(tmp_path, spans, why):
    with pytest.raises(SpansError, match=why):
        parse_spans(spans, "a text of some words")
    rows = [{"text": text, "spans": [[0, 3, "A"]]} for text in sentences(40)]
    source = write_jsonl(tmp_path / "rows.jsonl", [*rows, {"text": sentences(1, 9)[0], "spans": spans}])
    with pytest.raises(UserError, match=f"1 of 41 rows cannot be used .*{why}.*rows.jsonl:41"):
        prepare(tmp_path, source, spans_column="spans")


def test_span_kind_missing_from_a_split_is_reported(tmp_path, monkeypatch):
    rows = [{"text": text, "spans": [[0, 3, "RARE" if n == 0 else "OFTEN"]]} for n, text in enumerate(sentences(60))]
    told = []
    monkeypatch.setattr(Observe, "log", lambda self, event, message, **fields: told.append(message))
    prepare(tmp_path, write_jsonl(tmp_path / "rows.jsonl", rows), spans_column="spans")
    assert told[0].count("no marked place of kind 'RARE' in the split") == 2


def test_pairs_and_spans_exclude_each_other():
    with pytest.raises(ValueError, match="give one of them"):
        Config(source="x.jsonl", target_column="a", spans_column="b")
