"""The trace across processes: W3C trace context in the environment variable `TRACEPARENT`."""

from __future__ import annotations

import os
import re

VARIABLE = "TRACEPARENT"
_FORMAT = re.compile(r"00-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})")


def parent_ids() -> tuple[int, int] | None:
    """Trace id and span id of the process that started us; None if it is missing or invalid."""
    return parse(os.environ.get(VARIABLE, ""))


def parse(header: str) -> tuple[int, int] | None:
    """Trace id and span id of a `traceparent`; None if it is invalid."""
    match = _FORMAT.fullmatch(header)
    if not match or not int(match[1], 16) or not int(match[2], 16):
        return None
    return int(match[1], 16), int(match[2], 16)


def to_send(trace_id: int, span_id: int) -> dict[str, str]:
    """The variable for a child process."""
    return {VARIABLE: f"00-{trace_id:032x}-{span_id:016x}-01"}
