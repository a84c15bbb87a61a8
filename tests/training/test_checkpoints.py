"""Checkpoints: whole or not there, checked when read, the one before when damaged; killed at any moment, nothing is lost."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.small_training import Recording
from training.checkpoints import Checkpoints, Saved
from training.errors import TrainingError

ROOT = Path(__file__).resolve().parents[2]
FILES = ["manifest.json", "state.json", "weights.safetensors", "best.safetensors", "optimizer.safetensors"]


def saved(update, best=True):
    weights = {"a.weight": np.arange(6, dtype=np.float32).reshape(2, 3) + update, "b": np.float32(update).reshape(())}
    optimizer = {"a.weight/step": np.array(update, np.float32)}
    return Saved(weights, weights if best else None, optimizer, {"update": update, "loss": 0.1 + update})


def filled(folder, *updates, keep=2):
    checkpoints = Checkpoints(folder, keep)
    for update in updates:
        checkpoints.save(saved(update))
    return checkpoints


def load(checkpoints):
    observe = Recording()
    return checkpoints.load(observe), [message for _, message in observe.of("checkpoint.damaged")]


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_saved_checkpoint_loads_bit_for_bit(tmp_path):
    found, warnings = load(filled(tmp_path, 100))
    expected = saved(100)
    assert not warnings
    assert found.state == expected.state
    for ours, theirs in ((found.weights, expected.weights), (found.optimizer, expected.optimizer)):
        assert {name: (value.shape, value.tobytes()) for name, value in ours.items()} == {
            name: (value.shape, value.tobytes()) for name, value in theirs.items()
        }


def test_checkpoint_without_best_weights_has_no_best(tmp_path):
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save(saved(1, best=False))
    assert load(checkpoints)[0].best is None


def test_missing_folder_loads_no_checkpoint(tmp_path):
    assert load(Checkpoints(tmp_path / "nothing")) == (None, [])


def test_nearest_prefers_earlier_checkpoint_and_changes_nothing(tmp_path):
    checkpoints = filled(tmp_path, 100, 200)
    (tmp_path / "update-00000300.tmp").mkdir()
    before = names(tmp_path)
    assert [checkpoints.nearest(update).state["update"] for update in (1, 100, 101, 200, 201, 999)] == [
        100,
        100,
        100,
        100,
        200,
        200,
    ]
    flip(tmp_path / "update-00000200" / "weights.safetensors")
    assert checkpoints.nearest(999).state["update"] == 100, "a damaged one is passed over"
    flip(tmp_path / "update-00000100" / "state.json")
    assert checkpoints.nearest(999) is None
    assert names(tmp_path) == before
    assert Checkpoints(tmp_path / "nothing").nearest(5) is None


def test_only_newest_checkpoints_are_kept(tmp_path):
    filled(tmp_path, 1, 2, 3, 10)
    assert names(tmp_path) == ["update-00000003", "update-00000010"]


def test_checkpoint_holds_only_json_and_safetensors(tmp_path):
    filled(tmp_path, 1)
    assert {path.suffix for path in tmp_path.rglob("*") if path.is_file()} == {".json", ".safetensors"}


def truncate(path):
    path.write_bytes(path.read_bytes()[:-7])


def empty(path):
    path.write_bytes(b"")


def flip(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 4
    path.write_bytes(content)


@pytest.mark.parametrize("harm", [truncate, empty, flip, Path.unlink])
@pytest.mark.parametrize("name", FILES)
def test_damaged_checkpoint_falls_back_and_warning_names_file(tmp_path, harm, name):
    checkpoints = filled(tmp_path, 100, 200)
    harm(tmp_path / "update-00000200" / name)
    found, warnings = load(checkpoints)
    assert found.state["update"] == 100
    assert len(warnings) == 1
    assert "falling back" in warnings[0]
    assert f"update-00000200{os.sep}" in warnings[0]
    if name != "manifest.json":
        assert name in warnings[0]
    assert load(checkpoints)[1] == [], "it is put aside, and told once"
    checkpoints.save(saved(200))
    assert load(checkpoints)[0].state["update"] == 200


def test_flipped_bit_in_any_file_is_detected(tmp_path):
    """A flip of any byte of any file is noticed, or changes nothing (white space of the manifest)."""
    checkpoints = filled(tmp_path, 100, 200)
    newest = tmp_path / "update-00000200"
    for name in FILES:
        content = (newest / name).read_bytes()
        for place in range(0, len(content), max(1, len(content) // 40)):
            (newest / name).write_bytes(content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :])
            found, warnings = load(checkpoints)
            assert found.state == saved(100 if warnings else 200).state
            if warnings:
                newest.with_suffix(".damaged").rename(newest)
            else:
                assert name == "manifest.json"
        (newest / name).write_bytes(content)


def test_all_checkpoints_damaged_raises_clear_error(tmp_path):
    checkpoints = filled(tmp_path, 100, 200)
    for folder in tmp_path.iterdir():
        flip(folder / "weights.safetensors")
    with pytest.raises(TrainingError) as raised:
        load(checkpoints)
    message = str(raised.value)
    assert message.startswith("every checkpoint is damaged")
    assert str(tmp_path / "update-00000200" / "weights.safetensors") in message
    assert message.endswith(f"delete {tmp_path} to train from the start")
    assert names(tmp_path) == ["update-00000100", "update-00000200"], "nothing is thrown away unasked"


def test_saving_same_update_keeps_existing_checkpoint(tmp_path):
    checkpoints = filled(tmp_path, 100)
    before = (tmp_path / "update-00000100" / "state.json").stat().st_ino
    checkpoints.save(saved(100))
    assert (tmp_path / "update-00000100" / "state.json").stat().st_ino == before


def test_incomplete_checkpoint_is_ignored_and_removed(tmp_path):
    checkpoints = filled(tmp_path, 100)
    half = tmp_path / "update-00000200.tmp"
    half.mkdir()
    (half / "weights.safetensors").write_bytes(b"half")
    assert load(checkpoints)[0].state["update"] == 100
    assert names(tmp_path) == ["update-00000100"]


# One process that has PyTorch loaded, and forks a training for each kill: at the nth call that changes the disk, before
# it happens. Then it forks another that goes on. Prints the digest of each finished training; argument: every how many
# calls. Three checkpoints are written, and from the third on one is removed each time.
KILLS = """
import os, signal, sys
from pathlib import Path
import safetensors.numpy, torch
from telemetry import Observe
from tests.small_training import Recording, digest, recorded, train
from training.checkpoints import Checkpoints
from training import shards
torch.set_num_threads(1)
shards.cores = lambda: 1  # a forked process cannot start threads that use PyTorch
root, step = Path(sys.argv[1]), int(sys.argv[2])

def forked(work, at=0):
    child = os.fork()
    if child == 0:
        count = 0
        def killing(call):
            def instead(*args, **kwargs):
                nonlocal count
                count += 1
                if count == at:
                    os.kill(os.getpid(), signal.SIGKILL)
                return call(*args, **kwargs)
            return instead
        for name in ("fsync", "rename", "replace", "rmdir", "unlink", "mkdir"):
            setattr(os, name, killing(getattr(os, name)))
        safetensors.numpy.save_file = killing(safetensors.numpy.save_file)
        import training.checkpoints
        training.checkpoints.save_file = safetensors.numpy.save_file
        made = f"{digest(train(work, max_updates=12))} {recorded(work)}"
        (root / "digest").write_text(made)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        assert os.WTERMSIG(status) == signal.SIGKILL
        return None
    assert status == 0, status
    return (root / "digest").read_text()

# This also loads what PyTorch loads late.
expected = f"{digest(train(root / 'whole', max_updates=12))} {recorded(root / 'whole')}"
at, killed = 1, 0
while (found := forked(root / str(at), at)) is None:
    observe = Recording()
    Checkpoints(root / str(at) / "checkpoints").load(observe)
    assert not observe.of("checkpoint.damaged"), (at, observe.records)
    assert forked(root / str(at)) == expected, at
    at, killed = at + step, killed + 1
assert found == expected
print(killed)
"""


@pytest.mark.parametrize("step", [7, pytest.param(1, marks=pytest.mark.slow)])
def test_training_resumed_after_kill_gives_identical_result(tmp_path, step):
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", KILLS, str(tmp_path), str(step)],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert int(done.stdout) * step > 45, "there are about as many calls to kill at"


def test_kill_during_save_leaves_old_or_new_checkpoint(tmp_path):
    """The same in one process: a call that raises in place of a kill, and nothing that tidies up behind it."""
    outcomes = set()
    for at in range(1, 100):
        folder = tmp_path / str(at)
        child = os.fork()
        if child == 0:
            _save_and_die(folder, at)
        _, status = os.waitpid(child, 0)
        killed = os.WIFSIGNALED(status)
        found, warnings = load(Checkpoints(folder))
        assert not warnings
        outcomes.add(found.state["update"])
        if not killed:
            break
    assert not killed, "the last one was not killed: every call was"
    assert at > 15
    assert outcomes == {200, 300}


def _save_and_die(folder, at):
    import signal

    checkpoints, count = filled(folder, 100, 200), 0

    def killing(call):
        def instead(*args, **kwargs):
            nonlocal count
            count += 1
            if count == at:
                os.kill(os.getpid(), signal.SIGKILL)
            return call(*args, **kwargs)

        return instead

    for name in ("open", "fsync", "rename", "replace", "rmdir", "unlink", "mkdir"):
        setattr(os, name, killing(getattr(os, name)))
    checkpoints.save(saved(300))
    os._exit(0)
