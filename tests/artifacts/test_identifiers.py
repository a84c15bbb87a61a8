"""Seams of words, and places in the text as it was written."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from artifacts.identifiers import divide, places_as_written, rules


@pytest.mark.parametrize(
    ("text", "divided"),
    [
        ("getItem", "get Item"),
        ("get_item", "get_item"),  # a rule of the model makes it a space
        ("HTTPServer", "HTTP Server"),
        ("array2D", "array2 D"),
        ("f(x).T", "f ( x ) . T"),
        (".", "."),
        ("", ""),
        ("naïve Äpfel", "naïve Äpfel"),
    ],
)
def test_words_are_divided_at_seams(text, divided):
    assert divide(text) == divided


@given(st.text(st.sampled_from("aZ1._ é"), max_size=30))
def test_places_lead_back_to_the_text(text):
    divided, places = divide(text), places_as_written(text)
    assert len(places) == len(divided) + 1
    assert places[-1] == len(text)
    found = [at for at, mark in enumerate(divided) if places[at + 1] > places[at]]
    assert "".join(divided[at] for at in found) == text


def test_rules_make_letters_small_and_separators_spaces():
    made = dict(rules())
    assert (made["A"], made["Ä"], made["_"], made["\n"]) == ("a", "ä", " ", " ")
    assert "a" not in made
