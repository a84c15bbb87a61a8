"""The training loop: batches in a fixed order, a schedule, evaluations, checkpoints, and a watch on the loss.

Killed at any update and started again it ends with the same bytes: what it does next depends on the last checkpoint,
the config and the data alone. Time decides nothing but what is shown.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from models.chance import generator_of
from models.network import Weights
from training.backend import Backend, Update
from training.batches import Examples, Rows, epoch
from training.checkpoints import Checkpoints, Saved, State
from training.errors import TrainingError
from training.memory import note_parts
from training.options import TrainingOptions
from training.ranks import RankLostError, current, run_of
from training.shards import cut
from training.spikes import WINDOW, check, checkpoint_before, entry_of, is_spike, places_without
from training.throughput import Throughput
from training.update_log import LINES, Entry, UpdateLog
from training.validation import Ask, Scorer, evaluate, is_best

if TYPE_CHECKING:
    from telemetry import Observe


@dataclass(frozen=True)
class Result:
    """The best weights, by validation loss or by a Scorer, and how it went."""

    weights: Weights
    history: dict[str, Any]


class Trainer:
    """One training, from wherever its checkpoints say it is, to its end."""

    def __init__(
        self, backend: Backend, ask: Ask, train: Rows, validation: Examples, options: TrainingOptions, work: Path, observe: Observe,
        samples: Callable[[], list[list[str]]] = list, scorer: Scorer | None = None,
    ) -> None:  # fmt: skip
        """`samples` is asked after each evaluation, for pairs of a text and what the network makes of it. With a `scorer` the
        weights with the best score are kept, of equal scores those with the lower loss; else those with the lowest loss."""
        if not len(train) or not len(validation):
            raise TrainingError("no rows to train on, or none to validate with: check the corpus's splits and labels")
        self.backend, self.ask, self.train, self.validation = backend, ask, train, validation
        self.options, self.observe, self.samples, self.scorer = options, observe, samples, scorer
        regular = options.checkpoint_every if options.spike else 0
        self.checkpoints, self.record = Checkpoints(work / "checkpoints", every=regular), UpdateLog(work / LINES)
        self.state = State()
        self.best: Weights | None = None
        self.ranks = current()
        self._own = run_of(self.ranks, options.shards)

    def run(self, name: str) -> Result:
        """Train; Interrupted, after a checkpoint, when a signal asks to end."""
        self._resume()
        if self.options.spike and not self.state.update:
            self._save()  # the start is a checkpoint to go back to
        total = self.options.max_updates
        with (
            self.observe.hold_signals(),
            self.observe.progress(name, total, "updates") as progress,
            closing(self.record),
        ):
            progress.already(self.state.update)
            throughput, batches = Throughput(), self._batches()
            while not self._is_done():
                spike: Update | None = None
                with self._interval() as updates:
                    for rows in islice(batches, updates):
                        done = self._update(rows)
                        throughput.add(self.train.tokens(rows))
                        progress.update(1, loss=done.loss, **{"tokens/s": throughput.tokens_per_second})
                        if self._is_spike(done):
                            spike = done
                            break
                        self._after_update(throughput)
                        self._stop_if_asked()
                if spike:
                    progress.update(-self._roll_back(spike))
                    batches = self._batches()
        assert self.best is not None  # the last update evaluates
        return Result(self.best, self._history())

    def _stop_if_asked(self) -> None:
        if self.observe.stop_requested:
            self._save()
            self.observe.raise_if_stopped()

    def _is_done(self) -> bool:
        return self.state.update >= self.options.max_updates or self.state.stopped_early

    @contextmanager
    def _interval(self) -> Iterator[int]:
        """The span that the updates up to the next reading are within, and how many these are at most."""
        with self.observe.span("interval", first_update=self.state.update + 1):
            try:
                yield self.options.log_every - self.state.update % self.options.log_every
            finally:
                self.observe.annotate(last_update=self.state.update)

    def _after_update(self, throughput: Throughput) -> None:
        update, last = self.state.update, self.state.update == self.options.max_updates
        if last or update % self.options.log_every == 0:
            self._log(throughput)
        if last or update % self.options.evaluate_every == 0:
            with self.backend.average():
                self._evaluate()
        if update % self.options.checkpoint_every == 0:
            self._save()

    def _update(self, rows: NDArray[np.int64]) -> Update:
        state, options = self.state, self.options
        rate = options.learning_rate_at(state.update)
        started, compiled = time.monotonic(), self.backend.compile_seconds
        shards, progress = cut(rows, options.shards), state.update / options.max_updates
        questions = [
            self.ask(self.train.batch(own, progress), generator_of(options.seed, state.update, number), training=True)
            for number, own in enumerate(shards)
            if number in self._own
        ]
        try:
            done = self.backend.update(questions, state.update, rate)
        except RankLostError:  # by a signal to all ranks, it may be; nothing of this update has been done
            self._save()
            self.observe.raise_if_stopped()
            raise
        seconds = time.monotonic() - started
        self._note_compilation(self.backend.compile_seconds - compiled)
        state.update += 1
        state.place += 1
        self.observe.measure("training.update_loss", done.loss, update=state.update)
        self.observe.measure("training.update_seconds", seconds, update=state.update)
        members = self.train.members(rows)
        ids = [self.train.ids[example] for those in members for example in those]
        self._keep(members, ids, done, seconds)
        note_parts(done, state, self.observe)
        if done.skipped:
            message = f"update {state.update} skipped: its gradient overflowed in float16; the next is scaled down by 2"
            self.observe.log("training.overflow", message, level="warning", update=state.update)
            done = replace(done, gradient_norm=0.0)
        if not options.spike and not (math.isfinite(done.loss) and math.isfinite(done.gradient_norm)):
            self.observe.metric("training.not_finite", 1, update=state.update)
            raise TrainingError(
                f"not finite at update {state.update}: loss {done.loss:.6g}, gradient norm {done.gradient_norm:.6g}, "
                f"learning rate {rate:.3g}; lower learning_rate ({options.learning_rate:g}), lengthen the warm-up, or "
                f"look at the rows of this batch: {', '.join(dict.fromkeys(ids))}"
            )
        state.loss_sum += done.loss * done.targets
        state.targets += done.targets
        state.norm_sum += done.gradient_norm
        state.tokens += self.train.tokens(rows)
        state.padded += sum(self.train.size(own) for own in shards)
        return done

    def _note_compilation(self, seconds: float) -> None:
        """Record a span of so many seconds of compiling, which ends now with its update."""
        if seconds > 0:
            self.observe.past("compile", time.time_ns() - int(seconds * 1e9), update=self.state.update + 1)

    def _is_spike(self, done: Update) -> bool:
        """Whether to go back; else the update's loss is one of those that the next ones are compared with."""
        state, times = self.state, self.options.spike
        if not times:
            return False
        if is_spike(done, state.recent, times):
            return True
        state.recent = [*state.recent, done.loss][-WINDOW:]
        return False

    def _roll_back(self, done: Update) -> int:
        """Go back to the checkpoint before a spike, and leave out its batch and the one before it. Returns the updates undone."""
        state, every = self.state, self.options.checkpoint_every
        back_to = checkpoint_before(state.update, every)
        entry = entry_of(done, state.recent, state.update, back_to, state.epoch, state.place - 1)
        order = epoch(self.train, self.options.batch_tokens, self.options.seed, state.epoch)
        rows = [
            self.train.ids[row]
            for _, place in entry["batches"]
            for row in np.concatenate(self.train.members(order[place]))
        ]
        skipped = [*state.skipped, entry | {"rows": list(dict.fromkeys(rows))}]
        check(skipped, self.options)
        left_out = f"{len(entry['batches'])} batches ({len(rows)} rows) are left out"
        message = f"loss {done.loss:.4g} at update {state.update}: back to update {back_to}; {left_out}"
        self.observe.log("training.rolled_back", message, level="warning", **entry)
        self.checkpoints.forget_after(back_to)
        self.record.close()
        self._resume()
        self.state.skipped = skipped
        self.observe.count("training.roll_backs")
        return state.update - self.state.update

    def _keep(self, members: list[NDArray[np.int64]], ids: list[str], done: Update, seconds: float) -> None:
        """Note which examples it was, also of an update that went wrong."""
        parts = self.train.parts[np.concatenate(members)].tolist()
        blocks = [len(those) for those in members] if self.options.packing else []
        times, span = (round(seconds, 6), round(time.time(), 3)), (self.observe.trace_id, self.observe.span_id)
        self.record.add(Entry(self.state.update, done.loss, done.gradient_norm, *times, *span, ids, parts, blocks))

    def _log(self, throughput: Throughput) -> None:
        state, observe, entries = self.state, self.observe, self.state.history["training"]
        updates = state.update - (entries[-1]["update"] if entries else 0)
        entry = {
            "update": state.update,
            "loss": state.loss_sum / max(1, state.targets),
            "tokens": state.tokens,
            "learning_rate": self.options.learning_rate_at(state.update - 1),
            "gradient_norm": state.norm_sum / updates,
        }
        entries.append(entry)
        observe.metric("training.loss", entry["loss"], update=state.update)
        observe.metric("training.learning_rate", entry["learning_rate"], update=state.update)
        observe.metric("training.gradient_norm", entry["gradient_norm"], update=state.update)
        observe.metric("training.tokens_per_second", throughput.tokens_per_second, update=state.update)
        observe.metric("training.updates_per_second", throughput.updates_per_second, update=state.update)
        observe.metric("training.updates", state.update, update=state.update)
        observe.metric("training.tokens", state.tokens, update=state.update)
        observe.metric("training.seconds", throughput.seconds, update=state.update)
        if self.backend.compile_seconds:
            observe.metric("training.compile_seconds", self.backend.compile_seconds, update=state.update)
        observe.metric("training.padding_share", 1 - state.tokens / state.padded, update=state.update)
        observe.metric("training.not_finite", 0, update=state.update)
        if self.options.spike:
            observe.count("training.roll_backs", 0)  # there is a series before the first
        state.loss_sum, state.targets, state.norm_sum = 0.0, 0, 0.0

    def _evaluate(self) -> None:
        state = self.state
        with self.observe.phase("validate"):
            loss = evaluate(self.backend, self.ask, self.validation, 2 * self.options.batch_tokens, self.options.seed)
            score = self._score()
        state.history["validation"].append(
            {"update": state.update, "loss": loss} | ({} if score is None else {"score": score})
        )
        if self.ranks.rank == 0 and (written := self.samples()):
            state.history.setdefault("samples", []).append({"update": state.update, "texts": written})
        self.observe.metric("validation.loss", loss, update=state.update)
        if not math.isfinite(loss):
            self.observe.metric("training.not_finite", 1, update=state.update)
            raise TrainingError(f"the validation loss is {loss} at update {state.update}; lower the learning rate")
        if is_best(state, self.scorer, loss, score):
            state.best_update, state.waited = state.update, 0
            self.best = self.backend.weights()
        else:
            state.waited += 1
            state.stopped_early = 0 < self.options.patience <= state.waited
        self.observe.metric("validation.best_loss", state.best_loss or 0.0, update=state.update)
        if score is not None:
            self.observe.metric("validation.score", score, update=state.update)
            self.observe.metric("validation.best_score", state.best_score or 0.0, update=state.update)

    def _score(self) -> float | None:
        """The scorer's metric, measured by rank 0."""
        if self.scorer is None:
            return None
        return self.ranks.broadcast(self.scorer.measure() if self.ranks.rank == 0 else 0.0)

    def _batches(self) -> Iterator[NDArray[np.int64]]:
        while not self._is_done():
            order = epoch(self.train, self.options.batch_tokens, self.options.seed, self.state.epoch)
            without = places_without(self.state.skipped, self.state.epoch)
            for place in range(self.state.place, len(order)):
                if place in without:
                    self.state.place += 1
                    continue
                yield order[place]
                if self._is_done():
                    return
            self.state.epoch, self.state.place = self.state.epoch + 1, 0

    def _save(self) -> None:
        if self.ranks.rank:
            return
        with self.observe.phase("checkpoint"):
            self.record.sync()
            self.checkpoints.save(Saved(self.backend.weights(), self.best, self.backend.optimizer(), vars(self.state)))

    def _resume(self) -> None:
        saved = self.ranks.broadcast(self.checkpoints.load(self.observe))
        if saved is not None:
            self.backend.load_weights(saved.weights)
            self.backend.load_optimizer(saved.optimizer)
            self.best = saved.best
            self.state = State(**saved.state)
        if missing := self.record.go_on_after(self.state.update):
            message = f"{self.record.path}: lacks {missing} updates; the rows they trained on are no longer known"
            self.observe.log("record.damaged", message, level="warning")

    def _history(self) -> dict[str, Any]:
        state = self.state
        batches = epoch(self.train, self.options.batch_tokens, self.options.seed, state.epoch)
        epochs = state.epoch + state.place / len(batches)
        return {
            **state.history,
            "updates": state.update,
            "epochs": round(epochs, 3),
            "tokens": state.tokens,
            "padding_share": 1 - state.tokens / state.padded,
            "best_update": state.best_update,
            "best_loss": state.best_loss,
            "stopped_early": state.stopped_early,
            **({"roll_backs": state.skipped} if self.options.spike else {}),
            **({"selected_by": self.scorer.metric, "best_score": state.best_score} if self.scorer else {}),
        }
