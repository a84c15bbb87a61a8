"""Small corpora of images, made by the code that makes real ones; and image files good and bad."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from artifacts import Artifact, Output
from artifacts.images import png
from telemetry import Observe


def digits(root: Path, **options: object) -> Artifact:
    """A corpus of scikit-learn's digits, fewer of them than there are."""
    from steps.prepare_data.config import Config
    from steps.prepare_data.run import run

    chosen = {"source": "digits", "max_rows": 400, "validation_share": 0.15, "test_share": 0.2, "threads": 1} | options
    output = Output("corpus", root / "work-corpus", step="prepare_data", root=root)
    run(Config(**chosen), {}, output, Observe.silent())  # type: ignore[arg-type]
    return output.commit()


def picture(seed: int, size: tuple[int, int] = (10, 8), mode: str = "RGB") -> Image.Image:
    """An image of noise, of (width, height)."""
    shape = (size[1], size[0], 3) if mode == "RGB" else (size[1], size[0])
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8))


def content(image: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    """An image as a file has it."""
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def folder(path: Path, classes: str = "ab", count: int = 40, mode: str = "RGB") -> Path:
    """Images of noise, a folder a class; those of the second class are darker."""
    for place, name in enumerate(classes):
        (path / name).mkdir(parents=True)
        for number in range(count):
            values = np.asarray(picture(1000 * place + number, mode=mode)) // (1 + 2 * place)
            (path / name / f"{number}.png").write_bytes(png(values))
    return path
