"""Deterministic views of an example, for attacks that see nothing but whether each is classified correctly.

A query maps a batch of model inputs, on the CPU and without labels, to another. What is random in it is drawn for each
example from a seed and the example's own content, so an answer depends on neither order nor batch.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from transformers import PreTrainedTokenizerBase

from hf_privacy.data import TensorDataset
from hf_privacy.data.augment import horizontal_flip
from hf_privacy.data.example_generators import example_seed
from hf_privacy.errors import InputError

Inputs = dict[str, torch.Tensor]
Query = Callable[[Inputs], Inputs]


def identity(inputs: Inputs) -> Inputs:
    """The example as it is."""
    return inputs


def flip(inputs: Inputs) -> Inputs:
    """Every image mirrored left to right."""
    return {**inputs, "pixel_values": horizontal_flip(inputs["pixel_values"])}


@dataclass(frozen=True)
class Translate:
    """Every image moved by whole pixels; what comes in repeats the edge.

    Parameters
    ----------
    down, right : int
        Pixels; negative ones move up and left.

    Examples
    --------
    >>> Translate(down=0, right=1)({"pixel_values": torch.tensor([[[[1.0, 2.0, 3.0]]]])})["pixel_values"]
    tensor([[[[1., 1., 2.]]]])
    """

    down: int
    right: int

    def __call__(self, inputs: Inputs) -> Inputs:
        """Move one batch."""
        pixels = inputs["pixel_values"]
        height, width = pixels.shape[2:]
        down, right = self.down, self.right
        if abs(down) >= height or abs(right) >= width:
            raise InputError(
                f"translation is {down} down and {right} right and images have {height} × {width} pixels: "
                "move by less than a side"
            )
        padded = torch.nn.functional.pad(
            pixels, [max(right, 0), max(-right, 0), max(down, 0), max(-down, 0)], mode="replicate"
        )
        top, left = max(-down, 0), max(-right, 0)
        return {**inputs, "pixel_values": padded[:, :, top : top + height, left : left + width]}


@dataclass(frozen=True)
class Rotate:
    """Every image turned about its centre, bilinear, the edge repeated where nothing is left.

    Parameters
    ----------
    degrees : float
        Counter-clockwise.
    """

    degrees: float

    def __call__(self, inputs: Inputs) -> Inputs:
        """Turn one batch."""
        pixels = inputs["pixel_values"]
        n, _, height, width = pixels.shape
        angle = np.deg2rad(self.degrees)
        sine, cosine = float(np.sin(angle)), float(np.cos(angle))
        # grid coordinates run from -1 to 1 along either side, so the sides' ratio undoes their different lengths
        matrix = torch.tensor([[cosine, -sine * height / width, 0.0], [sine * width / height, cosine, 0.0]])
        grid = torch.nn.functional.affine_grid(matrix.expand(n, 2, 3), list(pixels.shape), align_corners=False)
        turned = torch.nn.functional.grid_sample(
            pixels.float(), grid, mode="bilinear", padding_mode="border", align_corners=False
        )
        return {**inputs, "pixel_values": turned}


@dataclass(frozen=True)
class HideTokens:
    """Each token of a text hidden with probability `rate`: replaced by the mask token, or withheld from attention.

    The first and last token stay, and those of `kept_tokens`. Without a mask token the attention mask becomes 0 at the
    place, which deletes the token as far as the other tokens can tell and moves no position.

    Parameters
    ----------
    rate : float
    draw : int
        Number of the random draw; a larger rate of the same draw hides more of the same tokens.
    seed : int
    mask_token : int, optional
    kept_tokens : frozenset of int
        Special tokens.
    """

    rate: float
    draw: int = 0
    seed: int = 0
    mask_token: int | None = None
    kept_tokens: frozenset[int] = frozenset()

    def __call__(self, inputs: Inputs) -> Inputs:
        """Hide tokens of one batch."""
        tokens, mask = inputs["input_ids"], inputs.get("attention_mask")
        attended = torch.ones_like(tokens) if mask is None else mask
        hidden = np.zeros(tokens.shape, dtype=bool)
        for row, (ids, seen) in enumerate(zip(tokens.numpy(), attended.numpy(), strict=True)):
            (places,) = np.nonzero(seen)
            generator = np.random.default_rng([example_seed(ids[places]), self.seed, self.draw])
            chosen = generator.random(len(places)) < self.rate
            chosen[[0, -1]] = False
            chosen &= ~np.isin(ids[places], list(self.kept_tokens))
            hidden[row, places[chosen]] = True
        if self.mask_token is not None:
            return {**inputs, "input_ids": tokens.masked_fill(torch.from_numpy(hidden), self.mask_token)}
        return {**inputs, "attention_mask": attended.masked_fill(torch.from_numpy(hidden), 0)}


@dataclass(frozen=True)
class FlipBits:
    """Each feature, 0 or 1, turned to the other with probability `rate`."""

    rate: float
    draw: int = 0
    seed: int = 0

    def __call__(self, inputs: Inputs) -> Inputs:
        """Turn bits of one batch."""
        features = inputs["features"]
        drawn = np.stack([_generator(row, self).random(row.size).reshape(row.shape) for row in features.numpy()])
        return {**inputs, "features": torch.where(torch.from_numpy(drawn < self.rate), 1 - features, features)}


@dataclass(frozen=True, eq=False)
class AddNoise:
    """Gaussian noise on each feature.

    Parameters
    ----------
    scale : tensor of shape [D]
        Standard deviation of the noise of each feature.
    draw, seed : int
    """

    scale: torch.Tensor
    draw: int = 0
    seed: int = 0

    def __call__(self, inputs: Inputs) -> Inputs:
        """Add noise to one batch."""
        features = inputs["features"].float()
        drawn = np.stack([_generator(row, self).standard_normal(row.shape) for row in features.numpy()])
        return {**inputs, "features": features + self.scale * torch.from_numpy(drawn).float()}


def augmented_queries(
    dataset: TensorDataset,
    *,
    translation: int = 1,
    mirrored: bool = True,
    rotations: Sequence[float] = (),
    levels: Sequence[float] = (0.02, 0.05, 0.1),
    draws: int = 4,
    tokenizer: PreTrainedTokenizerBase | None = None,
    seed: int = 0,
) -> dict[str, Query]:
    """The queries of :func:`~hf_privacy.signals.label_only_correct` for this kind of data, by name.

    Parameters
    ----------
    dataset : TensorDataset
        Its columns tell the kind: pixel_values (images), input_ids (text) or features (tables).
    translation : int
        Images: d pixels, for the 4d moves with |down| + |right| = d; 0 for none.
    mirrored : bool
        Images: the mirror image too.
    rotations : sequence of float
        Images: degrees, e.g. ``(-4, 4)``.
    levels : sequence of float
        Text: shares of tokens hidden. Tables of zeros and ones: shares of features turned to the other. Other tables:
        size of Gaussian noise in standard deviations of each column over `dataset`.
    draws : int
        Text and tables: random queries at each level.
    tokenizer : PreTrainedTokenizerBase, optional
        Text: gives the mask token, if it has one, and the special tokens that are never hidden.
    seed : int
        Of the random draws.

    Returns
    -------
    dict of str to callable
        ``"identity"`` first.

    Raises
    ------
    InputError
        For data of another kind, or values out of range.

    References
    ----------
    Choquette-Choo et al., 2021, "Label-only membership inference attacks" (arXiv 2007.14321), section 4.1:
    translations, rotations, and Bernoulli or Gaussian noise. Text is not treated there; hiding tokens, the levels and
    the number of draws are our defaults.

    Examples
    --------
    >>> list(augmented_queries(TensorDataset({"pixel_values": torch.zeros(1, 1, 8, 8)})))
    ['identity', 'flip', 'down -1 right 0', 'down 0 right -1', 'down 0 right 1', 'down 1 right 0']
    """
    if len(dataset) == 0:
        raise InputError("dataset is empty: pass at least one example")
    if seed < 0:
        raise InputError(f"seed is {seed}: pass a number from 0 up")
    columns = dataset.column_names
    queries: dict[str, Query] = {"identity": identity}
    if "pixel_values" in columns:
        if translation < 0:
            raise InputError(f"translation is {translation}: pass a number of pixels from 0 up")
        if mirrored:
            queries["flip"] = flip
        for down in range(-translation, translation + 1):
            for right in sorted({abs(down) - translation, translation - abs(down)} if translation else ()):
                queries[f"down {down} right {right}"] = Translate(down=down, right=right)
        queries.update({f"rotate {degrees:g}": Rotate(degrees) for degrees in rotations})
        return queries
    if draws < 1 or not levels or min(levels) <= 0:
        raise InputError(f"levels is {list(levels)} and draws {draws}: pass positive levels and at least one draw")
    named = [(f"level {level:g} draw {draw}", level, draw) for level in levels for draw in range(draws)]
    if "input_ids" in columns:
        _check_shares(levels)
        special = frozenset() if tokenizer is None else frozenset(tokenizer.all_special_ids)
        mask_token = None if tokenizer is None else tokenizer.mask_token_id
        queries.update({name: HideTokens(level, draw, seed, mask_token, special) for name, level, draw in named})
    elif "features" in columns:
        values = dataset.column("features")
        if ((values == 0) | (values == 1)).all():
            _check_shares(levels)
            queries.update({name: FlipBits(level, draw, seed) for name, level, draw in named})
        else:
            scale = values.double().std(dim=0, correction=0).float()
            queries.update({name: AddNoise(level * scale, draw, seed) for name, level, draw in named})
    else:
        raise InputError(
            f"dataset has the columns {sorted(columns)}: the inputs must be pixel_values, input_ids or features"
        )
    return queries


def _check_shares(levels: Sequence[float]) -> None:
    if max(levels) >= 1:
        raise InputError(f"levels is {list(levels)}: these are shares of tokens or features, pass values in (0, 1)")


def _generator(row: np.ndarray, query: FlipBits | AddNoise) -> np.random.Generator:
    return np.random.default_rng([example_seed(row), query.seed, query.draw])
