"""Augmentations: one draw an image, governed by torch's seed."""

from __future__ import annotations

import pytest
import torch

from hf_privacy.data import RandomFlipCrop, horizontal_flip, random_flip
from hf_privacy.errors import InputError

PIXELS = torch.rand(400, 3, 6, 5)


def test_the_flip_is_its_own_inverse():
    assert torch.equal(horizontal_flip(horizontal_flip(PIXELS)), PIXELS)
    assert torch.equal(horizontal_flip(PIXELS)[0, :, :, 0], PIXELS[0, :, :, -1])


@pytest.mark.parametrize("augmentation", [random_flip, RandomFlipCrop(2)])
def test_torchs_seed_governs(augmentation):
    torch.manual_seed(0)
    one = augmentation(PIXELS)
    again = augmentation(PIXELS)
    torch.manual_seed(0)
    assert torch.equal(one, augmentation(PIXELS))
    assert not torch.equal(one, again)


def test_each_image_is_mirrored_or_not_about_half_the_time():
    result = random_flip(PIXELS)
    mirrored = (result == horizontal_flip(PIXELS)).flatten(1).all(dim=1)
    assert torch.equal(result[~mirrored], PIXELS[~mirrored])
    assert 150 < mirrored.sum() < 250


def test_each_crop_is_a_window_of_its_own_padded_image_and_all_windows_occur():
    padding = 1
    torch.manual_seed(1)
    result = RandomFlipCrop(padding)(PIXELS)
    seen = set()
    for image, cropped in zip(PIXELS, result, strict=True):
        windows = {
            (flip, top, left): torch.nn.functional.pad(image.flip(-1) if flip else image, [padding] * 4)[
                :, top : top + 6, left : left + 5
            ]
            for flip in (False, True)
            for top in range(3)
            for left in range(3)
        }
        found = [key for key, window in windows.items() if torch.equal(window, cropped)]
        assert len(found) == 1
        seen.add(found[0])
    assert len(seen) == 18


def test_an_empty_batch_stays_empty():
    assert RandomFlipCrop(2)(PIXELS[:0]).shape == (0, 3, 6, 5)


def test_padding_below_one_is_refused():
    with pytest.raises(InputError, match="padding is 0"):
        RandomFlipCrop(0)
