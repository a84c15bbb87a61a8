"""`dates`: dates as people write them in many languages, each with its ISO 8601 form, from the CLDR data in Babel.

A row: text `venerdì 15 marzo 1850`, target `1850-03-15`, label the locale, group the target, so that a date is in one split
only, in whatever language. Drawn by the seed: a date of four centuries, written in `_WRITINGS` of the locales and forms.

Two ambiguous kinds of forms are left out:

- CLDR's short forms whose year has two digits. Where the short form has the whole year, it is used; `yMd`, CLDR's own
  numeric form with the whole year, stands for the others.
- Numbers alone that another locale's form of numbers, with the same signs between them, reads as another day: 3/4/1850 is
  in April for the French, in March for Americans. 3.4.1850 is in April for all who write points.

The calendar is the Gregorian one; locales that CLDR gives another as the first (Persian, Thai) are not among these.
"""

from __future__ import annotations

import datetime
import random
import re
from collections.abc import Iterator, Mapping
from functools import cache
from importlib import metadata
from typing import TYPE_CHECKING, Any

from redaction import redact
from steps.prepare_data.rows import Row
from steps.prepare_data.source import Content, Source

if TYPE_CHECKING:
    from steps.prepare_data.config import Config
    from telemetry import Observe

LOCALES = (
    "ar", "az", "bg", "bn", "ca", "cs", "cy", "da", "de", "el", "en_GB", "en_US", "es", "et", "eu", "fi", "fr", "ga", "he",
    "hi", "hr", "hu", "hy", "id", "is", "it", "ja", "ka", "ko", "lt", "lv", "ms", "nb", "nl", "pl", "pt", "ro", "ru", "sk",
    "sl", "sv", "sw", "ta", "tr", "uk", "vi", "zh",
)  # fmt: skip
ROWS = 40_000
_FORMS = ("full", "long", "medium", "short")  # CLDR's date formats
_SKELETONS = ("yMMMEd", "yMMMd", "yMd")  # and of its available formats: with weekday, without, numbers alone
_FIRST, _LAST = datetime.date(1700, 1, 1), datetime.date(2099, 12, 31)
_WRITINGS = 4  # of each date
_FIELDS = {"y": r"(?P<year>\d{4})", "M": r"(?P<month>\d{1,2})", "L": r"(?P<month>\d{1,2})", "d": r"(?P<day>\d{1,2})"}


class Dates(Source):
    """Pairs of a written date and its ISO form, labelled by the locale."""

    def content(self, config: Config) -> Content:
        return "pairs"

    def rows(self, config: Config, observe: Observe) -> Iterator[Row]:
        draw, count = random.Random(config.seed), 0
        choices = [(locale, form) for locale in LOCALES for form in patterns(locale)]
        days = (_LAST - _FIRST).days
        while count < (config.max_rows or ROWS):
            day = _FIRST + datetime.timedelta(draw.randint(0, days))
            for locale, form in draw.sample(choices, _WRITINGS):
                text = format_in_locale(day, locale, form)
                if is_unambiguous(text, day):
                    count += 1
                    yield Row(f"dates/{locale}/{form}:{count}", text, locale, day.isoformat(), day.isoformat())

    def packages(self, config: Config) -> list[str]:
        return ["babel"]

    def origin(self, config: Config) -> dict[str, Any]:
        version = metadata.version("babel")
        return {
            "source": f"dates in {len(LOCALES)} locales of CLDR, written by Babel",
            "license": redact(config.license) or "Unicode-3.0",
            "parts": [
                {"name": "CLDR, as Babel has it", "version": version, "license": "Unicode-3.0"},
                {"name": "babel", "version": version, "license": "BSD-3-Clause"},
            ],
        }


SOURCE = Dates


@cache
def patterns(locale: str) -> Mapping[str, str]:
    """The forms of a locale that differ, each with CLDR's pattern (`d MMMM y`), without those of two-digit years."""
    from babel import Locale

    known = Locale.parse(locale)
    found = {form: known.date_formats[form].pattern for form in _FORMS}
    found |= {name: known.datetime_skeletons[name].pattern for name in _SKELETONS if name in known.datetime_skeletons}
    first = {pattern: form for form, pattern in reversed(found.items()) if ("y", 2) not in _tokens(pattern)}
    return {form: pattern for form, pattern in found.items() if first.get(pattern) == form}


def format_in_locale(day: datetime.date, locale: str, form: str) -> str:
    """A date in a locale's form."""
    from babel.dates import format_date

    return str(format_date(day, patterns(locale)[form], locale))


def is_unambiguous(text: str, day: datetime.date) -> bool:
    """Whether no locale reads this as another day. Words tell; of numbers alone, each locale's reading is compared."""
    return all(read == day for pattern in _readers() if (read := _read(text, pattern)) is not None)


def _tokens(pattern: str) -> list[str | tuple[str, int]]:
    """A pattern's fields, each a letter and its count, and the text between them."""
    from babel.dates import tokenize_pattern

    return [value for _, value in tokenize_pattern(pattern)]


@cache
def _readers() -> list[re.Pattern[str]]:
    """Patterns of each form that is numbers alone; zeros before a number may be there or not."""
    found = set()
    for pattern in {pattern for locale in LOCALES for pattern in patterns(locale).values()}:
        tokens = _tokens(pattern)
        fields = [token for token in tokens if isinstance(token, tuple)]
        if all(letter in _FIELDS and (letter == "y" or count <= 2) for letter, count in fields):
            found.add("".join(re.escape(token) if isinstance(token, str) else _FIELDS[token[0]] for token in tokens))
    return [re.compile(expression) for expression in sorted(found)]


def _read(text: str, pattern: re.Pattern[str]) -> datetime.date | None:
    match = pattern.fullmatch(text)
    try:
        return datetime.date(*(int(match[name]) for name in ("year", "month", "day"))) if match else None
    except ValueError:  # a month 15: this locale cannot have meant that
        return None
