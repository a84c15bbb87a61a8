"""The examples of a corpus are encoded once, and nothing but time depends on that."""

import errno
import shutil
import threading
from collections.abc import Iterator

import numpy as np
import pytest

from artifacts import token_files
from artifacts.corpus import Corpus
from artifacts.errors import UserError
from artifacts.tokenizer import Tokenizer
from models.config import ModelConfig
from tasks import load, token_cache
from tasks.task import Limits
from tasks.token_cache import describe, examples_of
from tests.small_corpus import make_corpus, make_tokenizer, train
from tests.small_images import digits
from tests.small_pairs import make_pairs, pairs
from tests.small_spans import make_marked
from tests.small_training import Recording

MODEL = ModelConfig(d_model=16, d_ff=32, num_heads=2, num_layers=1, max_length=16, vocab_size=360)


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A folder with a corpus and its tokenizer."""
    root = tmp_path_factory.mktemp("home")
    corpus = make_corpus(root, 90)
    return root, corpus, make_tokenizer(root, corpus)


@pytest.fixture
def given(home, tmp_path):
    """Corpus, tokenizer, and an empty store."""
    return Corpus(home[1]), Tokenizer(home[2].path), tmp_path


class Counting:
    """A task that notes which splits it encodes, and calls `during` at the second example."""

    def __init__(self, name="masked_lm", during=lambda: None):
        self._task, self.splits, self._during = load(name), [], during

    def encode(self, corpus, tokenizer, split, settings, limits) -> Iterator:
        self.splits.append(split)
        for place, example in enumerate(self._task.encode(corpus, tokenizer, split, settings, limits)):
            if place == 1:
                self._during()
            yield example

    def __getattr__(self, name):
        return getattr(self._task, name)


def take(task, given, split="train", settings=None, observe=None, model=MODEL):
    corpus, tokenizer, root = given
    return examples_of(task, corpus, tokenizer, split, settings or {}, model, root, observe or Recording())


def test_split_is_encoded_once(given):
    task, observe = Counting(), Recording()
    first, second = take(task, given, observe=observe), take(task, given, observe=observe)
    take(task, given, "validation")
    assert task.splits == ["train", "validation"]
    assert [event for event, *_ in observe.records] == ["tokens.written"]
    assert first.batch(np.arange(3)).input_ids.tolist() == second.batch(np.arange(3)).input_ids.tolist()
    assert second.inputs.values.dtype == np.uint16


CASES = {
    "masked_lm": (make_corpus, {"nsp": False}),
    "causal_lm": (make_corpus, {}),
    "classification": (make_corpus, {"labels": ["a", "b", "c"]}),
    "electra": (make_corpus, {}),
    "seq2seq": (lambda root: make_pairs(root, pairs(60)), {"too_long": "truncate"}),
    "retrieval": (lambda root: make_pairs(root, pairs(60)), {}),
    "token_classification": (lambda root: make_marked(root, 60), {"kinds": ["NUMBER", "THING"]}),
}


@pytest.mark.parametrize("name", CASES)
def test_token_files_of_each_task_equal_its_examples(home, tmp_path, name):
    make, settings = CASES[name]
    corpus, tokenizer = Corpus(make(tmp_path)), Tokenizer(home[2].path)
    assert_equal(take(load(name), (corpus, tokenizer, tmp_path), settings=settings),
                 load(name).examples(corpus, tokenizer, "train", settings, MODEL))  # fmt: skip


def test_pixels_of_images_are_kept_as_bytes(tmp_path):
    corpus, task = Corpus(digits(tmp_path, max_rows=60)), load("image_classification")
    settings = task.settings(corpus, {})
    model = MODEL.model_copy(update={"image_height": 8, "image_width": 8, "image_channels": 1})
    found = take(task, (corpus, Tokenizer.none(), tmp_path), settings=settings, model=model)
    assert found.inputs.values.dtype == np.uint8
    assert_equal(found, task.examples(corpus, Tokenizer.none(), "train", settings, model))


def assert_equal(found, expected):
    rows = np.arange(len(expected))
    one, other = found.batch(rows), expected.batch(rows)
    for name, value in vars(other).items():
        np.testing.assert_array_equal(getattr(one, name), value)
    assert found.parts.tolist() == expected.parts.tolist()
    assert found.cut == expected.cut


def test_key_covers_all_that_decides_the_numbers(home, tmp_path, monkeypatch):
    task, corpus, tokenizer = load("masked_lm"), Corpus(home[1]), Tokenizer(home[2].path)
    limits = Limits.of(MODEL)
    first = describe(task, corpus, tokenizer, "train", {}, limits)
    assert describe(task, corpus, tokenizer, "train", {}, limits) == first
    special = Tokenizer(home[2].path)
    special.info["special"] = {"pad": 7}
    others = [
        describe(load("causal_lm"), corpus, tokenizer, "train", {}, limits),
        describe(task, Corpus(make_corpus(tmp_path, 90, seed=1)), tokenizer, "train", {}, limits),
        describe(task, corpus, Tokenizer(make_tokenizer(tmp_path, home[1], 350).path), "train", {}, limits),
        describe(task, corpus, special, "train", {}, limits),
        describe(task, corpus, tokenizer, "validation", {}, limits),
        describe(task, corpus, tokenizer, "train", {"nsp": True}, limits),
        describe(task, corpus, tokenizer, "train", {}, limits._replace(max_length=15)),
    ]
    monkeypatch.setattr(token_cache, "_code", lambda: "other code")
    others.append(describe(task, corpus, tokenizer, "train", {}, limits))
    assert all(other != first for other in others)
    assert Limits.of(MODEL.model_copy(update={"d_model": 32, "dropout": 0.3})) == limits, "other fields share the files"


def test_part_of_a_corpus_is_not_kept(given):
    corpus, tokenizer, root = given
    few = [row["id"] for row in corpus.rows("train", ["id"])][:3]
    found = take(load("masked_lm"), (corpus.only(few), tokenizer, root))
    assert sorted(set(found.ids)) == sorted(few)
    assert token_files.folders(root) == []


def test_damaged_token_files_are_made_again_with_one_warning(given):
    task, observe = Counting(), Recording()
    expected = take(task, given).batch(np.arange(4)).input_ids.tolist()
    (folder,) = token_files.folders(given[2])
    content = (folder / "inputs").read_bytes()
    (folder / "inputs").write_bytes(bytes([content[0] ^ 1]) + content[1:])
    assert take(task, given, observe=observe).batch(np.arange(4)).input_ids.tolist() == expected
    take(task, given, observe=observe)
    ((level, message),) = observe.of("tokens.damaged")
    assert level == "warning"
    assert message.startswith(f"{folder / 'inputs'}: changed since it was made")
    assert task.splits == ["train", "train"]


def test_second_process_waits_for_the_first(given):
    encoding, waiting = threading.Event(), threading.Event()

    class Noticing(Recording):
        def log(self, event, message, **fields):
            super().log(event, message, **fields)
            if event == "tokens.waiting":
                waiting.set()

    def pause():
        encoding.set()
        assert waiting.wait(60)

    task, observe, found = Counting(during=pause), Noticing(), []
    first = threading.Thread(target=lambda: found.append(take(task, given)))
    first.start()
    assert encoding.wait(60)
    second = take(task, given, observe=observe)
    first.join()
    assert task.splits == ["train"]
    assert list(second.ids) == list(found[0].ids)
    assert list((given[2] / "locks").iterdir()) == []


def test_interrupted_encoding_leaves_nothing(given):
    def interrupt():
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        take(Counting(during=interrupt), given)
    assert list((given[2] / "tokens").iterdir()) == []
    assert len(take(Counting(), given)) > 0


def test_full_disk_is_one_error_and_frees_its_part(given):
    def fill():
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(UserError, match=r"tokens: no space left on the disk .*`python -m artifacts gc`"):
        take(Counting(during=fill), given)
    assert list((given[2] / "tokens").iterdir()) == []


def test_deleted_token_files_change_no_weights(home, tmp_path):
    _, corpus, tokenizer = home
    inputs = {"corpus": corpus, "tokenizer": tokenizer}
    first = train(tmp_path, "pretrain", inputs)
    assert len(token_files.folders(tmp_path)) == 2
    found = train(tmp_path, "pretrain", inputs)
    shutil.rmtree(tmp_path / "tokens")
    removed = train(tmp_path, "pretrain", inputs)
    assert first.digest == found.digest == removed.digest
    assert first.counts == removed.counts
