"""Augmentation by hand: shifts of whole pixels, mirror images, crops; and that chance is the generator's alone."""

import pytest
import torch

from tasks.image_classification.augmentation import Augmentation


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def test_switched_off_it_changes_nothing():
    pixels = torch.randn(3, 1, 5, 4)
    assert torch.equal(Augmentation()(pixels, seeded()), pixels)


def test_a_shift_moves_whole_pixels_and_repeats_the_border():
    pixels, seen = torch.randn(200, 2, 5, 4), set()
    shifted = Augmentation(shift=1)(pixels, seeded())
    padded = torch.nn.functional.pad(pixels, (1, 1, 1, 1), mode="replicate")
    for image in range(len(pixels)):
        found = [
            (down, right) for down in range(3) for right in range(3)
            if torch.allclose(shifted[image], padded[image, :, down : down + 5, right : right + 4], atol=1e-4)
        ]  # fmt: skip
        assert len(found) == 1
        seen.update(found)
    assert len(seen) == 9, "each of them happens"


def test_about_half_of_the_images_are_mirrored():
    pixels = torch.randn(300, 1, 4, 6)
    turned = Augmentation(flip=True)(pixels, seeded())
    mirrored = [torch.allclose(after, before.flip(-1), atol=1e-4) for after, before in zip(turned, pixels, strict=True)]
    same = [torch.allclose(after, before, atol=1e-4) for after, before in zip(turned, pixels, strict=True)]
    assert all(a != b for a, b in zip(mirrored, same, strict=True))
    assert 110 < sum(mirrored) < 190


def test_a_crop_shows_a_part_of_the_image_and_never_what_is_beyond_it():
    ramp = torch.linspace(-1, 1, 64).repeat(500, 1, 64, 1)  # values say the column
    cropped = Augmentation(crop=0.5)(ramp, seeded())
    width = cropped[..., -1].mean((1, 2)) - cropped[..., 0].mean((1, 2))
    assert width.min() == pytest.approx(1.0, abs=0.1)
    assert width.max() == pytest.approx(2.0, abs=0.1)
    assert cropped.min() >= -1
    assert cropped.max() <= 1


def test_the_generator_alone_decides_and_as_much_is_drawn_whatever_is_switched_on():
    pixels, twice = torch.randn(4, 1, 5, 4), Augmentation(shift=2, crop=0.7, flip=True)
    torch.manual_seed(1)
    first = twice(pixels, seeded())
    torch.manual_seed(2)
    assert torch.equal(twice(pixels, seeded()), first)
    assert not torch.equal(twice(pixels, seeded(1)), first)
    one, other = seeded(), seeded()
    Augmentation(shift=1)(pixels, one)
    Augmentation(flip=True)(pixels, other)
    assert torch.equal(torch.rand(1, generator=one), torch.rand(1, generator=other))
