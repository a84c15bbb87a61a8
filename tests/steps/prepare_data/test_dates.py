"""Dates in the locales of CLDR: what each row says can be told from its text, and nothing else is there."""

import datetime
import random

import pytest

from artifacts.corpus import SPLITS, Corpus
from steps.prepare_data.config import Config
from steps.prepare_data.embedded.dates import LOCALES, SOURCE, format_in_locale, is_unambiguous, patterns
from telemetry import Observe
from tests.prepared import prepare

DATES = {"min_characters": 1, "near_duplicate_threshold": 1.0}


def rows(count, seed=1):
    return list(SOURCE().rows(Config(source="dates", max_rows=count, seed=seed), Observe.silent()))[:count]


def test_dates_are_formatted_for_their_locale():
    day = datetime.date(1850, 3, 15)
    assert format_in_locale(day, "en_US", "full") == "Friday, March 15, 1850"
    assert format_in_locale(day, "fr", "long") == "15 mars 1850"
    assert format_in_locale(day, "de", "yMd") == "15.3.1850"
    assert format_in_locale(day, "zh", "long") == "1850年3月15日"


def test_over_forty_locales_have_several_distinct_date_formats():
    assert len(set(LOCALES)) == len(LOCALES) > 40
    for locale in LOCALES:
        found = patterns(locale)
        assert len(found) >= 3
        assert len(set(found.values())) == len(found), "a form that is another's double is left out"
        assert all("1850" in format_in_locale(datetime.date(1850, 3, 15), locale, form) for form in found), (
            "the whole year"
        )


def test_dates_ambiguous_between_locales_are_detected():
    third = datetime.date(1850, 4, 3)
    assert not is_unambiguous("3/4/1850", third)
    assert not is_unambiguous("03/04/1850", third), "zeros tell nobody which one is the month"
    assert is_unambiguous("15/4/1850", third.replace(day=15)), "there is no month 15"
    assert is_unambiguous("4/4/1850", third.replace(day=4)), "the same either way"
    assert is_unambiguous("3.4.1850", third), "who writes points writes the day first"
    assert is_unambiguous("1850-04-03", third)
    assert is_unambiguous("3 avril 1850", third)


def test_unambiguous_date_text_means_one_day_in_all_locales():
    """Month names too: `lis` is October in Croatian and November in Polish, but they are never written alike."""
    draw, meaning = random.Random(5), {}
    for _ in range(150):
        day = datetime.date(1850, 1, 1) + datetime.timedelta(draw.randrange(365))
        for locale in LOCALES:
            for form in patterns(locale):
                text = format_in_locale(day, locale, form)
                if is_unambiguous(text, day):
                    assert meaning.setdefault(text, day) == day, (locale, form, text)


def test_seed_determines_the_rows():
    assert rows(300) == rows(300)
    assert rows(300) != rows(300, seed=2)
    assert rows(200) == rows(300)[:200], "fewer rows are the first of more"
    assert len({row.id for row in rows(300)}) == 300


def test_rows_are_pairs_and_each_date_is_in_one_split(tmp_path):
    corpus = Corpus(prepare(tmp_path, "dates", max_rows=1500, **DATES))
    assert corpus.info["content"] == "pairs"
    assert corpus.info["license"] == "Unicode-3.0"
    days = {split: {row["target"] for row in corpus.rows(split)} for split in SPLITS}
    assert not days["train"] & days["test"] | days["train"] & days["validation"] | days["validation"] & days["test"]
    read = list(corpus.rows("train"))
    assert len({row["target"] for row in read}) < 0.5 * len(read), "each date in several locales"
    assert len({row["label"] for row in read}) == len(LOCALES)
    assert all(row["group"] == row["target"] == datetime.date.fromisoformat(row["target"]).isoformat() for row in read)


def test_rows_too_few_for_all_locales_and_splits_are_no_error(tmp_path):
    corpus = Corpus(prepare(tmp_path, "dates", max_rows=200, max_rows_per_label=1, test_share=0.2, **DATES))
    assert sum(map(corpus.count, SPLITS)) > 150
    assert all(row["label"] for split in SPLITS for row in corpus.rows(split)), "labels of pairs are no classes"


@pytest.mark.parametrize("locale", ["en_US", "hu", "ar"])
def test_date_formats_never_use_two_digit_years(locale):
    assert not any("yy" in pattern.replace("yyyy", "") for pattern in patterns(locale).values())
