"""The page of three frameworks shows the files as they are."""

from models.show import columns


def test_page_has_the_columns_of_the_files():
    page = columns.PAGE.read_text()
    assert columns.fill(page) == page, "run python -m models.show.columns"
    assert page.count("```python") == 3 * len(columns.PARTS)


def test_source_of_a_method_has_no_docstring():
    shown = columns.source("models/torch/attention.py", "MultiHeadAttention.weights")
    assert shown.startswith("def weights(self")
    assert '"""' not in shown
    assert "plain_weights(query" in shown
