#!/usr/bin/env bash
# Make .venv from requirements.lock: uv when it is there, else installed by pip first. Called by `make setup`.
set -euo pipefail
python=${1:-python3}
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || {
  echo "make setup: $("$python" --version) is too old; Glassformer needs Python 3.11 or later (make PYTHON=python3.11 …)" >&2
  exit 2
}
rm -f .venv/.ready
"$python" -m venv --clear .venv
if command -v uv >/dev/null; then uv=uv; else .venv/bin/python -m pip install --quiet uv && uv=.venv/bin/uv; fi
# Compiled here, once: some machines forbid Python to write bytecode, and every start would then compile torch anew.
VIRTUAL_ENV=.venv "$uv" pip install --quiet --require-hashes --compile-bytecode -r requirements.lock
# Nothing in this environment phones home, also when `mlflow` is called directly.
site=$(.venv/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
cat >"$site/glassformer_quiet.pth" <<'PTH'
import os; [os.environ.setdefault(k, v) for k, v in {"MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "true", "HF_HUB_DISABLE_TELEMETRY": "1"}.items()]
PTH
touch .venv/.ready
echo "ready: .venv ($(du -sh .venv | cut -f1))"
