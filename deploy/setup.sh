#!/usr/bin/env bash
# Make .venv from requirements.lock: uv when it is there, else installed by pip first. Called by `make setup`.
# TORCH=cpu: PyTorch without CUDA.
set -euo pipefail
python=${1:-python3}
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || {
  echo "make setup: $("$python" --version) is too old; Glassformer needs Python 3.11 or later (make PYTHON=python3.11 …)" >&2
  exit 2
}
# `venv --clear` empties what a link leads to: the environment of another checkout, while others use it.
if [ -L .venv ]; then
  echo "make setup: .venv is a link to $(readlink .venv), which would be emptied; run make setup there, or remove the link for an environment here" >&2
  exit 2
fi
case "${TORCH:-}" in
  "" | cpu) ;;
  *)
    echo "make setup: TORCH=$TORCH: give TORCH=cpu for PyTorch without CUDA, or leave it out" >&2
    exit 2
    ;;
esac
packages=$(grep -c '==' requirements.lock)
if [ "${TORCH:-}" = cpu ]; then
  echo "make setup: the packages of requirements.lock into .venv, each checked against its hash, but for PyTorch: its build without"
  echo "CUDA comes from PyTorch's own index, unchecked, and takes 0.2 GB in place of 5"
else
  echo "make setup: $packages packages from requirements.lock into .venv, each checked against its hash: 6.9 GB on the disk, a few"
  echo "minutes the first time (most of it PyTorch; what uv has in its cache is not downloaded again)"
fi
say() { echo "make setup: $(date +%H:%M:%S) $*"; }
rm -f .venv/.ready
say "1 of 4: a new environment with $("$python" --version)"
"$python" -m venv --clear .venv
if command -v uv >/dev/null; then uv=uv; else .venv/bin/python -m pip install --quiet uv && uv=.venv/bin/uv; fi
say "2 of 4: download, unpack and compile"
quiet=--quiet; [ -t 2 ] && quiet=  # uv shows its progress on a terminal
# Compiled here, once: some machines forbid Python to write bytecode, and every start would then compile torch anew.
lock=requirements.lock
if [ "${TORCH:-}" = cpu ]; then
  lock=.venv/cpu.lock
  "$python" deploy/cpu_lock.py requirements.lock >"$lock"
  torch=$("$python" deploy/cpu_lock.py requirements.lock --torch)
  VIRTUAL_ENV=.venv "$uv" pip install $quiet --no-deps --compile-bytecode --torch-backend cpu "$torch"
fi
VIRTUAL_ENV=.venv "$uv" pip install $quiet --require-hashes --compile-bytecode -r "$lock"
say "3 of 4: the command glassformer"
# Editable: the command runs this checkout. The build backend is the one of the lock, so nothing comes without a hash.
VIRTUAL_ENV=.venv "$uv" pip install $quiet --no-deps --no-build-isolation --editable .
say "4 of 4: settings"
# Nothing in this environment phones home, also when `mlflow` is called directly.
site=$(.venv/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
cat >"$site/glassformer_quiet.pth" <<'PTH'
import os; [os.environ.setdefault(k, v) for k, v in {"MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "true", "HF_HUB_DISABLE_TELEMETRY": "1"}.items()]
PTH
touch .venv/.ready
echo "ready: .venv ($(du -sh .venv | cut -f1))"
