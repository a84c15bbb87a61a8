"""The loop: it learns, repeats itself to the last bit, resumes, stops early, and never keeps what is not finite."""

import signal
from functools import partial

import numpy as np
import pytest
import torch

from models.question import ask_places
from tasks.masked_lm.task import TASK
from telemetry import Interrupted
from tests.signals import put_back
from tests.small_training import (
    CONFIG,
    Hooked,
    Recording,
    backend,
    kill_at,
    made_up,
    poison,
    recorded,
    same,
    train,
    trainer,
)
from training.backend import RowLosses
from training.batches import Examples
from training.errors import TrainingError
from training.loop import Trainer
from training.shards import map_in_turn
from training.validation import Scorer, evaluate

ASK = partial(TASK.ask, CONFIG, {})


@pytest.fixture(autouse=True)
def _one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def listening():
    """An Observe that hears signals, without leaving its handlers behind."""
    with put_back():
        observe = Recording()
        observe.install_signal_handlers()
        signal.signal(signal.SIGALRM, signal.SIG_IGN)  # the tests catch what is raised, and go on
        yield observe
        observe.signal_heard()


def test_training_lowers_validation_loss(tmp_path):
    result = train(tmp_path, max_updates=300, evaluate_every=100, checkpoint_every=100)
    losses = [entry["loss"] for entry in result.history["validation"]]
    assert losses[-1] < 0.7 * np.log(35)  # of guessing among 35 tokens
    assert losses[-1] == min(losses) == result.history["best_loss"]


def test_training_is_reproducible_byte_for_byte(tmp_path):
    assert same(train(tmp_path / "a"), train(tmp_path / "b"))


def test_different_seed_gives_different_weights(tmp_path):
    other = train(tmp_path / "b", chosen=backend(seed=4), seed=4)
    assert not same(train(tmp_path / "a"), other)


def test_checkpoint_interval_does_not_change_weights(tmp_path):
    assert same(train(tmp_path / "a", checkpoint_every=1), train(tmp_path / "b", checkpoint_every=1000))


@pytest.mark.parametrize("stop", [0, 1, 7, 8, 12, 22, 23])
def test_signal_saves_checkpoint_and_resume_gives_identical_result(tmp_path, listening, stop):
    hooked = Hooked(backend(), kill_at(stop))
    with pytest.raises(Interrupted) as raised:
        train(tmp_path / "work", listening, hooked)
    assert raised.value.signal_number == signal.SIGTERM
    assert (tmp_path / "work" / "checkpoints" / f"update-{stop + 1:08d}").is_dir()
    observe = Recording()
    again = train(tmp_path / "work", observe)
    assert observe.of("checkpoint.resumed") == [("info", f"going on after update {stop + 1}")]
    assert same(again, train(tmp_path / "whole"))
    assert recorded(tmp_path / "work") == recorded(tmp_path / "whole"), "no update is lost, and none is there twice"


def test_resume_after_failure_at_any_update_gives_identical_result(tmp_path):
    expected = train(tmp_path / "whole", max_updates=12)

    def fail(update, _):
        raise RuntimeError("power cut")

    def failing_at(number):
        return lambda update, batch: fail(update, batch) if update == number else None

    for number in range(12):
        work = tmp_path / str(number)
        with pytest.raises(RuntimeError, match="power cut"):
            train(work, chosen=Hooked(backend(), failing_at(number)), max_updates=12)
        assert [each[0] for each in recorded(work)] == list(range(1, number + 1)), "it has told all that was made"
        assert same(train(work, max_updates=12), expected)
        assert recorded(work) == recorded(tmp_path / "whole")


def test_finished_training_is_not_trained_again(tmp_path):
    first = train(tmp_path, checkpoint_every=24)

    def never(update, _):
        raise AssertionError(f"update {update} is done already")

    assert same(train(tmp_path, chosen=Hooked(backend(), never), checkpoint_every=24), first)


def test_the_best_weights_are_kept_not_the_last(tmp_path):
    chosen = backend()

    def spoil(update, _):
        if update == 20:
            with torch.no_grad():
                chosen.network.module.token_vectors.mul_(50)

    made = trainer(tmp_path, chosen=Hooked(chosen, spoil), max_updates=24, evaluate_every=1)
    result = made.run("training")
    losses = {entry["update"]: entry["loss"] for entry in result.history["validation"]}
    best = min(losses, key=losses.get)
    assert result.history["best_update"] == best == 20
    fresh = backend()
    fresh.load_weights(result.weights)
    assert evaluate(fresh, made.ask, made.validation, 256, made.options.seed) == losses[best]


def test_training_stops_early_without_improvement(tmp_path):
    result = train(tmp_path, learning_rate=1.0, max_updates=200, evaluate_every=2, patience=3, checkpoint_every=1)
    history = result.history
    assert history["stopped_early"]
    assert history["updates"] == history["best_update"] + 6 < 200
    assert same(train(tmp_path, learning_rate=1.0, max_updates=200, evaluate_every=2, patience=3), result)


def test_history_and_metrics_are_recorded(tmp_path):
    observe = Recording()
    history = train(tmp_path, observe, max_updates=13).history
    assert [entry["update"] for entry in history["training"]] == [5, 10, 13]
    assert [entry["update"] for entry in history["validation"]] == [8, 13]
    assert history["training"][-1]["tokens"] == history["tokens"]
    assert 0 <= history["padding_share"] < 0.4
    assert observe.metrics["validation.loss"] == [(e["update"], e["loss"]) for e in history["validation"]]
    for name in ("loss", "learning_rate", "gradient_norm", "tokens_per_second", "updates_per_second", "padding_share"):
        assert [update for update, _ in observe.metrics[f"training.{name}"]] == [5, 10, 13]


def test_non_finite_loss_stops_training_and_is_never_saved(tmp_path):
    hooked, rows = poison(backend(), 9)
    with pytest.raises(TrainingError) as raised:
        train(tmp_path / "work", chosen=hooked)
    message = str(raised.value)
    assert message.startswith("not finite at update 10: loss nan, gradient norm nan, learning rate 0.00")
    assert rows
    assert all(row in message for row in rows)
    assert "\n" not in message
    saved = trainer(tmp_path / "work").checkpoints.load(Recording())
    assert saved.state["update"] == 8
    assert all(np.isfinite(value).all() for value in saved.weights.values())
    assert same(train(tmp_path / "work"), train(tmp_path / "whole")), "without the fault it goes on as if it never was"


def test_non_finite_validation_loss_stops_training_with_clear_error(tmp_path):
    chosen, heard = backend(), Recording()
    chosen.row_losses = lambda question: RowLosses(np.full(question.batch_size, np.inf, np.float32), question.targets)
    with pytest.raises(TrainingError, match="the validation loss is inf at update 5"):
        train(tmp_path, chosen=chosen, observe=heard, evaluate_every=5)
    assert heard.metrics["training.not_finite"][-1] == (5, 1), "what alerts are made from"


def test_non_finite_gradient_leaves_weights_unchanged(tmp_path):
    chosen = backend()
    parameter = chosen.network.module.get_submodule("head.dense").weight
    parameter.register_hook(lambda gradient: gradient * float("inf"))
    before = chosen.weights()
    with pytest.raises(TrainingError, match=r"update 1: loss \d.*gradient norm (nan|inf)"):
        train(tmp_path, chosen=chosen)
    assert all(np.array_equal(before[name], value) for name, value in chosen.weights().items())


def test_training_without_rows_raises_clear_error(tmp_path):
    nothing = Examples.of([], [], 0)
    with pytest.raises(TrainingError, match="no rows to train on"):
        Trainer(backend(), ASK, nothing, made_up(3, 0), trainer(tmp_path).options, tmp_path, Recording())


def test_rows_with_only_special_tokens_have_zero_loss(tmp_path):
    empty = Examples.of([[2, 3]] * 4, ["a", "b", "c", "d"], 0)
    whole = Trainer(backend(), ASK, empty, made_up(5, 1), trainer(tmp_path).options, tmp_path, Recording())
    assert all(entry["loss"] == 0 for entry in whole.run("training").history["training"])
    assert np.isfinite(evaluate(backend(), ASK, empty, 64, 3))


def test_evaluation_is_reproducible_for_same_seed():
    chosen, rows = backend(config=CONFIG), made_up(20, 1)
    assert (
        evaluate(chosen, ASK, rows, 64, 3) == evaluate(chosen, ASK, rows, 64, 3) != evaluate(chosen, ASK, rows, 64, 4)
    )


def test_evaluation_is_mean_over_targets_for_any_batch_size():
    """By hand, of a backend that says for each row its first token, times its targets."""

    class Tokens:
        map = staticmethod(map_in_turn)

        def row_losses(self, question):
            each = question.inputs["input_ids"][:, 1].astype(np.float32)
            return RowLosses(each * question.targets, question.targets)

    rows = Examples.of([[2, 7, 3], [2, 9, 9, 9, 3], [2, 5, 5, 3]], ["a", "b", "c"], 0)

    def ask(batch, random, *, training):
        assert not training
        return ask_places(
            {"input_ids": batch.input_ids}, ~np.isin(batch.input_ids, [0, 2, 3]), batch.input_ids.astype(np.int64)
        )

    for batch_tokens in (1, 8, 1000):
        assert evaluate(Tokens(), ask, rows, batch_tokens, 0) == pytest.approx((7 + 3 * 9 + 2 * 5) / 6)


def test_random_draws_depend_on_seed_and_update_and_differ_in_evaluation(tmp_path):
    drawn = []

    def ask(batch, random, *, training):
        question = ASK(batch, random, training=training)
        drawn.append((training, random.random()))
        return question

    def numbers(name, **options):
        drawn.clear()
        options = trainer(tmp_path, **options).options
        Trainer(backend(), ask, made_up(60, 0), made_up(20, 1), options, tmp_path / name, Recording()).run("training")
        return [number for training, number in drawn if training], {
            number for training, number in drawn if not training
        }

    updates, evaluations = numbers("one")
    assert len(set(updates)) == len(updates) == 4 * 24, "a draw for each shard"
    assert len(evaluations) < sum(not training for training, _ in drawn), "each evaluation draws the same"
    assert not evaluations & set(updates)
    assert numbers("rarely", evaluate_every=24, checkpoint_every=1)[0] == updates
    assert not set(numbers("other", seed=4)[0]) & set(updates)


class Scores:
    """A metric that is what the script says at each evaluation, whatever was evaluated before a resume."""

    def __init__(self, chosen, values):
        self.chosen, self.values = chosen, values

    def __call__(self):
        done = max((int(v) for k, v in self.chosen.optimizer().items() if k.endswith("/step")), default=0)
        return self.values[done // 8 - 1]


def scored(work, values, higher_is_better=True, chosen=None, observe=None, **options):
    chosen = chosen or backend()
    made = trainer(work, observe, chosen, **options)
    made.scorer = Scorer("macro_f1", higher_is_better, Scores(chosen, values))
    return made.run("training")


@pytest.mark.parametrize(
    ("values", "higher_is_better", "best"),
    [
        ([0.2, 0.9, 0.5], True, 16),
        ([0.2, 0.9, 0.5], False, 8),
        ([0.5, 0.5, 0.5], True, 24),  # of equal scores the lower loss, and it learns
        ([0.9, 0.2, 0.1], True, 8),
    ],
)
def test_best_weights_are_chosen_by_metric_not_loss(tmp_path, values, higher_is_better, best):
    observe = Recording()
    result = scored(tmp_path, values, higher_is_better, observe=observe)
    assert result.history["best_update"] == best
    assert result.history["selected_by"] == "macro_f1"
    assert result.history["best_score"] == values[best // 8 - 1]
    assert [entry["score"] for entry in result.history["validation"]] == values
    assert result.history["best_loss"] == min(entry["loss"] for entry in result.history["validation"])
    assert observe.metrics["validation.score"] == [(8, values[0]), (16, values[1]), (24, values[2])]
    assert observe.metrics["validation.best_score"][-1] == (24, values[best // 8 - 1])
    short = train(tmp_path / "short", max_updates=24)
    if best == 24:
        assert digest_of_weights(result) == digest_of_weights(short)


def digest_of_weights(result):
    return {name: value.tobytes() for name, value in result.weights.items()}


def test_training_stops_early_by_metric(tmp_path):
    result = scored(tmp_path, [0.9, 0.5, 0.4, 0.3], max_updates=64, patience=2)
    assert (result.history["stopped_early"], result.history["updates"], result.history["best_update"]) == (True, 24, 8)


@pytest.mark.parametrize("at", [3, 9, 17, 23])
def test_resumed_training_with_metric_chooses_same_weights(tmp_path, listening, at):
    values = [0.4, 0.9, 0.4]
    whole = scored(tmp_path / "whole", values)
    chosen = backend()
    with pytest.raises(Interrupted):
        scored(tmp_path / "killed", values, chosen=Hooked(chosen, kill_at(at)), observe=listening)
    again = scored(tmp_path / "killed", values)
    assert same(again, whole)
    assert again.history["best_update"] == 16


def test_compilation_is_a_span_of_the_update_that_needed_it(tmp_path, monkeypatch):
    observe, compiled, seconds = Recording(), [], {0: 2.0, 5: 0.5}
    monkeypatch.setattr(observe, "past", lambda name, began_ns, **about: compiled.append((name, about["update"])))

    class Compiling(Hooked):
        compile_seconds = 0.0

        def update(self, shards, number, learning_rate):
            self.compile_seconds += seconds.get(number, 0.0)
            return super().update(shards, number, learning_rate)

    train(tmp_path, observe, Compiling(backend(), lambda *_: None))
    assert compiled == [("compile", 1), ("compile", 6)]
    assert {value for _, value in observe.metrics["training.compile_seconds"]} <= {2.0, 2.5}
    plain = Recording()
    train(tmp_path / "plain", plain)
    assert "training.compile_seconds" not in plain.metrics
