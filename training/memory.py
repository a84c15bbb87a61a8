"""Word of a device whose memory ran out: once in the log, and in the history of the training."""

from __future__ import annotations

from typing import TYPE_CHECKING

from training.backend import Update
from training.checkpoints import State

if TYPE_CHECKING:
    from telemetry import Observe


def note_parts(done: Update, state: State, observe: Observe) -> None:
    """Say so if this update's shards were computed in more parts than those before."""
    known = state.history.get("out_of_memory", [])
    if done.parts <= (known[-1]["parts"] if known else 1):
        return
    state.history["out_of_memory"] = [*known, {"update": state.update, "parts": done.parts}]
    message = (
        f"out of memory at update {state.update}: from here on each shard is computed in {done.parts} parts, which is slower; "
        "a smaller batch_tokens avoids it"
    )
    observe.log("training.out_of_memory", message, level="warning", update=state.update, parts=done.parts)
