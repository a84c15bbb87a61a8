"""Rows of CSV and TSV files. A record that cannot be read is one Bad, and the records around it stay as they are.

A TSV file has no quoting unless it is asked for: a line is a record, a quotation mark a character. A CSV file has; there a
quote that is not closed, or one too many, makes two readings possible, and the wrong one swallows rows without an error. So:

- The csv module reads strictly. Where it cannot, the first line of the record is set aside and its other lines are read again.
- A record of several lines that reads well is set aside in the same way if its lines look like rows (`Evidence`).
- Lines that are read again may be parts of a text. Until the end of the record is past, a row of them counts only if it is
  certainly one; the others are set aside, each counted.
"""

from __future__ import annotations

import csv
from collections import deque
from collections.abc import Iterator
from pathlib import Path

from artifacts.errors import UserError
from steps.prepare_data.evidence import Evidence
from steps.prepare_data.lines import LONGEST_LINE, BadLine, lines
from steps.prepare_data.rows import Bad, bad, place_of

Line = tuple[int, str | BadLine]

UNCLOSED = "a quote that is not closed"
AFTER_QUOTE = "text after a closing quote"
STRAY = "a stray quote"
IN_REACH = "in the reach of a broken quote"
_RETURN = "\udc0d"  # stands for a carriage return within a line; no text that is UTF-8 has it
_SURE_ROWS = 3  # records in a row that can be rows, after which they are
_REREAD = 64 << 20  # characters read again, beyond those of the file itself, before the file is an error


def records(path: Path, delimiter: str, quoting: bool, label: str = "") -> Iterator[tuple[int, list[str]] | Bad]:
    """The header, then each record with the number of its last line; Bad for one that has not the header's fields.

    `label` names the column whose values tell rows from parts of a text. UserError for a header that cannot be read.
    """
    found = _Quoted(path, delimiter, label).records() if quoting else _plain(path, delimiter)
    first = next(found, None)
    if first is None:
        return
    if isinstance(first, Bad):
        raise UserError(f"{path}: its header cannot be read ({first.reason}, {first.place}); repair the first line")
    yield first
    width = len(first[1])
    for item in found:
        if isinstance(item, Bad) or len(item[1]) == width:
            yield item
        else:
            number, fields = item
            yield bad(_wrong(len(fields), width), place_of(path, number), delimiter.join(fields))


def _wrong(fields: int, width: int) -> str:
    return f"{fields} field{'s' if fields != 1 else ''}, the header has {width}"


def _plain(path: Path, delimiter: str) -> Iterator[tuple[int, list[str]] | Bad]:
    for number, line in lines(path):
        if isinstance(line, BadLine):
            yield line.bad
        elif line:
            yield number, line.split(delimiter)


class _Quoted:
    """Reads records with quotes, and finds back into step after a broken one."""

    def __init__(self, path: Path, delimiter: str, label: str) -> None:
        self._path, self._delimiter, self._label = path, delimiter, label
        self._source = lines(path, ends=True)
        self._again: deque[Line] = deque()  # lines of a broken record, to be read again
        self._record: list[Line] = []  # lines of the record that is read
        self._size = 0  # characters of these but the first
        self._spoilt: Bad | None = None  # the first of these that cannot be used
        self._returns = False  # whether any line of the file has a carriage return within
        self._reread = 0  # characters
        self._in_step = True
        self._reach = 0  # the last line that was read for the broken record
        self._quotes = 0  # since the broken record began: it can have ended where they are even
        self._likely = 0  # records in a row, past its reach, that can be rows
        self._trusted = False  # whether its lines look like rows, as far as no label tells

    def records(self) -> Iterator[tuple[int, list[str]] | Bad]:
        csv.field_size_limit(LONGEST_LINE)
        reader, evidence = self._reader(), None
        while True:
            self._record, self._size, self._spoilt = [], 0, None
            try:
                fields = next(reader)
            except StopIteration:
                return
            except (csv.Error, _LongRecordError) as error:
                yield self._reject_first_line(str(error), evidence)
                reader = self._reader()
                continue
            spoilt = self._spoilt
            if evidence is None and not fields and not spoilt:
                continue
            if evidence is None:
                yield spoilt or (self._record[-1][0], [field.replace(_RETURN, "\r") for field in fields])
                evidence = Evidence(fields, self._delimiter, self._label)
            elif len(self._record) > 1 and evidence.are_rows(self._texts(), fields):
                yield self._reject_first_line("", evidence)
                reader = self._reader()
            elif spoilt:
                yield spoilt
            elif fields:
                yield self._judge(self._with_returns(fields, evidence) if self._returns else fields, evidence)

    def _reader(self) -> Iterator[list[str]]:
        return iter(csv.reader(self._lines(), delimiter=self._delimiter, strict=True))

    def _lines(self) -> Iterator[str]:
        while True:
            if self._again:
                _, line = item = self._again.popleft()
                self._reread += len(line if isinstance(line, str) else line.stand_in)
            elif (new := next(self._source, None)) is not None:
                _, line = item = new
            else:
                return
            self._record.append(item)
            if isinstance(line, str):
                text = line
            else:
                text, self._spoilt = line.stand_in, self._spoilt or line.bad
            if len(self._record) > 1:
                self._size += len(text)
                if self._size > LONGEST_LINE:
                    raise _LongRecordError
            if (
                text.find("\r", 0, -2) >= 0
            ):  # a character of the field, which the csv module would refuse outside of quotes
                text, self._returns = text[:-2].replace("\r", _RETURN) + text[-2:], True
            yield text

    def _texts(self) -> list[str]:
        return [line.stand_in if isinstance(line, BadLine) else line for _, line in self._record]

    def _reject_first_line(self, error: str, evidence: Evidence | None) -> Bad:
        """Set the first line of the record aside; the others are read again."""
        number, line = self._record[0]
        if evidence is None:
            return bad(UNCLOSED if len(self._record) > 1 else AFTER_QUOTE, place_of(self._path, number), "")
        text = self._texts()[0]
        if self._reread > _REREAD + 4 * self._path.stat().st_size:
            raise UserError(
                f"{self._path}: quotes are broken all over the file, also at line {number}; set quoting=none if it has none"
            )
        others = self._texts()[1:]
        self._again.extendleft(reversed(self._record[1:]))
        self._in_step, self._reach, self._likely = False, max(self._reach, self._record[-1][0]), 0
        self._quotes, self._trusted = text.count('"'), evidence.could_be_rows(others)
        if isinstance(line, BadLine):
            return line.bad
        reason = AFTER_QUOTE if len(self._record) == 1 and "expected after" in error else UNCLOSED
        return bad(reason, place_of(self._path, number), text.rstrip("\r\n"))

    def _with_returns(self, fields: list[str], evidence: Evidence) -> list[str]:
        """Fields with their carriage returns; UserError if these end rows, as LF does elsewhere in the file."""
        if not any(_RETURN in field for field in fields):
            return fields
        number, line = self._record[0]
        parts = line.split("\r") if isinstance(line, str) else []
        if not evidence.fits(fields) and len(self._record) == 1 and evidence.could_be_rows(parts):
            raise UserError(
                f"{self._path}:{number}: lines end with CR here and with LF elsewhere; make them alike, for instance with "
                r"tr '\r' '\n'"
            )
        return [field.replace(_RETURN, "\r") for field in fields]

    def _judge(self, fields: list[str], evidence: Evidence) -> tuple[int, list[str]] | Bad:
        """A record, if it certainly is one or no broken record is near."""
        number = self._record[-1][0]
        item = number, fields
        if self._in_step and (not evidence.fits(fields) or evidence.knows(fields)):
            evidence.rows += evidence.fits(fields)
            return item
        texts = self._texts()
        if self._in_step:
            if not evidence.is_stray(texts, fields):
                if len(texts) == 1:
                    evidence.learn(fields)
                return item
            return bad(STRAY, place_of(self._path, number), "".join(texts).rstrip("\r\n"))
        ended = self._quotes % 2 == 0
        quotes = sum(text.count('"') for text in texts)
        self._quotes += quotes
        if evidence.fits(fields) and quotes % 2 == 0:
            self._likely += number > self._reach
            likely = ended or self._likely > _SURE_ROWS or (self._trusted and not evidence.tells)
            quoted = texts[0].startswith('"') or f'{self._delimiter}"' in texts[0]
            if likely or quoted or evidence.knows(fields):
                self._in_step = number > self._reach
                return item
        else:
            self._likely = 0
        return bad(IN_REACH, place_of(self._path, number), "".join(texts).rstrip("\r\n"))


class _LongRecordError(Exception):
    """A record that goes on and on: its quote was never closed."""
