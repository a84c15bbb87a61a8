import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from telemetry import sanitize


def test_long_text_is_cut_and_states_the_missing_length() -> None:
    assert sanitize.text("x" * 1_000_000) == "x" * 20_000 + "... (980000 characters more)"
    assert sanitize.text("x" * 20_000) == "x" * 20_000


def test_broken_utf8_becomes_encodable_text() -> None:
    broken = b"caf\xe9 \xff".decode("utf-8", "surrogateescape")
    assert sanitize.text(broken) == "caf\\udce9 \\udcff"
    assert sanitize.fields({broken: [broken]}) == {"caf\\udce9 \\udcff": ["caf\\udce9 \\udcff"]}


def test_ten_thousand_fields_are_bounded_and_counted() -> None:
    kept = sanitize.fields({f"field{number}": number for number in range(10_000)})
    assert len(kept) == 65
    assert kept["fields_left_out"] == 10_000 - 64


def test_total_size_of_fields_stays_below_the_loki_limit() -> None:
    kept = sanitize.fields({f"field{number}": "x" * 3_900 for number in range(30)})
    assert len(json.dumps(kept)) < 64 * 1024
    assert kept["fields_left_out"] == 30 - (len(kept) - 1)


def test_wide_character_fields_stay_below_the_loki_limit() -> None:
    """Backends count bytes, of names as well."""
    wide = "\U0001f600"
    kept = sanitize.fields({f"{number}{wide * 190}": wide * 3_900 for number in range(30)})
    assert len(json.dumps(kept, ensure_ascii=False).encode()) < 64 * 1024
    assert kept["fields_left_out"] == 30 - (len(kept) - 1) > 0


def test_control_characters_are_escaped_except_tabs_and_newlines() -> None:
    shown = "a\tb\n\x1b[31mred\r\x00\x9b\u2028\u202e\x7f"
    expected = "a\tb\n\\x1b[31mred\\r\\x00\\x9b\\u2028\\u202e\\x7f"
    assert sanitize.text(shown) == expected
    assert sanitize.text(expected) == expected
    assert sanitize.fields({shown: [shown]}) == {expected: [expected]}


def test_numbers_unsupported_by_json_or_otlp_become_text() -> None:
    kept = sanitize.fields({"nan": float("nan"), "deep": [float("-inf")], "big": 2**63, "": 1})
    assert kept == {"nan": "nan", "deep": ["-inf"], "big": 2**63, "unnamed": 1}
    assert sanitize.attributes(kept) == {"nan": "nan", "deep": '["-inf"]', "big": str(2**63), "unnamed": 1}


def test_fields_keep_numbers_and_nested_structure() -> None:
    given_ = {"n": 1, "f": 0.5, "t": True, "none": None, "list": (1, "a"), "map": {"a": {2: "b"}}}
    assert sanitize.fields(given_) == {**given_, "list": [1, "a"], "map": {"a": {"2": "b"}}}
    assert sanitize.fields({"a": np.float64(0.5), "b": np.int64(3)}) == {"a": 0.5, "b": 3}


def test_attributes_are_scalars() -> None:
    assert sanitize.attributes({"a": [1, "é"], "b": None, "c": 2}) == {"a": '[1, "é"]', "b": "null", "c": 2}


def test_secrets_in_exceptions_are_redacted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CANARY_TOKEN", "canary-12345")
    assert sanitize.fields({"error": ValueError("no canary-12345")}) == {"error": "no ***"}


@given(
    st.dictionaries(
        st.text(), st.recursive(st.none() | st.integers() | st.floats() | st.text() | st.binary(), st.lists)
    )
)
@settings(max_examples=40)
def test_any_fields_can_be_serialized(fields: dict[str, object]) -> None:
    json.dumps(sanitize.fields(fields), ensure_ascii=False).encode("utf-8")
    assert all(
        isinstance(value, str | bool | int | float) for value in sanitize.attributes(sanitize.fields(fields)).values()
    )
