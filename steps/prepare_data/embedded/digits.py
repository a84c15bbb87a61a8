"""`digits`: the handwritten digits that come with scikit-learn, 1,797 grey images of 8 x 8 pixels.

They are the test set of Alpaydin and Kaynak's "Optical Recognition of Handwritten Digits" (UCI, 1998).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from artifacts.images import png
from redaction import redact
from steps.prepare_data.images import Uniform
from steps.prepare_data.rows import Row
from steps.prepare_data.source import Content, Source, distribution

if TYPE_CHECKING:
    from steps.prepare_data.config import Config
    from telemetry import Observe

_PACKAGE = "scikit-learn"
_BRIGHTEST = 16  # the images count the inked ones of 4 x 4 dots


class Digits(Source):
    """Images, each labelled with its digit. Who wrote it is not known, so writers are in all splits."""

    def content(self, config: Config) -> Content:
        return "images"

    def rows(self, config: Config, observe: Observe) -> Iterator[Row]:
        import numpy as np
        from sklearn.datasets import load_digits

        data = load_digits()
        images = np.rint(data.images * (255 / _BRIGHTEST)).astype(np.uint8)  # [1797, 8, 8]
        for number, (image, digit) in enumerate(zip(images, data.target, strict=True)):
            yield Row(f"digits:{number}", "", str(digit), image=png(image))

    def images(self, config: Config) -> Uniform:
        return Uniform(config)

    def packages(self, config: Config) -> list[str]:
        return [_PACKAGE]

    def origin(self, config: Config) -> dict[str, Any]:
        package = distribution(_PACKAGE)
        return {
            "source": "handwritten digits of scikit-learn",
            "license": redact(config.license) or f"{package['license']}, scikit-learn's own",
            "parts": [package],
        }


SOURCE = Digits
