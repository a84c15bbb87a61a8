"""Maps of attention: rows and columns have tokens of their own where a decoder looks at a source."""

import re

from steps.pages.charts import draw
from tasks.evaluation import AttentionMaps


def test_alignment_map_labels_rows_and_columns_separately():
    matrix = [[0.1, 0.2, 0.7], [0.9, 0.05, 0.05]]
    page = draw(AttentionMaps("Alignment", "note", ["drei", "vier", "fünf"], {"head": matrix}, ["three", "four"]))
    assert re.findall(r'class="small"[^>]*>([^<]+)<', page) == ["drei", "vier", "fünf", "three", "four"]
    assert 'width="36" height="24"' in page, "three columns, two rows"
    assert "The strongest look: four at drei, 90%" in page


def test_self_attention_map_has_the_same_tokens_on_both_axes():
    page = draw(AttentionMaps("Attention", "note", ["a", "b"], {"head": [[0.5, 0.5], [0.2, 0.8]]}))
    assert re.findall(r'class="small"[^>]*>([^<]+)<', page) == ["a", "b", "a", "b"]
