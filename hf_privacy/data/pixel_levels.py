"""Pixels kept as the 256 levels an image has, and what a processor makes of each level.

A processor that resizes, rescales and normalises answers each level of a channel with one number, wherever the pixel
stands. What it answers is read off plain images, and every pixel it gives is looked up among those answers: where all
are found, a byte a pixel holds what the processor said, bit for bit.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from PIL import Image as PillowImage

_LEVELS = 256
_NEAR = 4  # last places of float32 within which mean and deviation are looked for
_AT_A_TIME = 16


class Levels:
    """From levels uint8 [..., C, H, W] to the values a processor gives them, float32 of the same shape, bit for bit.

    Parameters
    ----------
    table : float32[C, 256]
        The value of each level in each channel.

    Examples
    --------
    >>> levels = Levels(np.arange(256, dtype=np.float32)[None] / 255)
    >>> levels(torch.tensor([[[0, 255]]], dtype=torch.uint8))
    tensor([[[0., 1.]]])
    """

    def __init__(self, table: np.ndarray) -> None:
        self.table = np.ascontiguousarray(table, dtype=np.float32)
        # A difference and a quotient are five times as fast as looking up, where they give the same bits.
        self._steps = _arithmetic(self.table)

    def __call__(self, levels: torch.Tensor) -> torch.Tensor:
        """The values, on the device of the levels: all devices round a difference and a quotient alike."""
        if self._steps is None:
            table = _sent(self.table, levels.device)
            channels = levels.unbind(dim=-3)
            return torch.stack([table[c][channel.long()] for c, channel in enumerate(channels)], dim=-3)
        scale, mean, deviation = self._steps
        values = levels.to(torch.float32)
        if scale is not None:
            values = _scaled(values, scale)
        values -= _sent(mean, levels.device)
        values /= _sent(deviation, levels.device)
        return values

    def of(self, values: np.ndarray) -> np.ndarray | None:
        """The levels uint8 [B, C, H, W] whose values these are, to the bit; None where some are no level's."""
        if values.shape[1] != len(self.table):
            return None
        first, last = self.table[:, :1, None], self.table[:, -1:, None]
        with np.errstate(all="ignore"):
            guess = np.rint((values - first) * ((_LEVELS - 1) / (last - first)))
            levels = np.clip(np.nan_to_num(guess), 0, _LEVELS - 1).astype(np.uint8)
        again = self(torch.from_numpy(levels)).numpy()
        return levels if np.array_equal(again.view(np.int32), values.view(np.int32)) else None


def levels_of(process: Callable[[list[PillowImage.Image]], np.ndarray], size: tuple[int, int], mode: str) -> Levels:
    """What a processor gives for plain images of each level.

    Parameters
    ----------
    process : callable
        From a list of B images to float32[B, C, H, W].
    size : (width, height)
        Of the images.
    mode : {"L", "RGB"}
    """
    rows = []
    for start in range(0, _LEVELS, _AT_A_TIME):
        plain = [
            PillowImage.new(mode, size, level if mode == "L" else (level,) * 3)
            for level in range(start, start + _AT_A_TIME)
        ]
        values = process(plain)
        rows.append(values[:, :, values.shape[2] // 2, values.shape[3] // 2])
    return Levels(np.concatenate(rows).T)


def _sent(values: np.ndarray, device: torch.device) -> torch.Tensor:
    """On the device, which nobody waits for."""
    return torch.from_numpy(values).to(device, non_blocking=device.type not in ("cpu", "mps"))


def _scaled(values: torch.Tensor, scale: str) -> torch.Tensor:
    return values.div_(255) if scale == "divided" else values.mul_(torch.tensor(1 / 255, dtype=torch.float32).item())


def _arithmetic(table: np.ndarray) -> tuple[str | None, np.ndarray, np.ndarray] | None:
    """A scale, a mean and a deviation with which (scale(level) − mean) / deviation is the table, to the bit."""
    for scale in (None, "divided", "multiplied"):
        levels = torch.arange(_LEVELS, dtype=torch.float32)
        scaled = (levels if scale is None else _scaled(levels, scale)).numpy()
        found = [_mean_and_deviation(scaled, row) for row in table]
        if all(pair is not None for pair in found):
            mean, deviation = np.array(found, dtype=np.float32).T.reshape(2, -1, 1, 1)
            return scale, np.ascontiguousarray(mean), np.ascontiguousarray(deviation)
    return None


def _mean_and_deviation(scaled: np.ndarray, row: np.ndarray) -> tuple[np.float32, np.float32] | None:
    first, last = float(row[0]), float(row[-1])
    if not np.isfinite(row).all() or first == last:
        return None
    deviation = float(scaled[-1]) / (last - first)
    for d in _neighbours(deviation):
        means = _neighbours(-first * deviation)
        again = (scaled[None] - means[:, None]) / d
        same = (again.view(np.int32) == row.view(np.int32)).all(axis=1)
        if same.any():
            return means[same.argmax()], d
    return None


def _neighbours(value: float) -> np.ndarray:
    """A float32 and those next to it, the nearest first."""
    middle = np.float32(value)
    found = [middle]
    low = high = middle
    for _ in range(_NEAR):
        low, high = np.nextafter(low, np.float32(-np.inf)), np.nextafter(high, np.float32(np.inf))
        found += [low, high]
    return np.array(found, dtype=np.float32)
