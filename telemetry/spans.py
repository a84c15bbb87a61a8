"""Open spans, and the result of a span in the terms of OpenTelemetry's CI/CD conventions."""

from __future__ import annotations

import threading
import traceback
from typing import TYPE_CHECKING

from telemetry import sanitize
from telemetry.interrupts import Interrupted

if TYPE_CHECKING:
    from telemetry.export import OpenSpan

RESULTS = {"pipeline": "cicd.pipeline.result", "step": "cicd.pipeline.task.run.result"}


class Stacks:
    """The open spans of each thread. A thread that has none is within the main thread's current one."""

    def __init__(self) -> None:
        self._main: list[OpenSpan] = []
        self._local = threading.local()

    def current(self) -> OpenSpan | None:
        """The innermost open span."""
        for stack in (self._own(), self._main):
            try:
                return stack[-1]
            except IndexError:  # also where the main thread ends its last one just now
                continue
        return None

    def depth(self) -> int:
        """Number of spans open in this thread."""
        return len(self._own())

    def push(self, span: OpenSpan) -> None:
        """A span of this thread began."""
        self._own().append(span)

    def pop(self) -> None:
        """This thread's innermost one ends."""
        self._own().pop()

    def _own(self) -> list[OpenSpan]:
        if threading.current_thread() is threading.main_thread():
            return self._main
        if not hasattr(self._local, "stack"):
            self._local.stack = []
        stack: list[OpenSpan] = self._local.stack
        return stack


def result_of(error: BaseException | None) -> str:
    """`success`, `cancellation` (a signal) or `failure`."""
    if error is None or (isinstance(error, SystemExit) and not error.code):
        return "success"
    return "cancellation" if isinstance(error, Interrupted | KeyboardInterrupt) else "failure"


def failure_of(error: BaseException) -> dict[str, str]:
    """Type, message and stack trace of an error, without credentials."""
    stack = "".join(traceback.format_exception(error))
    if len(stack) > sanitize.LONGEST_TEXT:
        stack = f"...{stack[-sanitize.LONGEST_TEXT :]}"  # its end says what was wrong
    return {"type": type(error).__name__, "message": sanitize.text(error, 2_000), "stacktrace": sanitize.text(stack)}
