"""Logs as lines: JSON in a file and wherever there is no terminal, a readable line for people at one."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TextIO

_LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}
_COLOURS = {"warning": "\033[33m", "error": "\033[31m", "debug": "\033[2m"}
_LONGEST = 20_000  # characters of a message; a line of a megabyte helps nobody


class Lines:
    """Writes each record to the log file, and to standard error."""

    def __init__(self, file: Path | None, about: Mapping[str, str], terminal: bool | None, stream: TextIO | None = None) -> None:
        from pythonjsonlogger.json import JsonFormatter

        self._stream = stream or sys.stderr
        self._terminal = self._stream.isatty() if terminal is None else terminal
        self._about = dict(about)
        self._format = JsonFormatter("%(time)s %(level)s %(event)s %(message)s", json_ensure_ascii=False)
        self._file: TextIO | None = None
        self._told = False
        if file is not None:
            try:
                file.parent.mkdir(parents=True, exist_ok=True)
                self._file = file.open("a", encoding="utf-8", buffering=1)
            except OSError as error:
                self._tell(f"{file}: no log file ({error})")

    def write(self, event: str, message: str, level: str, fields: Mapping[str, Any], ids: Mapping[str, str]) -> None:
        """One record, one line: newlines and control characters are escaped in both forms."""
        line = self._as_json(event, message[:_LONGEST], level, fields, ids)
        try:
            if self._file:
                self._file.write(line + "\n")
        except OSError as error:
            self._tell(f"log file: {error}")
        try:
            if level != "debug":
                self._stream.write((self._as_text(event, message, level) if self._terminal else line) + "\n")
                self._stream.flush()
        except (OSError, ValueError):
            return  # standard error was closed: the file has it

    def close(self) -> None:
        """Let go of the file."""
        if self._file:
            self._file.close()

    def _as_json(self, event: str, message: str, level: str, fields: Mapping[str, Any], ids: Mapping[str, str]) -> str:
        record = logging.LogRecord("glassformer", _LEVELS[level], "", 0, message, None, None)
        now = time.time()
        stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(now)) + f".{int(now % 1 * 1000):03d}Z"
        about = self._about | {name: str(value) for name, value in fields.items() if not self._about.get(name, "taken")}
        own = {name if name not in _TAKEN else f"{name}_": fields[name] for name in fields if name not in about}
        record.__dict__.update({"time": stamp, "level": level, "event": event} | about | ids | own)
        return self._format.format(record)

    def _as_text(self, event: str, message: str, level: str) -> str:
        clean = "".join(c if c.isprintable() else repr(c)[1:-1] for c in message[:_LONGEST])
        where = self._about.get("node") or self._about.get("pipeline") or self._about.get("step", "")
        colour = _COLOURS.get(level, "")
        return f"{colour}{time.strftime('%H:%M:%S')} {where:<16} {clean}{chr(27) + '[0m' if colour else ''}"

    def _tell(self, message: str) -> None:
        if not self._told:
            self._told = True
            print(message, file=sys.stderr, flush=True)


_TAKEN = {*logging.LogRecord("", 0, "", 0, "", None, None).__dict__, "message", "time", "level", "event"} | {
    "pipeline", "run", "step", "node", "trace_id", "span_id",
}  # fmt: skip
