"""The report's page: what was left out of the data, by reason."""

from artifacts.corpus import Corpus
from steps.pages import page
from steps.pages.charts import draw
from steps.prepare_data.rows import Row
from tests.prepared import sentences
from tests.rows_source import prepared


def test_left_out_table_lists_reasons_counts_and_first_places(tmp_path):
    rows = [
        Row(f"x:{n}", text, "ab"[n % 2]) for n, text in enumerate([*sentences(60), "tiny", "too", *sentences(2), "a"])
    ]
    rows[-1] = Row("rare:0", "the only row of a rare label", "rare")
    made = prepared(
        tmp_path, [*rows, Row("long:0", "word " * 300)], min_characters=10, max_characters=900, long_texts="cut"
    )
    blocks = {block.title: block for block in page.data(made.info)}
    assert blocks["Left out"].rows == [
        ["rows", "exact duplicate", 2, "x:62"],
        ["rows", "shorter than min_characters", 2, "x:60"],
        ["labels", "exact duplicate", 2, "x:62"],
        ["labels", "shorter than min_characters", 2, "x:60"],
        ["labels", "too rare", 1, "rare:0"],
        ["characters", "cut off at max_characters", 605, "long:0"],
    ]
    assert "shorter than min_characters" in draw(blocks["Left out"])


def test_page_without_losses_has_no_left_out_table(tmp_path):
    made: Corpus = prepared(tmp_path, [Row(f"x:{n}", text) for n, text in enumerate(sentences(30))])
    assert [block.title for block in page.data(made.info)] == ["Data", "Leak check"]


def test_leak_check_table_counts_repeats_of_given_splits(tmp_path):
    rows = [Row(f"x:{n}", text, "a", split="test" if n > 50 else "train") for n, text in enumerate(sentences(60))]
    made = prepared(tmp_path, [*rows, Row("leak:0", rows[55].text, "a", split="train")])
    blocks = {block.title: block for block in page.data(made.info)}
    assert ["rows that repeat one of a split that the data brings", 1] in blocks["Leak check"].rows


def test_roll_backs_table_lists_spikes_of_each_training():
    spike = {
        "update": 12,
        "loss": 7.25,
        "usual": 3.0,
        "back_to": 8,
        "batches": [[0, 10], [0, 11]],
        "rows": ["x:1", "x:2"],
    }
    histories = {"pretraining": {"roll_backs": [spike, spike | {"loss": None}]}, "this model": {}}
    (block,) = page.roll_backs(histories)
    assert block.rows == [
        ["pretraining", 12, "7.250", "3.000", 8, "x:1, x:2"],
        ["pretraining", 12, "not finite", "3.000", 8, "x:1, x:2"],
    ]
    assert "x:1, x:2" in draw(block)
    assert page.roll_backs({"this model": {"roll_backs": []}}) == []
