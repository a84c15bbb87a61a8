"""The seam: tasks and the loop name no framework, and a question is a function of its batch and its generator's key."""

import re
from pathlib import Path

import numpy as np
import pytest

from models.chance import generator_of
from models.config import ModelConfig
from tasks import available, load
from training.batches import Examples

ROOT = Path(__file__).resolve().parents[1]
FRAMEWORK = re.compile(r"^\s*(?:import|from)\s+(?:torch|jax|flax|tensorflow|keras)\b", re.MULTILINE)
CONFIG = ModelConfig(d_model=8, num_heads=2, num_layers=1, max_length=16, vocab_size=60)
IMAGES = ModelConfig(
    d_model=8, num_heads=2, num_layers=1, patch_size=2, image_height=6, image_width=4, image_channels=1
)
SETTINGS = {
    "classification": {"labels": ["a", "b"]},
    "token_classification": {"kinds": ["A"]},
    "retrieval": {"temperature": 0.05, "symmetric": True, "projection": 0},
    "image_classification": {"labels": ["a", "b"], "augmentation": {"shift": 1, "crop": 0.8, "flip": True}},
    "masked_lm, nsp": {"nsp": True},
    "seq2seq": {"too_long": "truncate"},
}
WITH_CHANCE = {"electra", "masked_lm", "masked_lm, nsp", "span_corruption", "image_classification"}


@pytest.mark.parametrize("folder", ["tasks", "training", "steps", "deploy"])
def test_no_file_outside_the_frameworks_folders_loads_a_framework(folder):
    folders = {"torch", "flax", "tensorflow"}
    files = [file for file in (ROOT / folder).rglob("*.py") if not folders & set(file.relative_to(ROOT).parts)]
    assert len(files) > 5
    assert [str(file) for file in files if FRAMEWORK.search(file.read_text(encoding="utf-8"))] == []


@pytest.mark.parametrize("folder", ["tasks", "training", "steps", "deploy"])
def test_torch_modules_are_not_imported_at_module_level(folder):
    """What computes is loaded where it is needed, within a function: a task can be imported without it."""
    at_the_top = re.compile(r"^(?:import|from)\s+(?:models|training)\.torch\b", re.MULTILINE)
    files = [file for file in (ROOT / folder).rglob("*.py") if "torch" not in file.relative_to(ROOT).parts]
    assert [str(file) for file in files if at_the_top.search(file.read_text(encoding="utf-8"))] == []


def batch_of(name):
    """A batch with all that any task reads."""
    draw = np.random.default_rng(0)
    if name == "image_classification":
        values = [draw.integers(0, 256, 24, dtype=np.uint8) for _ in range(6)]
        return IMAGES, Examples.of(values, list("abcdef"), 0, [0, 1] * 3).batch(np.arange(6))
    rows = [[2, *draw.integers(5, 60, size).tolist(), 3] for size in (9, 12, 5, 14, 8, 11)]
    tags = [[-1, *draw.integers(0, 3, len(row) - 2).tolist(), -1] for row in rows]
    more = {"targets": rows[::-1]} if name in ("seq2seq", "translation", "retrieval") else {}
    more |= {"tags": tags} if name == "token_classification" else {}
    labels = {"labels": [0, 1] * 3} if name == "classification" else {}
    return CONFIG, Examples.of(rows, list("abcdef"), 0, **labels, **more).batch(np.arange(6))


def asked(name, *key, training=True):
    config, batch = batch_of(name)
    task = load(name.partition(",")[0])
    question = task.ask(config, SETTINGS.get(name, {}), batch, generator_of(*key), training=training)
    arrays = {
        **question.inputs,
        **question.more,
        "places": question.places,
        "labels": question.labels,
        "rows": question.rows,
    }
    assert all(isinstance(value, np.ndarray) for value in arrays.values())
    return {key: (value.dtype, value.shape, value.tobytes()) for key, value in arrays.items()}


@pytest.mark.parametrize("name", [*available(), "masked_lm, nsp"])
def test_question_depends_only_on_batch_and_generator_key(name):
    first = asked(name, 3, 7)
    np.random.seed(11)  # the global generator has no part in it
    assert asked(name, 3, 7) == first
    assert (asked(name, 3, 8) != first) == (asked(name, 4, 7) != first) == (name in WITH_CHANCE)


@pytest.mark.parametrize("name", [*available(), "masked_lm, nsp"])
def test_answer_positions_belong_to_their_rows(name):
    config, batch = batch_of(name)
    question = load(name.partition(",")[0]).ask(config, SETTINGS.get(name, {}), batch, generator_of(0), training=False)
    assert question.batch_size == len(batch.ids) == len(question.targets)
    assert question.targets.sum() == len(question.places) == len(question.rows) > 0
    assert len(question.labels) in (0, len(question.places))
    if question.places.tolist() != question.rows.tolist():  # not one answer a row
        written = question.inputs.get("target_ids", question.inputs.get("input_ids"))
        np.testing.assert_array_equal(question.places // written.shape[1], question.rows)
