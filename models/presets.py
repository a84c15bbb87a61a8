"""Presets: named choices of architecture, one file each in `models/presets/`, with the paper's section next to each value.

They are data: changing one changes the requested architecture, never the code. What stands under `paper` is
about the published model and no choice: its vocabulary, its size. `models.show` compares with it.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).with_name("presets")
_COMMENTED_FIELD = re.compile(r"^(\w+):[^#\n]*\S[^#\n]*#[ ]*(.+)$", re.MULTILINE)


def available() -> list[str]:
    """Names of the presets."""
    return sorted(path.stem for path in FOLDER.glob("*.yaml"))


def read(name: str) -> dict[str, Any]:
    """A preset's choices, `preset` among them. ValueError names those there are."""
    return {**{key: value for key, value in _content(name).items() if key != "paper"}, "preset": name}


def paper(name: str) -> dict[str, Any]:
    """The published model: `part`, `parameters`, and values set by its data (`vocab_size`, the size of images)."""
    return dict(_content(name).get("paper") or {})


def headline(name: str) -> str:
    """The paper: the sentence of a preset's first comment lines."""
    lines = _text(name).splitlines()
    end = next((number for number, line in enumerate(lines) if not line.startswith("#")), len(lines))
    return " ".join(line.lstrip("# ").strip() for line in lines[:end])


def remarks(name: str) -> dict[str, str]:
    """The comments of a preset by field: mostly the paper's section."""
    return dict(_COMMENTED_FIELD.findall(_text(name)))


def _content(name: str) -> dict[str, Any]:
    import yaml

    return dict(yaml.safe_load(_text(name)))


def _text(name: str) -> str:
    if name not in available():
        raise ValueError(f"no preset {name!r}; known: {', '.join(available())}")
    return (FOLDER / f"{name}.yaml").read_text(encoding="utf-8")
