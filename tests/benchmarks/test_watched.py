"""nanoGPT's script with the lines that watch it."""

import pytest

from benchmarks.watched import with_watch

SCRIPT = """\
best = 9
while True:

    if evaluates:
        losses = estimate_loss()
        print(f"step {iter_num}: train loss {losses['train']:.4f}, val loss {losses['val']:.4f}")
    optimizer.zero_grad(set_to_none=True)
    if done:
        break

if ddp:
    destroy_process_group()
"""


def test_script_with_watch_has_the_loop_within_and_both_calls():
    assert with_watch(SCRIPT) == """\
best = 9
import glassformer
with glassformer.watch("nanogpt", config) as training:
    while True:

        if evaluates:
            losses = estimate_loss()
            print(f"step {iter_num}: train loss {losses['train']:.4f}, val loss {losses['val']:.4f}")
            training.validate(losses['val'].item())
        optimizer.zero_grad(set_to_none=True)
        training.update(
            loss.item() * gradient_accumulation_steps, tokens=tokens_per_iter, learning_rate=lr
        )
        if done:
            break

if ddp:
    destroy_process_group()
"""  # fmt: skip


def test_script_of_another_shape_is_refused():
    with pytest.raises(ValueError, match=r"0 lines 'while True:'"):
        with_watch(SCRIPT.replace("while True", "for iter_num in range(9)"))
