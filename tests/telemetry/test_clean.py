import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from telemetry import clean


def test_long_text_is_cut_and_says_how_much_is_missing() -> None:
    assert clean.text("x" * 1_000_000) == "x" * 20_000 + "... (980000 characters more)"
    assert clean.text("x" * 20_000) == "x" * 20_000


def test_broken_utf8_becomes_text_that_can_be_encoded() -> None:
    broken = b"caf\xe9 \xff".decode("utf-8", "surrogateescape")
    assert clean.text(broken) == "caf\\udce9 \\udcff"
    assert clean.fields({broken: [broken]}) == {"caf\\udce9 \\udcff": ["caf\\udce9 \\udcff"]}


def test_ten_thousand_fields_are_bounded_and_counted() -> None:
    kept = clean.fields({f"field{number}": number for number in range(10_000)})
    assert len(kept) == 65
    assert kept["fields_left_out"] == 10_000 - 64


def test_fields_together_stay_below_what_loki_takes() -> None:
    kept = clean.fields({f"field{number}": "x" * 3_900 for number in range(30)})
    assert len(json.dumps(kept)) < 64 * 1024
    assert kept["fields_left_out"] == 30 - (len(kept) - 1)


def test_fields_of_wide_characters_stay_below_it_too() -> None:
    """Backends count bytes, of names as well."""
    wide = "\U0001f600"
    kept = clean.fields({f"{number}{wide * 190}": wide * 3_900 for number in range(30)})
    assert len(json.dumps(kept, ensure_ascii=False).encode()) < 64 * 1024
    assert kept["fields_left_out"] == 30 - (len(kept) - 1) > 0


def test_control_characters_are_escaped_and_lines_stay() -> None:
    shown = "a\tb\n\x1b[31mred\r\x00\x9b\u2028\u202e\x7f"
    expected = "a\tb\n\\x1b[31mred\\r\\x00\\x9b\\u2028\\u202e\\x7f"
    assert clean.text(shown) == expected
    assert clean.text(expected) == expected
    assert clean.fields({shown: [shown]}) == {expected: [expected]}


def test_numbers_that_json_or_otlp_cannot_hold_are_text() -> None:
    kept = clean.fields({"nan": float("nan"), "deep": [float("-inf")], "big": 2**63, "": 1})
    assert kept == {"nan": "nan", "deep": ["-inf"], "big": 2**63, "unnamed": 1}
    assert clean.attributes(kept) == {"nan": "nan", "deep": '["-inf"]', "big": str(2**63), "unnamed": 1}


def test_numbers_and_structure_stay() -> None:
    given_ = {"n": 1, "f": 0.5, "t": True, "none": None, "list": (1, "a"), "map": {"a": {2: "b"}}}
    assert clean.fields(given_) == {**given_, "list": [1, "a"], "map": {"a": {"2": "b"}}}
    assert clean.fields({"a": np.float64(0.5), "b": np.int64(3)}) == {"a": 0.5, "b": 3}


def test_attributes_are_scalars() -> None:
    assert clean.attributes({"a": [1, "é"], "b": None, "c": 2}) == {"a": '[1, "é"]', "b": "null", "c": 2}


def test_an_exception_is_redacted_as_well(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CANARY_TOKEN", "canary-12345")
    assert clean.fields({"error": ValueError("no canary-12345")}) == {"error": "no ***"}


@given(
    st.dictionaries(
        st.text(), st.recursive(st.none() | st.integers() | st.floats() | st.text() | st.binary(), st.lists)
    )
)
@settings(max_examples=40)
def test_whatever_is_given_can_be_written(fields: dict[str, object]) -> None:
    json.dumps(clean.fields(fields), ensure_ascii=False).encode("utf-8")
    assert all(isinstance(value, str | bool | int | float) for value in clean.attributes(clean.fields(fields)).values())
