"""Tokens coloured by a number: nothing of a text becomes HTML, and what is not to be seen has no colour."""

from xml.etree import ElementTree

from steps.pages.charts import draw
from tasks.evaluation import Shades


def test_tokens_are_escaped_and_coloured_by_their_strength():
    tokens = [("<b>", 0.5, '3.0 "bits"'), (" &", 0.0, "0.0 bits")]
    section = ElementTree.fromstring(draw(Shades("Surprises & more", "A note.", [("a <heading>", tokens)])))
    assert section.find("ol/li/strong").text == "a <heading>"
    first, second = section.findall("ol/li/pre/span")
    assert (first.text, first.get("title"), first.get("style")) == ("<b>", '3.0 "bits"', "--strength:50%")
    assert (second.text, second.get("style")) == (" &", None)


def test_nothing_to_show():
    assert "<p>None.</p>" in draw(Shades("Surprises", "A note."))
