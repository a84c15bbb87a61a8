"""Image files to pixels: sizes, modes, turns, and every way of being broken."""

import io
import struct
import warnings
import zlib
from contextlib import suppress

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from artifacts.images import ImageError, decode, pixels, png
from tests.small_images import content, picture


def test_png_encoding_is_lossless_and_deterministic():
    for mode in ("L", "RGB"):
        image = picture(1, mode=mode)
        once = png(np.asarray(image))
        assert once == png(np.asarray(image))
        channels = 1 if mode == "L" else 3
        np.testing.assert_array_equal(pixels(once, 8, 10, channels), np.asarray(image).reshape(8, 10, channels))


@pytest.mark.parametrize("kind", ["PNG", "BMP", "TIFF", "PPM", "GIF"])
def test_lossless_formats_decode_to_exact_pixels(kind):
    image = picture(2, mode="L")
    np.testing.assert_array_equal(pixels(content(image, kind), 8, 10, 1)[..., 0], np.asarray(image))


@pytest.mark.parametrize("kind", ["JPEG", "WEBP"])
def test_lossy_formats_decode_to_nearly_equal_pixels(kind):
    image = Image.fromarray(np.add.outer(np.arange(0, 160, 10), np.arange(0, 96, 3)).astype(np.uint8))
    found = pixels(content(image, kind, quality=95), 16, 32, 1)[..., 0].astype(int)
    assert np.abs(found - np.asarray(image)).mean() < 4


def test_sixteen_bit_images_keep_upper_eight_bits():
    values = np.array([[0, 255, 256], [32768, 65279, 65535]], np.uint16)
    file = io.BytesIO()
    Image.fromarray(values).save(file, "PNG")
    assert pixels(file.getvalue(), 2, 3, 1)[..., 0].tolist() == [[0, 0, 1], [128, 254, 255]]


def test_transparent_pixels_become_white():
    image = Image.new("RGBA", (2, 1), (200, 0, 0, 255))
    image.putpixel((1, 0), (200, 0, 0, 0))
    assert pixels(content(image), 1, 2, 3).tolist() == [[[200, 0, 0], [255, 255, 255]]]
    grey = Image.new("LA", (2, 1), (100, 255))
    grey.putpixel((1, 0), (100, 0))
    assert decode(content(grey)).mode == "L"
    assert pixels(content(grey), 1, 2, 1).ravel().tolist() == [100, 255]


@pytest.mark.parametrize(("mode", "plain"), [("1", "L"), ("L", "L"), ("P", "RGB"), ("CMYK", "RGB")])
def test_every_mode_becomes_grey_or_colour(mode, plain):
    assert decode(content(picture(3).convert(mode), "TIFF")).mode == plain


def test_image_is_rotated_by_its_exif_orientation():
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was turned to the right: 90 degrees clockwise make it upright
    image = picture(4, mode="L")
    found = pixels(content(image, "PNG", exif=exif), 10, 8, 1)[..., 0]
    np.testing.assert_array_equal(found, np.rot90(np.asarray(image), -1))


def test_other_sizes_are_scaled_and_colour_becomes_itu_r_601_grey():
    half = np.zeros((4, 8), np.uint8)
    half[:, 4:] = 200
    np.testing.assert_array_equal(pixels(png(half), 2, 2, 1)[..., 0] > 100, [[False, True]] * 2)
    red = content(Image.new("RGB", (1, 1), (255, 0, 0)))
    assert pixels(red, 1, 1, 1).item() == 76, "ITU-R 601: 0.299 of the red"


def test_mpo_file_decodes_to_its_first_image():
    photograph, small = picture(5, (32, 32)), picture(6, (32, 32))
    file = content(photograph, "MPO", save_all=True, append_images=[small], quality=95)
    np.testing.assert_array_equal(np.asarray(decode(file)), np.asarray(decode(content(photograph, "JPEG", quality=95))))


def animated():
    frames = [picture(seed, mode="L") for seed in (1, 2)]
    return content(frames[0], "GIF", save_all=True, append_images=frames[1:])


def bomb():
    """A PNG of 20,000 x 20,000 pixels in half a kilobyte."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    head = chunk(b"IHDR", struct.pack(">IIBBBBB", 20_000, 20_000, 8, 0, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", zlib.compress(b"\0" * 20_000)) + chunk(b"IEND", b"")


def floats():
    return content(Image.fromarray(np.ones((2, 2), np.float32)), "TIFF")


@pytest.mark.parametrize(
    ("made", "reason"),
    [
        (lambda: b"", "empty file"),
        (lambda: b"no image at all", "not an image that can be read"),
        (lambda: b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "not an image that can be read"),
        (lambda: content(picture(1, (60, 60)))[:4000], "truncated image"),
        (lambda: content(picture(1, (60, 60)), "JPEG")[:900], "truncated image"),
        (animated, "several pictures in one file"),
        (bomb, r"more than 89,478,485 pixels"),
        (floats, "pixels of mode F"),
    ],
)
def test_unusable_image_error_states_the_reason(made, reason):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(ImageError, match=reason):
            decode(made())


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(["PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP"]), st.data())
def test_damaged_bytes_decode_or_raise_image_error(kind, data):
    whole = bytearray(content(picture(5, (20, 20)), kind))
    for place in data.draw(st.lists(st.integers(0, len(whole) - 1), min_size=1, max_size=8)):
        whole[place] = data.draw(st.integers(0, 255))
    with suppress(ImageError):
        assert decode(bytes(whole)).mode in ("L", "RGB")
