"""Folders of images, a folder a class; and images brought to one size and mode.

flowers/rose/1.png        label rose
flowers/rose/red/2.jpg    label rose: the first folder below the source says the class
flowers/3.webp            no label
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from artifacts.errors import UserError
from artifacts.images import ImageError, decode, pixels_of, png
from steps.prepare_data.rows import Bad, Row, bad

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from PIL.Image import Image

    from steps.prepare_data.config import Config

KINDS = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm", ".pgm")
_UNREADABLE = (".heic", ".heif", ".avif", ".svg", ".psd", ".raw", ".dng", ".jxl", ".ico")  # images, but not for us
_SPLITS = {"train", "training", "val", "valid", "validation", "dev", "test", "testing"}
_LARGEST = 256 << 20  # bytes of a file


def matching(source: str) -> list[Path]:
    """The image files of a folder at any depth, sorted; hidden ones and files of other kinds are no part of it."""
    found: list[Path] = []
    seen: set[Path] = set()  # links are followed, but not round and round
    for folder, folders, names in os.walk(source, followlinks=True):
        real = Path(folder).resolve()
        folders[:] = [] if real in seen else [name for name in folders if not name.startswith(".")]
        names = [] if real in seen else names
        seen.add(real)
        found += [Path(folder, name) for name in names if not name.startswith(".")]
    images = sorted(path for path in found if path.suffix.lower() in (*KINDS, *_UNREADABLE))
    if not images:
        raise UserError(
            f"source {source!r}: a folder without images ({', '.join(KINDS)}); for texts give a glob, for instance "
            f"'{source.rstrip('/')}/*.txt'",
            2,
        )
    classes = {path.relative_to(source).parts[0] for path in images if path.parent != Path(source)}
    if len(classes) > 1 and {name.lower() for name in classes} <= _SPLITS:
        raise UserError(
            f"source {source!r}: its folders ({', '.join(sorted(classes))}) are splits, not classes; give them as train, "
            f"validation and test (train={source.rstrip('/')}/train), or one of them as the source",
            2,
        )
    return images


def read(source: str) -> Iterator[Row | Bad]:
    """A row for each image, its id the path below the source."""
    for path in matching(source):
        relative = path.relative_to(source)
        place = relative.as_posix().encode("utf-8", "backslashreplace").decode()
        if place != relative.as_posix():
            yield bad("file name is not Unicode", place, "")
        elif path.suffix.lower() in _UNREADABLE:
            yield bad(f"kind of image that cannot be read ({path.suffix.lower()})", place, "")
        else:
            label = relative.parts[0] if len(relative.parts) > 1 else None
            content = _read(path)
            if content is None:
                yield bad(f"a file over {_LARGEST >> 20} MB", place, "")
            else:
                yield Row(place, "", label, image=content)


def _read(path: Path) -> bytes | None:
    try:
        return None if path.stat().st_size > _LARGEST else path.read_bytes()
    except OSError as error:
        raise UserError(f"{path}: {error.strerror}; check the file") from None


class Uniform:
    """Brings images to one size and mode, as PNG. Settings that the config leaves open are taken from the first image.

    The same pixels become the same bytes, so that two files of one picture are found to be duplicates.
    """

    def __init__(self, config: Config) -> None:
        self._size, self._mode = config.image_size, config.image_mode
        self.shape: tuple[int, int, int] | None = None  # height, width, channels

    def row(self, row: Row) -> Row | Bad:
        """The row with its image made uniform, or Bad with the reason."""
        assert row.image is not None
        try:
            return replace(row, image=png(self._pixels(decode(row.image))))
        except ImageError as error:
            return bad(str(error), row.id, "")

    def _pixels(self, image: Image) -> NDArray[np.uint8]:
        size = (self._size, self._size) if self._size else image.size
        channels = {"grey": 1, "colour": 3}.get(self._mode) or (1 if image.mode == "L" else 3)
        if self.shape is None:
            self.shape = (size[1], size[0], channels)
        height, width, wanted = self.shape
        if size != (width, height):
            raise ImageError(f"another size than the first image's {width} x {height} (set image_size)")
        if channels > wanted:
            raise ImageError("in colour, where the first image is grey (set image_mode)")
        return pixels_of(image, height, width, wanted)
