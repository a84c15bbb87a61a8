"""Augmentation by hand: shifts of whole pixels, mirror images, crops; and that chance is the generator's alone."""

import numpy as np
import pytest

from tasks.image_classification.augmentation import augment


def seeded(seed=0):
    return np.random.default_rng(seed)


def noise(*shape):
    return np.random.default_rng(7).standard_normal(shape, np.float32)


def test_augmentation_without_options_changes_nothing():
    pixels = noise(3, 1, 5, 4)
    np.testing.assert_array_equal(augment(pixels, seeded()), pixels)


def test_a_shift_moves_whole_pixels_and_repeats_the_border():
    pixels, seen = noise(200, 2, 5, 4), set()
    shifted = augment(pixels, seeded(), shift=1)
    assert (shifted.shape, shifted.dtype) == (pixels.shape, np.float32)
    padded = np.pad(pixels, ((0, 0), (0, 0), (1, 1), (1, 1)), mode="edge")
    for image in range(len(pixels)):
        found = [
            (down, right)
            for down in range(3)
            for right in range(3)
            if np.allclose(shifted[image], padded[image, :, down : down + 5, right : right + 4], atol=1e-4)
        ]
        assert len(found) == 1
        seen.update(found)
    assert len(seen) == 9, "each of them happens"


def test_about_half_of_the_images_are_mirrored():
    pixels = noise(300, 1, 4, 6)
    turned = augment(pixels, seeded(), flip=True)
    mirrored = [np.allclose(after, before[..., ::-1], atol=1e-4) for after, before in zip(turned, pixels, strict=True)]
    same = [np.allclose(after, before, atol=1e-4) for after, before in zip(turned, pixels, strict=True)]
    assert all(a != b for a, b in zip(mirrored, same, strict=True))
    assert 110 < sum(mirrored) < 190


def test_crop_shows_part_of_image_and_nothing_beyond():
    ramp = np.broadcast_to(np.linspace(-1, 1, 64, dtype=np.float32), (500, 1, 64, 64))  # values say the column
    cropped = augment(ramp, seeded(), crop=0.5)
    width = cropped[..., -1].mean((1, 2)) - cropped[..., 0].mean((1, 2))
    assert width.min() == pytest.approx(1.0, abs=0.1)
    assert width.max() == pytest.approx(2.0, abs=0.1)
    assert cropped.min() >= -1
    assert cropped.max() <= 1


def test_augmentation_is_seeded_and_draws_same_amount_for_any_option():
    pixels, options = noise(4, 1, 5, 4), {"shift": 2, "crop": 0.7, "flip": True}
    before = pixels.copy()
    first = augment(pixels, seeded(), **options)
    np.testing.assert_array_equal(augment(pixels, seeded(), **options), first)
    assert not np.array_equal(augment(pixels, seeded(1), **options), first)
    one, other = seeded(), seeded()
    augment(pixels, one, shift=1)
    augment(pixels, other, flip=True)
    assert one.random() == other.random()
    np.testing.assert_array_equal(pixels, before)  # which other batches are made of
