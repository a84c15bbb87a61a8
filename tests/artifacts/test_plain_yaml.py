"""YAML within bounds: the core schema of YAML 1.2, keys that are text and stand once, nothing that grows or recurses."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from artifacts import plain_yaml
from artifacts.plain_yaml import Scalar, YamlError, load


@pytest.mark.parametrize(
    "word", ["no", "on", "off", "y", "yes", "12:30", "1_000", "0x10", "0b1", "2024-01-31", "=", ".inf", "None"]
)
def test_special_values_of_yaml_1_1_stay_text(word):
    assert load(f"a: {word}") == {"a": word}


def test_numbers_booleans_and_nulls_are_parsed():
    text = "a: 010\nb: 1e3\nc: .5\nd: true\ne: ~\nf:\ng: -1\nh: 'no'\ni: '010'"
    assert load(text) == {
        "a": 10, "b": 1000.0, "c": 0.5, "d": True, "e": None, "f": None, "g": -1, "h": "no", "i": "010",
    }  # fmt: skip


def test_scalars_keep_their_source_text_on_request():
    assert load("{a: 010, b: [True], c: null}", written=True) == {
        "a": Scalar("010", 10),
        "b": [Scalar("True", True)],
        "c": None,
    }
    assert plain_yaml.plain(load("{a: 010, b: [True]}", written=True)) == {"a": 10, "b": [True]}


def test_anchors_and_merge_keys_are_resolved():
    assert load("a: &a {x: 1, y: 2}\nb: &b {<<: *a, y: 3}\nc: {<<: *b, y: 4}") == {
        "a": {"x": 1, "y": 2},
        "b": {"x": 1, "y": 3},
        "c": {"x": 1, "y": 4},
    }


def bomb(levels: int, merge: bool) -> str:
    """Nine aliases of nine aliases and so on: 9 ** levels values of a few hundred characters."""
    lines = ["a0: &a0 {k: 1}" if merge else "a0: &a0 [x, x]"]
    for level in range(1, levels):
        aliases = ", ".join([f"*a{level - 1}"] * 9)
        lines.append(f"a{level}: &a{level} " + (f"{{<<: [{aliases}]}}" if merge else f"[{aliases}]"))
    return "\n".join(lines)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (bomb(12, merge=False), "more than 20,000 values, aliases written out"),
        (bomb(12, merge=True), "more than 20,000 values, aliases written out"),
        ("[" * 100_000, "nested more than 40 deep"),
        ("{a: " * 5_000, "nested more than 40 deep"),
        ("- " * 50_000, "nested more than 40 deep"),
        ("\n".join(" " * depth + "a:" for depth in range(600)), "nested more than 40 deep"),
        ("a: x\n" * 100_000, "longer than 256 kB"),
        ("[" + "a," * 100_000 + "]", "more than 20,000 values"),
        ("a: &a [*a]", "*a refers to a part that contains it"),
        ("a: &a {b: {c: *a}}", "*a refers to a part that contains it"),
        ("a: *b", "undefined alias"),
        ("a: {x: 1, x: 2}", "line 1: the key 'x' stands twice"),
        ("a: 1\nb: 2\n'a': 3", "line 3: the key 'a' stands twice"),
        ("{<<: {a: 1}, <<: {b: 1}}", "the key '<<' stands twice"),
        ("1: a", "the key 1 is no text"),
        ("1.5: a", "the key 1.5 is no text"),
        ("true: a", "the key true is no text"),
        ("~: a", "the key ~ is no text"),
        ("? [a]\n: b", "a key must be text"),
        ("&k k: {*k : 1}", "a key must be text"),
        ("a: 1\n---\nb: 2", "a second document"),
        ("a: !!python/object/apply:os.system [x]", "could not determine a constructor"),
        ("a: !!set {x}", "could not determine a constructor"),
        ("a: !!binary aGk=", "could not determine a constructor"),
        ("a: !!int x", "'x' is no int"),
        ("a: 1e999", "1e999 is beyond"),
        ("a: " + "9" * 5_000, "digits"),
        ("a:\n\tb: 1", "line 2: found character that cannot start any token"),
        ("a: \x00", "control characters are not allowed"),
        ("a: [", "line 2: "),
    ],
)
def test_invalid_yaml_raises_short_one_line_error(text, told):
    with pytest.raises(YamlError) as raised:
        load(text)
    assert told in str(raised.value)
    assert "\n" not in str(raised.value)
    assert len(str(raised.value)) <= 300


TEXT = st.text(st.characters(exclude_categories=("C", "Zl", "Zp")), max_size=30)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=20,
)


@given(VALUES)
@settings(max_examples=200)
def test_json_document_loads_unchanged(value):
    assert load(json.dumps(value, ensure_ascii=False)) == value


@given(st.text(alphabet="ab:{}[]&*!|>-? \n'\"<#%,0.~", max_size=60))
@settings(max_examples=300)
def test_any_text_loads_or_raises_one_line_error(text):
    told = "one line"
    try:
        load(text)
    except YamlError as error:
        told = str(error)
    assert len(told.splitlines()) == 1
