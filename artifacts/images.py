"""Images: how a file's content becomes the pixels that a corpus holds and a network sees.

A corpus holds PNG files of one size and of one number of channels. What is asked of a trained network goes through the
same functions, so that it sees what it was trained on.
"""

from __future__ import annotations

import io
import warnings
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from PIL.Image import Image

FORMATS = ("PNG", "JPEG", "BMP", "GIF", "WEBP", "TIFF", "PPM")  # all others are refused, programs (EPS) too
_SIXTEEN_BITS = ("I;16", "I;16L", "I;16B", "I;16N")
_GREY = ("1", "L", "LA", "La", *_SIXTEEN_BITS)


class ImageError(ValueError):
    """Why an image cannot be used, in a few words."""


def decode(content: bytes) -> Image:
    """An image of 8 bits, grey (mode L) or in colour (RGB), turned as its EXIF says. ImageError for one that is broken.

    Of 16 bits the upper eight are kept. What is transparent lies on white.
    """
    from PIL import Image, ImageOps, UnidentifiedImageError

    if not content:
        raise ImageError("empty file")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of what Pillow can put right
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        try:
            image: Image.Image = Image.open(io.BytesIO(content), formats=FORMATS)
            # A telephone's MPO is a photograph, with a second one for eyes or the small screen behind it.
            if image.format != "MPO" and getattr(image, "n_frames", 1) > 1:
                raise ImageError("several pictures in one file (animated, or pages)")
            image.load()
            return _plain(ImageOps.exif_transpose(image))
        except ImageError:
            raise
        except (Image.DecompressionBombWarning, Image.DecompressionBombError):
            raise ImageError(f"more than {Image.MAX_IMAGE_PIXELS:,} pixels") from None
        except UnidentifiedImageError:
            raise ImageError(f"not an image that can be read ({', '.join(FORMATS)})") from None
        except Exception as error:  # decoders of damaged bytes raise whatever they stumble over
            raise ImageError("truncated image" if "truncated" in str(error).lower() else "damaged image") from None


def _plain(image: Image) -> Image:
    import numpy as np
    import PIL.Image

    grey = image.mode in _GREY
    if image.mode in _SIXTEEN_BITS:
        return PIL.Image.fromarray((np.asarray(image).astype(np.uint16) >> 8).astype(np.uint8))
    if image.mode in ("I", "F"):
        raise ImageError(f"pixels of mode {image.mode}, whose range is unknown")
    if image.has_transparency_data:
        layer = image.convert("RGBA")
        image = PIL.Image.alpha_composite(PIL.Image.new("RGBA", layer.size, "white"), layer)
    return image.convert("L" if grey else "RGB")


def pixels_of(image: Image, height: int, width: int, channels: int) -> NDArray[np.uint8]:
    """Pixels [height, width, channels]; an image of another size is scaled as a whole, its sides each by their own."""
    import numpy as np
    import PIL.Image

    image = image.convert("L" if channels == 1 else "RGB")
    if image.size != (width, height):
        image = image.resize((width, height), PIL.Image.Resampling.BILINEAR)
    return np.asarray(image, np.uint8).reshape(height, width, channels)


def pixels(content: bytes, height: int, width: int, channels: int) -> NDArray[np.uint8]:
    """Pixels [height, width, channels] of an image file's content. ImageError for one that is broken."""
    return pixels_of(decode(content), height, width, channels)


def png(values: NDArray[Any]) -> bytes:
    """A PNG file's content, the same for the same pixels [height, width] or [height, width, 1 or 3]."""
    import numpy as np
    import PIL.Image

    file = io.BytesIO()
    flat = values[..., 0] if values.ndim == 3 and values.shape[-1] == 1 else values
    PIL.Image.fromarray(np.ascontiguousarray(flat, np.uint8)).save(file, "PNG")
    return file.getvalue()
