import pytest

from telemetry import context


def test_sent_trace_context_is_received(monkeypatch: pytest.MonkeyPatch) -> None:
    sent = context.to_send(0xABC, 0xDEF)
    assert sent == {"TRACEPARENT": f"00-{'0' * 29}abc-{'0' * 13}def-01"}
    monkeypatch.setenv("TRACEPARENT", sent["TRACEPARENT"])
    assert context.parent_ids() == (0xABC, 0xDEF)


@pytest.mark.parametrize(
    "value",
    ["", "nonsense", f"00-{'0' * 32}-{'1' * 16}-01", f"00-{'1' * 32}-{'0' * 16}-01", f"00-{'A' * 32}-{'1' * 16}-01",
     f"ff-{'1' * 32}-{'1' * 16}-01", f"00-{'1' * 32}-{'1' * 16}-01-more"],
)  # fmt: skip
def test_invalid_trace_context_is_ignored(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRACEPARENT", value)
    assert context.parent_ids() is None


def test_missing_trace_context_gives_no_parent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TRACEPARENT", raising=False)
    assert context.parent_ids() is None
