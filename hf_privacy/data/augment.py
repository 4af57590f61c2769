"""Augmentations of whole batches of pixel values [B, C, H, W].

The random ones draw from torch's global generator of the CPU, wherever the pixels are, so a Trainer's seed governs
them and they are the same on every device. They are plain functions and picklable objects: loader processes can carry
them.
"""

from __future__ import annotations

import torch

from hf_privacy.errors import InputError


def horizontal_flip(pixel_values: torch.Tensor) -> torch.Tensor:
    """Every image mirrored left to right; the second query of LiRA (Carlini et al. 2022, section VI-A).

    Examples
    --------
    >>> horizontal_flip(torch.tensor([[[[1, 2, 3]]]]))
    tensor([[[[3, 2, 1]]]])
    """
    return pixel_values.flip(-1)


def random_flip(pixel_values: torch.Tensor) -> torch.Tensor:
    """Each image mirrored left to right with probability 1/2.

    Examples
    --------
    >>> pixels = torch.rand(4, 1, 2, 2)
    >>> random_flip(pixels).shape
    torch.Size([4, 1, 2, 2])
    """
    mirrored = _sent(torch.rand(len(pixel_values)) < 0.5, pixel_values.device)
    return torch.where(mirrored[:, None, None, None], pixel_values.flip(-1), pixel_values)


def _sent(drawn: torch.Tensor, device: torch.device) -> torch.Tensor:
    """On the device, which nobody waits for."""
    return drawn.to(device, non_blocking=device.type not in ("cpu", "mps"))


class RandomFlipCrop:
    """Each image mirrored with probability 1/2, padded on all sides and cropped back at a random place.

    The CIFAR augmentation of He et al. 2016, section 4.2, with one crop and one mirror image for each image of the
    batch. The padding is 0 after normalization, so it has the mean colour where the processor subtracts the mean.

    Parameters
    ----------
    padding : int
        Pixels on each side, at least 1.

    Raises
    ------
    InputError
        For padding below 1.

    Examples
    --------
    >>> RandomFlipCrop(padding=2)(torch.rand(4, 3, 8, 8)).shape
    torch.Size([4, 3, 8, 8])
    """

    def __init__(self, padding: int = 4) -> None:
        if padding < 1:
            raise InputError(f"padding is {padding}: pass a number of pixels from 1 up, or use random_flip")
        self.padding = padding

    def __call__(self, pixel_values: torch.Tensor) -> torch.Tensor:
        """A new batch of the same shape."""
        n, _, height, width = pixel_values.shape
        device = pixel_values.device
        padded = torch.nn.functional.pad(random_flip(pixel_values), [self.padding] * 4)
        top, left = _sent(torch.randint(2 * self.padding + 1, (2, n)), device)
        # every crop there is, as a view [B, C, top, left, H, W]; indexing copies one for each image
        crops = padded.unfold(2, height, 1).unfold(3, width, 1)
        return crops[torch.arange(n, device=device), :, top, left].contiguous()

    def __repr__(self) -> str:
        """How it was built, for recipe hashes."""
        return f"RandomFlipCrop(padding={self.padding})"
