import pytest

from telemetry import context
from telemetry.context import TraceContext


@pytest.mark.parametrize("flags", [0, 1, 3])
def test_sent_trace_context_is_received(flags: int, monkeypatch: pytest.MonkeyPatch) -> None:
    sent = context.to_send(TraceContext(0xABC, 0xDEF, flags))
    assert sent == {"TRACEPARENT": f"00-{'0' * 29}abc-{'0' * 13}def-0{flags}"}
    monkeypatch.setenv("TRACEPARENT", sent["TRACEPARENT"])
    assert context.incoming() == (0xABC, 0xDEF, flags)


@pytest.mark.parametrize(
    "value",
    ["", "nonsense", f"00-{'0' * 32}-{'1' * 16}-01", f"00-{'1' * 32}-{'0' * 16}-01", f"00-{'A' * 32}-{'1' * 16}-01",
     f"ff-{'1' * 32}-{'1' * 16}-01", f"00-{'1' * 32}-{'1' * 16}-01-more"],
)  # fmt: skip
def test_invalid_trace_context_is_ignored(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRACEPARENT", value)
    assert context.incoming() is None


def test_missing_trace_context_gives_no_parent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TRACEPARENT", raising=False)
    assert context.incoming() is None
