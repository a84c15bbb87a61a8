"""Glassformer from Python, and the command `glassformer` (see docs/python.md)."""

from __future__ import annotations

from pathlib import Path

_HERE = Path(__file__).resolve().parent
# All other packages and the files they need: a checkout, or the copy of one that an installed package holds.
PROJECT = _HERE / "project" if (_HERE / "project").is_dir() else _HERE.parent
