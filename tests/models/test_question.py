"""Questions: which places are asked, of which rows, and what is left out because it says nothing."""

from dataclasses import replace

import numpy as np

from models.question import Question, ask_each_row, ask_places, text_inputs

IDS = np.array([[2, 7, 8, 3], [2, 9, 3, 0]])
MASK = IDS != 0


def test_all_true_mask_is_left_out():
    assert text_inputs(IDS, MASK).keys() == {"input_ids", "attention_mask"}
    assert text_inputs(IDS[:, :3], MASK[:, :3], token_types=IDS[:, :3] * 0).keys() == {"input_ids", "token_types"}


def test_ask_places_asks_at_each_wanted_place():
    wanted = np.array([[False, True, False, True], [True, False, False, False]])
    question = ask_places(text_inputs(IDS, MASK), wanted, IDS * 10)
    assert question.places.tolist() == [1, 3, 4]
    assert question.labels.tolist() == [70, 30, 20]
    assert question.rows.tolist() == [0, 0, 1]
    assert (question.batch_size, question.targets.tolist()) == (2, [2, 1])


def test_row_without_wanted_places_counts_zero_targets():
    wanted = np.array([[True, False, False, False], [False] * 4])
    assert ask_places(text_inputs(IDS, MASK), wanted, IDS).targets.tolist() == [1, 0]
    assert ask_places(text_inputs(IDS, MASK), wanted & False, IDS).targets.tolist() == [0, 0]


def test_places_index_target_ids_of_encoder_decoder():
    """Of a decoder beside an encoder the targets', whose width is another."""
    targets = np.array([[2, 5], [2, 6]])
    question = ask_places(text_inputs(IDS, MASK, target_ids=targets), np.ones((2, 2), bool), np.array([[5, 3], [6, 3]]))
    assert question.places.tolist() == [0, 1, 2, 3]
    assert question.rows.tolist() == [0, 0, 1, 1]


def test_ask_each_row_gives_one_answer_per_row():
    question = ask_each_row(text_inputs(IDS, MASK), np.array([1, 0]))
    assert (question.places.tolist(), question.rows.tolist(), question.labels.tolist()) == ([0, 1], [0, 1], [1, 0])
    assert len(ask_each_row({"pixels": np.zeros((3, 1, 2, 2), np.float32)}).labels) == 0
    assert isinstance(question, Question)
    assert question.targets.tolist() == [1, 1]


def test_parts_of_a_question_have_all_its_rows_and_answers_once():
    wanted = np.array([[True, False, True, False], [False, True, True, False], [False] * 4, [True] * 4, [False] * 4])
    ids = np.arange(20).reshape(5, 4)
    more = {"original": ids, "drawn": np.arange(8) / 8}
    question = replace(ask_places({"input_ids": ids, "attention_mask": ids % 3 > 0}, wanted, ids * 10), more=more)
    runs = question.cuts(3)
    assert [(run.start, run.stop) for run in runs] == [(0, 1), (1, 3), (3, 5)]
    parts = [question.part(run) for run in runs]
    assert np.concatenate([part.labels for part in parts]).tolist() == question.labels.tolist()
    assert np.concatenate([part.targets for part in parts]).tolist() == question.targets.tolist()
    assert np.concatenate([part.more["drawn"] for part in parts]).tolist() == more["drawn"].tolist()
    for part in parts:
        assert part.inputs["input_ids"].reshape(-1)[part.places].tolist() == (part.labels // 10).tolist()
        np.testing.assert_array_equal(part.more["original"], part.inputs["input_ids"])
        assert part.places.tolist() == [] or (part.places // 4).tolist() == part.rows.tolist()
        assert part.whole is question
    assert question.part(slice(0, 5)) is question
    assert len(question.cuts(9)) == 5, "no part without a row"


def test_parts_of_one_answer_per_row_count_rows():
    question = ask_each_row({"input_ids": IDS.repeat(2, 0), "target_ids": IDS.repeat(2, 0)}, np.array([4, 5, 6, 7]))
    part = question.part(slice(1, 3))
    assert (part.places.tolist(), part.rows.tolist(), part.labels.tolist()) == ([0, 1], [0, 1], [5, 6])


def test_tokens_are_counted_without_padding():
    assert ask_each_row(text_inputs(IDS, MASK)).tokens == 7
    assert ask_each_row(text_inputs(IDS[:, :3], MASK[:, :3])).tokens == 6
