"""Marked texts and dots on the page: nothing of a text becomes markup, and what was found can be told from what is."""

from xml.etree import ElementTree

from steps.pages.charts import draw
from tasks.evaluation import MarkedTexts, Scatter, Shades


def test_marks_show_expected_and_predicted_spans():
    page = draw(
        MarkedTexts("M", "note", ["A", "B"], [("<h>", "a <b> c & d", [(0, 1, "A"), (6, 7, "B")], [(0, 5, "A")])])
    )
    assert '<mark class="told0 found0" title="A, found as A">a</mark>' in page
    assert '<mark class="found0" title="nothing, found as A"> &lt;b&gt;</mark>' in page
    assert '<mark class="told1" title="B, found as nothing">c</mark>' in page
    assert "&lt;h&gt;" in page
    assert "<b>" not in page


def test_marked_texts_without_items_show_none():
    assert "None." in draw(MarkedTexts("M", "note", ["A"], []))


def test_scatter_dots_have_colours_and_a_text_summary():
    page = draw(Scatter("Map", "note", "x", "y", {name: ([0.0, 1.0], [2.0, 2.0]) for name in "abcde"}))
    assert page.count("<circle") == 10
    assert 'class="dots s0"' in page
    assert 'class="dots others"' in page
    assert "a: 2 dots" in page
    assert "No data" in draw(Scatter("Map", "note", "x", "y", {}))


def test_tokens_are_escaped_and_coloured_by_their_strength():
    tokens = [("<b>", 0.5, '3.0 "bits"'), (" &", 0.0, "0.0 bits")]
    section = ElementTree.fromstring(draw(Shades("Surprises & more", "A note.", [("a <heading>", tokens)])))
    assert section.find("ol/li/strong").text == "a <heading>"
    first, second = section.findall("ol/li/pre/span")
    assert (first.text, first.get("title"), first.get("style")) == ("<b>", '3.0 "bits"', "--strength:50%")
    assert (second.text, second.get("style")) == (" &", None)


def test_shades_without_items_show_none():
    assert "<p>None.</p>" in draw(Shades("Surprises", "A note."))
