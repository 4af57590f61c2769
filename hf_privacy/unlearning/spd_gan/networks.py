"""The generator that changes images by a bounded amount, and the discriminator that tells them from real ones."""

from __future__ import annotations

import torch
from torch import nn

from hf_privacy.adversarial import PixelSpace

# The reach stays this share below c: rounding, also that of pixels normalised and back, never steps over c.
_SLACK = 1e-3


class SPDGenerator(nn.Module):
    """G(x) = clamp(x + c·tanh(net(x))) on pixels in [0, 1].

    ``net`` is convolutional at the images' own size, so that any height and width will do. Its last layer starts at
    zero: an untrained generator changes nothing.

    Parameters
    ----------
    space : PixelSpace
        Mean and standard deviation that turn the datasets' pixel values into pixels.
    c : float
        Most that a pixel may change.
    width, n_blocks : int
        As in `SPDGANConfig`.

    Attributes
    ----------
    losses : list of dict of str to float
        Means over each epoch of its training: "adversarial", "residual" and "label", before their weights, and
        "discriminator".

    Examples
    --------
    >>> generator = SPDGenerator(PixelSpace((0.5,), (0.5,)), c=0.3, width=4, n_blocks=1)
    >>> images = torch.rand(2, 1, 8, 8)
    >>> bool((generator(images) == images).all())
    True
    """

    def __init__(self, space: PixelSpace, *, c: float, width: int, n_blocks: int) -> None:
        super().__init__()
        n_channels = len(space.mean)
        self.space = space
        self.c = c
        self.losses: list[dict[str, float]] = []
        self.first = nn.Conv2d(n_channels, width, 3, padding=1)
        self.blocks = nn.ModuleList([_Block(width) for _ in range(n_blocks)])
        self.last = nn.Conv2d(width, n_channels, 3, padding=1)
        nn.init.zeros_(self.last.weight)
        nn.init.zeros_(self.last.bias)

    def forward(self, points: torch.Tensor) -> torch.Tensor:
        """Changed pixels of the pixels [B, C, H, W]."""
        hidden = torch.relu(self.first(2 * points - 1))
        for block in self.blocks:
            hidden = block(hidden)
        change = self.c * (1 - _SLACK) * torch.tanh(self.last(hidden))
        return self.space.clamp(points + change)


class _Block(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        # Normalised image by image: what becomes of one does not depend on its batch-mates.
        self.layers = nn.Sequential(
            nn.Conv2d(width, width, 3, padding=1),
            nn.GroupNorm(1, width),
            nn.ReLU(),
            nn.Conv2d(width, width, 3, padding=1),
            nn.GroupNorm(1, width),
        )

    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        return torch.relu(hidden + self.layers(hidden))


class Discriminator(nn.Module):
    """A score for each image, trained towards 1 for real ones and 0 for generated ones.

    Parameters
    ----------
    n_channels : int
    width : int

    Examples
    --------
    >>> Discriminator(3, 4)(torch.rand(5, 3, 9, 7)).shape
    torch.Size([5])
    """

    def __init__(self, n_channels: int, width: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(n_channels, width, 3, stride=2, padding=1),
            nn.LeakyReLU(0.2),
            nn.Conv2d(width, 2 * width, 3, stride=2, padding=1),
            nn.GroupNorm(1, 2 * width),
            nn.LeakyReLU(0.2),
            nn.Conv2d(2 * width, 1, 1),
        )

    def forward(self, points: torch.Tensor) -> torch.Tensor:
        """Scores [B]: the mean over the places of the picture."""
        return self.layers(2 * points - 1).flatten(1).mean(dim=1)
