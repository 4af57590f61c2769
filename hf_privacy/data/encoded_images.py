"""What a processor makes of images, in the encoded store: levels where it gives each level one value, else floats."""

from __future__ import annotations

import hashlib
import importlib.metadata
import inspect
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from datasets import Dataset
from PIL import Image as PillowImage
from transformers.image_processing_utils import BaseImageProcessor

from hf_privacy.data.encoded_store import StoredArray, entry_name, new_array, save_array
from hf_privacy.data.pictures import AT_A_TIME, Images, decoded_facts, encoded_pictures
from hf_privacy.data.pixel_levels import Levels, levels_of
from hf_privacy.data.stored_columns import Column, LevelRows, MappedRows
from hf_privacy.errors import InputError

_MODES = {"1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBX", "CMYK", "YCbCr", "HSV", "LAB"}  # 8 bits a channel
_PACKAGES = ("numpy", "pillow", "timm", "torch", "torchvision", "transformers")
_LEVELS, _TABLE, _FLOATS = "levels.npy", "table.npy", "floats.npy"

Check = Callable[[tuple[int, ...], int], None]


def stored_pixels(
    dataset: Dataset,
    image_column: str,
    processor: BaseImageProcessor,
    *,
    channels: int,
    check: Check,
    columns: Sequence[str] = (),
    at_a_time: int = AT_A_TIME,
) -> Column:
    """The column "pixel_values", float32[N, C, H, W], encoded now or found in the store.

    Parameters
    ----------
    check : callable
        Refuses a shape, of so many bytes an item, that is too large.
    columns : sequence of str
        Columns of the rows whose content is asked for next, see `hf_privacy.data.pictures.encoded_pictures`.
    at_a_time : int
        Images that a thread has in memory.
    """
    facts = {
        **decoded_facts(dataset, [image_column]),
        "channels": channels,
        "processor": processor_facts(processor),
    }
    encoder = _PixelEncoder(entry_name("pixels", facts), processor, channels, check)
    folder = encoded_pictures(dataset, image_column, encoder, columns=columns, at_a_time=at_a_time)
    if (folder / _LEVELS).is_file():
        column: Column = LevelRows(StoredArray(folder / _LEVELS), Levels(np.load(folder / _TABLE)))
        check(column.shape, 1)
    else:
        column = MappedRows(StoredArray(folder / _FLOATS))
        check(column.shape, 4)
    return column


def processor_facts(processor: BaseImageProcessor) -> dict[str, Any]:
    """What tells one processor's output from another's: class, configuration and the versions that shape it."""
    return {**class_facts(processor, _PACKAGES), "configuration": processor.to_dict()}


def class_facts(thing: Any, packages: Sequence[str]) -> dict[str, Any]:
    """Class and versions of an image processor or a tokenizer, and the source of a class of the user's own."""
    kind = type(thing)
    versions: dict[str, str | None] = {}
    for package in packages:
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            versions[package] = None
    facts: dict[str, Any] = {"class": f"{kind.__module__}.{kind.__qualname__}", "versions": versions}
    if not kind.__module__.startswith("transformers."):  # a class of the user's own changes without a version
        try:
            facts["source"] = hashlib.sha256(inspect.getsource(kind).encode()).hexdigest()
        except (OSError, TypeError):
            facts["source"] = repr(kind) + str(id(kind))
    return facts


def converted(image: PillowImage.Image | None, channels: int) -> PillowImage.Image:
    """The image in grey (1 channel) or RGB (3)."""
    if image is None:
        raise InputError("some rows have no image: drop them")
    if image.mode not in _MODES:
        raise InputError(
            f"an image has mode {image.mode!r}, more than 8 bits a channel: scale such images to 0..255 first"
        )
    return image.convert("L" if channels == 1 else "RGB")


def processed(processor: BaseImageProcessor, images: list[PillowImage.Image]) -> torch.Tensor:
    """What the processor makes of images, float32[B, C, H, W]."""
    try:
        return processor(images, return_tensors="pt")["pixel_values"].to(torch.float32)
    except (ValueError, RuntimeError) as error:
        if len({image.size for image in images}) > 1:
            raise different_shapes() from error
        raise


def different_shapes() -> InputError:
    """The error for images that cannot be stacked."""
    return InputError(
        "images of different sizes come out of the processor in different shapes: use a processor that resizes to one "
        "height and width, such as image_processor_for(model, size=...)"
    )


class _PixelEncoder:
    """Writes pixels as levels, or, once a value is found that is no level's, all of them as they are."""

    def __init__(self, name: str, processor: BaseImageProcessor, channels: int, check: Check) -> None:
        self.name = name
        self._processor, self._channels, self._check = processor, channels, check
        self._folder: Path | None = None
        self._levels: Levels | None = None
        self._as_floats = False
        self._into: np.ndarray | None = None

    def begin(self, folder: Path, n_rows: int, images: Images) -> None:
        first = [converted(image, self._channels) for image in images]
        values = self._values(first)
        if not self._as_floats:
            self._levels = levels_of(self._values, first[0].size, first[0].mode)
            self._as_floats = self._levels.of(values) is None
        shape, kind = (n_rows, *values.shape[1:]), np.float32 if self._as_floats else np.uint8
        self._check(shape, np.dtype(kind).itemsize)
        for file in (_LEVELS, _TABLE, _FLOATS):
            (folder / file).unlink(missing_ok=True)
        if not self._as_floats and self._levels is not None:
            save_array(folder / _TABLE, self._levels.table)
        path = folder / (_FLOATS if self._as_floats else _LEVELS)
        self._into = new_array(path, kind, shape)

    def add(self, start: int, images: Images) -> bool:
        values = self._values([converted(image, self._channels) for image in images])
        into = self._into
        assert into is not None
        if values.shape[1:] != into.shape[1:]:
            raise different_shapes()
        if self._as_floats:
            into[start : start + len(values)] = values
            return True
        assert self._levels is not None
        levels = self._levels.of(values)
        if levels is None:
            self._as_floats = True
            return False
        into[start : start + len(values)] = levels
        return True

    def end(self) -> None:
        self._into = None  # Windows renames no folder with a mapped file

    def _values(self, images: list[PillowImage.Image]) -> np.ndarray:
        return processed(self._processor, images).numpy()
