"""Inputs as plain vectors, for a classifier that never sees the model."""

from __future__ import annotations

import math

import numpy as np
import torch

from hf_privacy.data import TensorDataset
from hf_privacy.errors import InputError
from hf_privacy.signals.batches import images_a_pass


def flatten_inputs(
    dataset: TensorDataset, *, max_image_features: int = 4096, max_text_features: int = 2048, batch_size: int = 1024
) -> np.ndarray:
    """Each example's input as one row of numbers, labels left out.

    Images are flattened; larger ones are first brought to the largest size that fits, by area averages. Texts become
    counts of their tokens, hashed to a column by the token's number modulo the number of columns (exact for small
    vocabularies; a row sums to the number of tokens). Tables are returned as they are. A row depends on its own
    example alone, never on padding, augmentation or the other examples.

    Parameters
    ----------
    dataset : TensorDataset of N examples
        With pixel_values [N, C, H, W], input_ids [N, L] or features [N, D].
    max_image_features : int
        Most columns of an image, at least its channels.
    max_text_features : int
        Columns of a text.
    batch_size : int
        Examples converted at a time.

    Returns
    -------
    float32 array of shape [N, D]

    Raises
    ------
    InputError
        For an empty dataset, one with none of these columns, or a limit that is too small.

    References
    ----------
    Das et al., 2024, "Blind baselines beat membership inference attacks for foundation models" (arXiv 2406.16201).
    Weinberger et al., 2009, "Feature hashing for large scale multitask learning" (here without their random sign).

    Examples
    --------
    >>> flatten_inputs(TensorDataset({"pixel_values": torch.ones(5, 3, 64, 64)})).shape
    (5, 3888)
    >>> flatten_inputs(TensorDataset({"input_ids": torch.tensor([[1, 3, 1]])}), max_text_features=4).tolist()
    [[0.0, 2.0, 0.0, 1.0]]
    """
    if len(dataset) == 0:
        raise InputError("dataset is empty: pass at least one example")
    if batch_size < 1:
        raise InputError(f"batch_size is {batch_size}: pass a positive number")
    columns = dataset.column_names
    if "pixel_values" in columns:
        dataset = dataset.with_augmentation(None)
        rows = _image_rows(dataset, max_image_features, batch_size)
    elif "input_ids" in columns:
        rows = _text_rows(dataset, max_text_features, batch_size)
    elif "features" in columns:
        rows = dataset.column("features").flatten(1).numpy().astype(np.float32)
    else:
        raise InputError(
            f"dataset has the columns {sorted(columns)}: the inputs must be pixel_values, input_ids or features"
        )
    if not np.isfinite(rows).all():
        raise InputError("dataset has NaN or infinite inputs: drop or repair these rows")
    return rows


def _image_rows(dataset: TensorDataset, limit: int, batch_size: int) -> np.ndarray:
    channels, height, width = dataset.__getitem__(0)["pixel_values"].shape
    if limit < channels:
        raise InputError(f"max_image_features is {limit}: pass at least {channels}, the images' channels")
    if channels * height * width > limit:
        shrink = math.sqrt(limit / (channels * height * width))
        height, width = max(1, math.floor(height * shrink)), max(1, math.floor(width * shrink))
        # a side that is kept at its one pixel takes from the other
        height = max(1, min(height, limit // (channels * width)))
        width = min(width, limit // (channels * height))
    batch_size = images_a_pass(dataset, batch_size)
    rows = np.empty((len(dataset), channels * height * width), dtype=np.float32)
    for start in range(0, len(dataset), batch_size):
        pixels = dataset.__getitems__(range(start, min(start + batch_size, len(dataset))))["pixel_values"].float()
        if pixels.shape[2:] != (height, width):
            pixels = torch.nn.functional.adaptive_avg_pool2d(pixels, (height, width))
        rows[start : start + len(pixels)] = pixels.flatten(1).numpy()
    return rows


def _text_rows(dataset: TensorDataset, n_columns: int, batch_size: int) -> np.ndarray:
    if n_columns < 1:
        raise InputError(f"max_text_features is {n_columns}: pass a positive number")
    rows = np.zeros((len(dataset), n_columns), dtype=np.float32)
    for start in range(0, len(dataset), batch_size):
        batch = dataset.__getitems__(range(start, min(start + batch_size, len(dataset))))
        tokens = batch["input_ids"].numpy() % n_columns
        attended = batch["attention_mask"].numpy() if "attention_mask" in batch else np.ones_like(tokens)
        example, position = np.nonzero(attended)
        np.add.at(rows, (start + example, tokens[example, position]), 1.0)
    return rows
