"""Attention looked at: `python -m tasks.maps CHECKPOINT "text"`.

looking    the maps of a model for a text: encoder, decoder, or a decoder's looks at an encoder's memory
habits     what a head does mostly: look at the token itself, the one before, the first …
picture    the maps as an SVG
"""

from __future__ import annotations


class MapsError(Exception):
    """A question that cannot be answered: one line with the remedy."""
