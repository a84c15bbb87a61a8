"""Presets: named choices of architecture, one file each in `models/presets/`, with the paper's section beside each value.

They are data: changing one changes what is asked for, and nothing of the code that is asked.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

FOLDER = Path(__file__).with_name("presets")


def available() -> list[str]:
    """Names of the presets."""
    return sorted(path.stem for path in FOLDER.glob("*.yaml"))


def read(name: str) -> dict[str, Any]:
    """A preset's choices, `preset` among them. ValueError names those there are."""
    import yaml

    if name not in available():
        raise ValueError(f"no preset {name!r}; known: {', '.join(available())}")
    return {**yaml.safe_load((FOLDER / f"{name}.yaml").read_text(encoding="utf-8")), "preset": name}
