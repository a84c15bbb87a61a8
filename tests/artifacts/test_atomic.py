"""Killed at any write, fsync or rename: a reader finds the old or the new, never half."""

import subprocess
import sys
from pathlib import Path

import pytest

from artifacts import open_artifact

# Kills the process at the nth call of os.open, os.fsync, os.rename or os.replace, before it happens.
KILLER = """
import os, signal, sys
from pathlib import Path
count, at = 0, int(sys.argv[2])
def killing(call):
    def run(*args, **kwargs):
        global count
        count += 1
        if count == at:
            os.kill(os.getpid(), signal.SIGKILL)
        return call(*args, **kwargs)
    return run
for name in ("open", "fsync", "rename", "replace"):
    setattr(os, name, killing(getattr(os, name)))
from artifacts import Output
root = Path(sys.argv[1])
output = Output("corpus", root / "work", root=root)
output.file("train.txt").write_text("rows " * 10_000)
output.file("deep/more.txt").write_text("more")
output.sidecar("times.json").write_text("now")
made = output.commit()
print(count)
"""


def run(root: Path, at: int) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", KILLER, str(root), str(at)], capture_output=True, text=True)


def whole_artifacts(root: Path) -> list[str]:
    return [open_artifact(path).digest for path in (root / "artifacts").glob("corpus/*")]


def test_commit_killed_at_any_call_leaves_whole_artifact_or_no_artifact(tmp_path):
    undisturbed = run(tmp_path / "whole", 0)
    calls = int(undisturbed.stdout)
    expected = whole_artifacts(tmp_path / "whole")
    assert calls >= 8
    assert len(expected) == 1
    outcomes = set()
    for at in range(1, calls + 1):
        root = tmp_path / str(at)
        root.mkdir()
        killed = run(root, at)
        assert killed.returncode == -9
        found = whole_artifacts(root)
        assert found in ([], expected)
        outcomes.add(len(found))
        assert run(root, 0).returncode == 0, "a rerun after the kill works"
        assert set(whole_artifacts(root)) == set(expected)
    assert outcomes == {0, 1}, "some kills come before the rename and some after, else this proves nothing"


def test_kill_harness_detects_non_atomic_write(tmp_path):
    """The control: without the temporary name, a kill does leave a half behind."""
    code = KILLER.replace(
        "output = Output", "(root / 'artifacts/corpus/x').mkdir(parents=True)\noutput = Output"
    ).replace("made = output.commit()", "(root / 'artifacts/corpus/x/manifest.json').write_text('{'); os.fsync(0)")
    root = tmp_path / "control"
    root.mkdir()
    process = subprocess.run([sys.executable, "-c", code, str(root), "1"], capture_output=True, text=True)
    assert process.returncode == -9
    with pytest.raises(Exception, match="damaged"):
        whole_artifacts(root)
