"""Options of the command line that hold several things: settings, and names of nodes."""

from __future__ import annotations

import re
from collections.abc import Iterable
from itertools import pairwise

from artifacts.errors import UserError
from pipelines.graph import Pipeline

_NEXT = re.compile(r"\s+(?=([A-Za-z_]\w*)\.([A-Za-z_]\w*)=)")


def split(text: str) -> list[str]:
    """`a.x=1 b.y=two words`: a setting begins wherever NODE.KEY= does, as `-P set=` and `make run SET=` have several."""
    starts = [0, *(found.end() for found in _NEXT.finditer(text)), len(text)]
    return [part.strip() for start, end in pairwise(starts) if (part := text[start:end]).strip()]


def check_single(settings: Iterable[str], pipeline: Pipeline) -> None:
    """UserError if the value of one `--set` seems to hold another setting, which would be lost in a text."""
    for setting in settings:
        for found in _NEXT.finditer(setting):
            if found[1] in pipeline.nodes:
                raise UserError(
                    f"--set {setting}: two settings in one; give --set for each, or --settings for several", 2
                )


def names(text: str) -> tuple[str, ...]:
    """A comma list of nodes."""
    return tuple(name.strip() for name in text.split(",") if name.strip())
