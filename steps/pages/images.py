"""A grid of images, each within the page itself."""

from __future__ import annotations

from base64 import b64encode
from html import escape

from tasks.evaluation import Images, Picture


def images(block: Images) -> str:
    """The images side by side, as many as fit; small ones are scaled up with their pixels sharp."""
    if not block.items:
        return "<p>None.</p>"
    return f'<div class="images">{"".join(map(_figure, block.items))}</div>'


def _figure(picture: Picture) -> str:
    source = f"data:image/png;base64,{b64encode(picture.content).decode('ascii')}"
    image = f'<img src="{source}" alt="{escape(picture.alt)}"/>'
    return f"<figure>{image}<figcaption>{escape(picture.caption)}</figcaption></figure>"
