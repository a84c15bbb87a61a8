"""Logs as lines: JSON in a file, a readable line for people on standard error.

`GLASSFORMER_LOG_FORMAT` selects the form on standard error: `auto` (readable, in colours on a terminal), `text`
(readable, never in colours) or `json`. The file is JSON in any case.
"""

from __future__ import annotations

import logging
import os
import re
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TextIO

from telemetry.line_file import LineFile

_LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}
FORMATS = ("auto", "text", "json")
VARIABLE = "GLASSFORMER_LOG_FORMAT"
_COLOURS = {"warning": "\033[33m", "error": "\033[31m", "debug": "\033[2m"}
# JSON leaves these as they are, and some reader takes each for the end of a line or the start of a terminal's command.
_UNSAFE = re.compile("[\x7f-\x9f\u2028\u2029]")


class Lines:
    """Writes each record to the log file and to standard error. Records must have been sanitised."""

    def __init__(
        self,
        file: Path | None,
        about: Mapping[str, str],
        terminal: bool,
        stream: TextIO | None = None,
        form: str | None = None,
    ) -> None:
        from pythonjsonlogger.json import JsonFormatter

        self._stream = stream or sys.stderr
        form = form or os.environ.get(VARIABLE) or FORMATS[0]
        self.as_json = form == "json"
        self._terminal, self._coloured = terminal and not self.as_json, terminal and form != "text"
        self._about = dict(about)
        self._format = JsonFormatter("%(time)s %(level)s %(event)s %(message)s", json_ensure_ascii=False)
        self._file: LineFile | None = None
        self._told = False
        if file is not None:
            try:
                self._file = LineFile(file)  # workers share it
            except OSError as error:
                self._tell(f"{file}: no log file ({error})")

    def write(
        self, event: str, message: str, level: str, fields: Mapping[str, Any], ids: Mapping[str, str], time_ns: int,
        *, shown: bool = True,
    ) -> None:  # fmt: skip
        """One record, one line: newlines and control characters are escaped in both forms.

        A record that is not `shown` goes to the file only.
        """
        line = self._as_json(event, message, level, fields, ids, time_ns)
        try:
            if self._file:
                self._file.add(f"{line}\n".encode())
        except OSError as error:
            self._tell(f"log file: {error}")
        if not shown:
            return
        try:
            self._show(line if self.as_json else self._as_text(message, level))
        except (OSError, ValueError):
            return  # standard error was closed: the file has it

    def close(self) -> None:
        """Close the file."""
        if self._file:
            self._file.close()

    def _show(self, line: str) -> None:
        if self._terminal and "tqdm" in sys.modules:
            from tqdm import tqdm

            tqdm.write(line, file=self._stream)  # above the bar, not through it
        else:
            self._stream.write(line + "\n")
            self._stream.flush()

    def _as_json(
        self, event: str, message: str, level: str, fields: Mapping[str, Any], ids: Mapping[str, str], time_ns: int
    ) -> str:
        seconds, rest = divmod(time_ns, 1_000_000_000)
        stamp = f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(seconds))}.{rest // 1_000_000:03d}Z"
        record = logging.LogRecord("glassformer", _LEVELS[level], "", 0, message, None, None)
        # A driver has no node of its own: there the field that names one is the node of the record.
        about = {name: value or str(fields.get(name, "")) for name, value in self._about.items()}
        own = {
            f"{name}_" if name in _TAKEN else name: fields[name] for name in fields if fields[name] != about.get(name)
        }
        record.__dict__.update({"time": stamp, "level": level, "event": event, **about, **ids, **own})
        return _UNSAFE.sub(lambda found: f"\\u{ord(found[0]):04x}", self._format.format(record))

    def _as_text(self, message: str, level: str) -> str:
        clean = "".join(c if c.isprintable() else repr(c)[1:-1] for c in message)
        where = self._about.get("node") or self._about.get("pipeline") or self._about.get("step", "")
        colour = _COLOURS.get(level, "") if self._coloured else ""
        if not colour and level in ("warning", "error"):
            clean = f"{level}: {clean}"
        return f"{colour}{time.strftime('%H:%M:%S')} {where:<16} {clean}{chr(27) + '[0m' if colour else ''}"

    def _tell(self, message: str) -> None:
        if not self._told:
            self._told = True
            print(message, file=sys.stderr, flush=True)


_TAKEN = {*logging.LogRecord("", 0, "", 0, "", None, None).__dict__, "message", "time", "level", "event"} | {
    "pipeline", "run", "step", "node", "trace_id", "span_id", "asctime", "timestamp",
}  # fmt: skip
