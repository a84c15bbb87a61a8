"""A full disk, and a home that cannot be written: a clear error soon, nothing half-written, and a rerun that works."""

import os
import subprocess
import time

import pytest

from artifacts import open_artifact
from tests.pipeline_home import Home

pytestmark = pytest.mark.slow


@pytest.fixture
def small_disk(tmp_path):
    """A home on a file system of its own, whose size and mode a test can change; the tracking store lies elsewhere."""
    home = Home(tmp_path)
    home.state.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(home.state)], capture_output=True, text=True
    )
    if mounted.returncode:
        assert not os.environ.get("CI"), f"CI runs as root and can mount: {mounted.stderr}"
        pytest.skip(f"cannot mount a small file system here ({mounted.stderr.strip()}); run as root")

    def change(options):
        subprocess.run(["mount", "-o", f"remount,{options}", str(home.state)], check=True)

    home.client().search_experiments()
    yield home, change
    subprocess.run(["umount", "-l", str(home.state)], check=True)


def whole_artifacts(home):
    return [open_artifact(path) for path in (home.state / "artifacts").glob("*/*")]


def test_full_disk_is_reported_and_rerun_works(small_disk):
    home, change = small_disk
    started = time.monotonic()
    output = home.run("run", "tiny", expect=1)
    assert "no space left on the disk" in output
    assert "Traceback" not in output
    assert str(home.state) in output
    assert time.monotonic() - started < 60
    assert whole_artifacts(home) == []
    change("size=200m")
    home.run("run", "tiny", "--to", "train_tokenizer")
    assert [made.kind for made in whole_artifacts(home)] != []


def test_read_only_home_is_reported_at_once(small_disk):
    home, change = small_disk
    change("ro")
    started = time.monotonic()
    output = home.run("run", "tiny", expect=1)
    assert time.monotonic() - started < 5
    assert str(home.state) in output
    assert "Read-only file system" in output
    assert "Traceback" not in output
    change("rw,size=200m")
    home.run("run", "tiny", "--to", "prepare_data")


def test_single_step_reports_read_only_home(small_disk):
    home, change = small_disk
    change("ro")
    output = home.run("--libraries", "fsspec", module="steps.prepare_data", expect=1)
    assert "cannot be written" in output
    assert "set GLASSFORMER_HOME" in output
    assert "Traceback" not in output


def test_home_path_that_is_a_file_is_reported(tmp_path):
    home = Home(tmp_path)
    home.state.write_text("not a folder")
    output = home.run("run", "tiny", expect=1)
    assert str(home.state) in output
    assert "Traceback" not in output
