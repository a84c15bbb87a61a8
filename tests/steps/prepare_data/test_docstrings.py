"""`docs`: docstrings read without running anything, in a fixed order, with every library's name masked."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from artifacts.errors import UserError
from steps.prepare_data import docstrings
from telemetry import Observe

SOURCE = '''"""Module text."""
raise SystemExit("this file was run")

class Thing:
    """Class text."""

    async def method(self):
        """
        First.

            Indented.
        """

if True:
    def inner():
        "Inner text."

def silent():
    pass
'''


def test_docstrings_are_read_without_running_the_file(tmp_path):
    path = tmp_path / "module.py"
    path.write_text(SOURCE)
    assert docstrings.docstrings_of(str(path)) == [
        ("module", 1, "Module text."),
        ("Thing", 4, "Class text."),
        ("Thing.method", 7, "First.\n\n    Indented."),
        ("inner", 15, "Inner text."),
    ]


@pytest.mark.parametrize("data", [b"def (", b"\xff\xfe\x00", b"x = '\x00'", b"((((" * 500])
def test_unparsable_file_has_no_docstrings(tmp_path, data):
    (tmp_path / "module.py").write_bytes(data)
    assert docstrings.docstrings_of(str(tmp_path / "module.py")) == []


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("import numpy as np; np.array(x)", "import library as library; library.array(x)"),
        ("See :func:`numpy.linalg.svd` and NumPy's own.", "See :func:`library` and library's own."),
        ("scikit-learn, scikit_learn and sklearn.svm", "library, library and library"),
        ("plt.plot(pd.DataFrame())", "library.plot(library.DataFrame())"),
        ("a Pandas dataframe in SQLAlchemy", "a library dataframe in library"),
        ("raises NetworkXError, by MlflowClient", "raises libraryError, by libraryClient"),
        ("compile and click here, digits", "compile and library here, digits"),
    ],
)
def test_library_names_paths_and_aliases_are_masked(text, masked):
    assert docstrings.mask_names(text) == masked


def test_the_language_reference_is_read_by_topic():
    from pydoc_data import topics

    found = {name: text for name, _, text in docstrings.docstrings_of(topics.__file__)}
    assert found["topics.assert"].startswith('The "assert" statement')
    assert len(found) >= len(topics.topics)


def test_blank_docstrings_are_skipped(tmp_path):
    (tmp_path / "module.py").write_text('"""  \n """\ndef f():\n    " x"\n')
    assert docstrings.docstrings_of(str(tmp_path / "module.py")) == [("f", 3, "x")]


WORDS = st.sampled_from(
    [*docstrings.LABELLED, *docstrings.UNLABELLED, "np.", "pd.", "plt.", ".", "_", " ", "x", "2", "-", "NumPy"]
)


@settings(max_examples=300, deadline=None)
@given(st.lists(WORDS, max_size=12).map("".join))
def test_masking_leaves_no_library_name(text):
    masked = docstrings.mask_names(text)
    assert not docstrings.leaks(masked)
    for name in ("numpy", "sklearn", "sqlalchemy", "matplotlib", "networkx"):
        assert name not in masked.lower()


def test_every_name_within_words_contains_a_known_stem():
    assert all(any(stem in name for stem in docstrings._STEMS) for name in docstrings._WITHIN)


def test_leaks_detects_unmasked_library_names():
    assert docstrings.leaks("uses numpy here")
    assert docstrings.leaks("as np.array")
    assert docstrings.leaks("a NetworkXError")
    assert not docstrings.leaks("an array of numbers")


def test_rows_have_labels_and_groups_for_any_number_of_workers():
    def read(workers):
        return list(docstrings.read("networkx,click,fsspec", workers, Observe.silent()))

    rows = read(1)
    assert rows == read(2)
    assert {row.label for row in rows} == {"networkx", "fsspec", None}
    assert len({row.id for row in rows}) == len(rows)
    first = next(row for row in rows if row.label == "networkx")
    assert first.group.startswith("networkx/")
    assert first.id.startswith(f"{first.group}:")
    assert "networkx" not in first.text.lower()
    assert not any("/tests/" in row.id for row in rows)


def test_unknown_library_error_lists_known_libraries():
    with pytest.raises(UserError, match=r"'nmupy' is not one of .*numpy") as error:
        docstrings.libraries("pandas, nmupy")
    assert error.value.exit_code == 2


def test_all_libraries_are_installed():
    from importlib import metadata

    for name in set(docstrings.libraries("").values()) - {""}:
        assert metadata.version(name)
