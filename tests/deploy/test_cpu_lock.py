"""`make setup TORCH=cpu`: the lock without CUDA, and what uv is asked for."""

import re
import shutil
import subprocess
import sys

import pytest

from artifacts.home import CHECKOUT
from deploy.cpu_lock import entries, torch_requirement, without_cuda

LOCK = (CHECKOUT / "requirements.lock").read_text(encoding="utf-8")


def names(lock):
    return re.findall(r"(?m)^([a-zA-Z0-9._-]+)==", lock)


def test_cpu_lock_lacks_torch_and_cuda_packages_alone():
    before, after = names(LOCK), names(without_cuda(LOCK))
    gone = set(before) - set(after)
    assert {"torch", "triton"} <= gone
    assert all(name in ("torch", "triton") or name.startswith(("nvidia-", "cuda-")) for name in gone)
    assert len([name for name in gone if name.startswith("nvidia-")]) > 10
    assert {"numpy", "mlflow", "networkx", "sympy"} <= set(after)


def test_kept_entries_keep_their_hashes():
    kept = [entry for entry in entries(without_cuda(LOCK)) if "==" in entry.partition("\n")[0]]
    assert len(kept) > 150
    assert all("--hash=sha256:" in entry for entry in kept)
    assert all(entry in LOCK for entry in kept)


def test_torch_has_version_of_lock():
    assert re.fullmatch(r"torch==\d+\.\d+\.\d+", torch_requirement(LOCK))
    with pytest.raises(SystemExit, match="no torch in the lock"):
        torch_requirement("numpy==2.4.6")


@pytest.fixture
def setup(tmp_path):
    """Runs deploy/setup.sh with a python that makes a hollow environment, and a uv that notes its arguments."""
    (tmp_path / "deploy").mkdir()
    for name in ("setup.sh", "cpu_lock.py"):
        shutil.copy(CHECKOUT / "deploy" / name, tmp_path / "deploy")
    shutil.copy(CHECKOUT / "requirements.lock", tmp_path)
    programs = tmp_path / "bin"
    programs.mkdir()
    python = programs / "python"
    python.write_text(
        '#!/bin/sh\ncase "$1 $2" in\n'
        '"-m venv") mkdir -p .venv/bin site && cp "$0" .venv/bin/python ;;\n'
        '"-c import sysconfig"*) echo site ;;\n'
        f'deploy/cpu_lock.py*) exec {sys.executable} "$@" ;;\n'
        "esac\n"
    )
    uv = programs / "uv"
    uv.write_text('#!/bin/sh\necho "$@" >>uv.txt\n')
    for program in (python, uv):
        program.chmod(0o755)

    def run(torch):
        environment = {"PATH": f"{programs}:/usr/bin:/bin", "TORCH": torch}
        done = subprocess.run(
            ["bash", "deploy/setup.sh", str(python)], cwd=tmp_path, env=environment, capture_output=True, text=True
        )
        asked = tmp_path / "uv.txt"
        return done, asked.read_text().splitlines() if asked.exists() else []

    return run


def test_setup_takes_torch_of_cpu_index_without_dependencies(setup, tmp_path):
    done, asked = setup("cpu")
    assert done.returncode == 0, done.stderr
    assert "build without\nCUDA comes from PyTorch's own index" in done.stdout
    assert re.search(r"--no-deps .*--torch-backend cpu torch==[\d.]+$", asked[0])
    assert re.search(r"--require-hashes --compile-bytecode -r \.venv/cpu\.lock$", asked[1])
    assert names((tmp_path / ".venv" / "cpu.lock").read_text()) == names(without_cuda(LOCK))


def test_setup_without_choice_takes_whole_lock(setup):
    done, asked = setup("")
    assert done.returncode == 0, done.stderr
    assert asked[0].endswith("--require-hashes --compile-bytecode -r requirements.lock")
    assert not any("--torch-backend" in line for line in asked)


def test_setup_refuses_unknown_torch(setup):
    done, asked = setup("rocm")
    assert (done.returncode, asked) == (2, [])
    assert done.stderr == "make setup: TORCH=rocm: give TORCH=cpu for PyTorch without CUDA, or leave it out\n"
