"""Roll-back after a loss spike: batches are left out, and nothing else is changed, whenever the training is killed."""

import math
import os
import signal

import pytest
import torch

from telemetry import Interrupted
from tests.signals import put_back
from tests.small_training import Hooked, Recording, backend, digest, recorded, same, train, trainer
from training.backend import Update
from training.errors import TrainingError
from training.options import TrainingOptions
from training.spikes import checkpoint_before, is_spike

SPIKE = {"spike": 3.0, "max_updates": 32}
BAD = "row13"  # its batch spoils the weights


pytestmark = pytest.mark.usefixtures("one_thread")


class Spoiling(Hooked):
    """A backend whose weights a batch with the bad row spoils, from the 12th update on: by a factor, or to NaN."""

    def __init__(self, factor=1e3, stop=None, kill=None):
        super().__init__(backend(), self._spoil)
        self.factor, self.stop, self.kill, self.done = factor, stop, kill, 0

    def _spoil(self, update, rows):
        if self.done == self.stop:
            if self.kill is None:
                raise RuntimeError("power cut")
            self.kill()
        self.done += 1
        if update >= 12 and BAD in rows:
            with torch.no_grad():
                self.network.module.token_vectors.mul_(self.factor)


@pytest.mark.parametrize(
    ("loss", "norm", "before", "expected"),
    [
        (6.1, 1.0, [3.0] * 10, True),
        (5.9, 1.0, [3.0] * 10, False),
        (100.0, 1.0, [3.0] * 9, False),  # too early to say what is usual
        (math.nan, 1.0, [], True),
        (1.0, math.inf, [], True),
    ],
)
def test_spike_is_a_multiple_of_the_median_or_not_finite(loss, norm, before, expected):
    assert is_spike(Update(loss, 5, norm), before, 2.0) is expected


def test_checkpoint_before_lacks_the_batch_and_the_one_before_it():
    assert [checkpoint_before(update, 4) for update in (1, 2, 5, 6, 9, 10, 13)] == [0, 0, 0, 4, 4, 8, 8]


def test_spike_at_most_the_usual_loss_is_refused():
    assert TrainingOptions(spike=0).spike == 0
    with pytest.raises(ValueError, match="give more than 1"):
        TrainingOptions(spike=0.9)


def test_roll_back_names_the_texts_of_blocks(tmp_path):
    result = train(tmp_path, chosen=Spoiling(), packing=True, **SPIKE)
    assert all(BAD in entry["rows"] and len(entry["rows"]) > 8 for entry in result.history["roll_backs"])
    assert result.history["roll_backs"]


@pytest.mark.parametrize("factor", [1e3, math.nan])
def test_batches_of_a_spike_are_left_out_and_weights_come_from_before_it(tmp_path, factor):
    observe = Recording()
    result = train(tmp_path / "spiked", observe, Spoiling(factor), **SPIKE)
    entries = result.history["roll_backs"]
    assert len(entries) == len(observe.of("training.rolled_back")) >= 2
    assert observe.counts["training.roll_backs"] == len(entries)
    for entry in entries:
        assert BAD in entry["rows"]
        assert entry["back_to"] < entry["update"] - 1
        assert (entry["loss"] is None) == math.isnan(factor)
    assert all(BAD not in rows for update, _, _, rows, _ in recorded(tmp_path / "spiked") if update > 12)
    clean = trainer(tmp_path / "clean", **SPIKE)
    clean.state.skipped = entries
    assert digest(clean.run("training")) == digest(result), "as if these batches were not there"


def test_training_without_a_spike_is_the_same_with_the_option(tmp_path):
    watched = train(tmp_path / "watched", spike=3.0)
    assert watched.history.pop("roll_backs") == []
    assert same(watched, train(tmp_path / "plain"))


@pytest.fixture(scope="module")
def spiked(tmp_path_factory):
    """Work folder and result of a training that was not killed."""
    work = tmp_path_factory.mktemp("spiked")
    return work, train(work, chosen=Spoiling(), **SPIKE)


@pytest.mark.parametrize("stop", [12, 15, 18, 24, 36])
def test_kill_and_resume_give_identical_result(tmp_path, spiked, stop):
    folder, whole = spiked
    with pytest.raises(RuntimeError, match="power cut"):
        train(tmp_path / "work", chosen=Spoiling(stop=stop), **SPIKE)
    assert same(train(tmp_path / "work", chosen=Spoiling(), **SPIKE), whole)
    assert recorded(tmp_path / "work") == recorded(folder)


def test_checkpoints_of_signals_do_not_change_the_result(tmp_path, spiked):
    """A signal's checkpoint is at any update; a training goes back to those at multiples of checkpoint_every alone."""
    _, whole = spiked
    result = None
    while result is None:
        with put_back():
            observe = Recording()
            observe.install_signal_handlers()
            signal.signal(signal.SIGALRM, signal.SIG_IGN)  # what is raised is caught here
            chosen = Spoiling(stop=2, kill=lambda: os.kill(os.getpid(), signal.SIGTERM))
            try:
                result = train(tmp_path / "work", observe, chosen, **SPIKE)
            except Interrupted:
                observe.signal_heard()
    assert same(result, whole)


def test_endless_spikes_stop_training_with_clear_error(tmp_path):
    class Nan(Hooked):
        def update(self, question, number, learning_rate):
            done = super().update(question, number, learning_rate)
            return Update(math.nan, done.targets, 1.0) if number >= 6 else done

    with pytest.raises(TrainingError, match="again, after 10 roll-backs to update 4; lower learning_rate") as raised:
        train(tmp_path, chosen=Nan(backend(), lambda *_: None), **SPIKE)
    assert "\n" not in str(raised.value)
