"""The trace across processes: W3C trace context in the environment variable `TRACEPARENT`."""

from __future__ import annotations

import os
import re
from typing import NamedTuple

VARIABLE = "TRACEPARENT"
SAMPLED = 1  # the flag of a trace that is recorded
_FORMAT = re.compile(r"00-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})")


class TraceContext(NamedTuple):
    """A span as other processes know it."""

    trace_id: int
    span_id: int  # 0 outside every span
    flags: int = SAMPLED

    @property
    def is_sampled(self) -> bool:
        """Whether it is recorded where it began."""
        return bool(self.flags & SAMPLED)


def incoming() -> TraceContext | None:
    """The span of the process that started us; None if it is missing or invalid."""
    return parse(os.environ.get(VARIABLE, ""))


def parse(header: str) -> TraceContext | None:
    """The span of a `traceparent`; None if it is invalid."""
    match = _FORMAT.fullmatch(header)
    if not match or not int(match[1], 16) or not int(match[2], 16):
        return None
    return TraceContext(*(int(part, 16) for part in match.groups()))


def to_send(within: TraceContext) -> dict[str, str]:
    """The variable for a child process."""
    return {VARIABLE: f"00-{within.trace_id:032x}-{within.span_id:016x}-{within.flags:02x}"}
