"""One pass over pictures: decoded once, by several threads, for everything that needs them decoded.

That is the content hash of each row, what the picture looks like (for the search for repeats), and what a processor
makes of it. All three are kept in the encoded store under the stored bytes of the rows, so that a picture is decoded
in the first run alone. Pillow decodes and resizes without Python's lock, so threads are as good as processes.
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import NamedTuple, Protocol

import datasets
import numpy as np
import PIL
from datasets import Dataset
from PIL import Image as PillowImage

from hf_privacy.data.canonical import RowBytes, canonical_bytes, stored_fingerprint
from hf_privacy.data.encoded_store import FEWEST_ROWS, StoredArray, entry_name, new_array, stored
from hf_privacy.data.near_repeats import block_means
from hf_privacy.launch import available_cores
from hf_privacy.progress import progress

AT_A_TIME = 32  # pictures
_COARSE, _FINE = 4, 8  # blocks along each side of a picture
_MOST_THREADS = 16

Images = Sequence[PillowImage.Image | None]


class Looks(NamedTuple):
    """Of N pictures, in their order.

    Attributes
    ----------
    digests : uint8[N, 16]
        Equal for equal pictures: mode, size and pixels.
    sizes : int32[N, 2]
        Height and width; 0 for a row without a picture.
    coarse, fine : float32[N, 16], float32[N, 192]
        `block_means` of the mean channel, and of the three, of pixels in 0..1; what is over is 0.
    """

    digests: np.ndarray
    sizes: np.ndarray
    coarse: np.ndarray
    fine: np.ndarray


class Encoder(Protocol):
    """What makes something of pictures, some at a time, from several threads, into an entry of its own."""

    name: str

    def begin(self, folder: Path, n_rows: int, images: Images) -> None:
        """Make room for so many rows, of which `images` are the first."""

    def add(self, start: int, images: Images) -> bool:
        """Take the images of the rows from `start` on; False asks for all of them once more, from `begin` on."""

    def end(self) -> None:
        """Close what is open: all are in."""


def picture_looks(dataset: Dataset, column: str) -> Looks:
    """The looks of a column of images, from the store or decoded now."""
    if len(dataset) < FEWEST_ROWS:
        looks = _room_for_looks(None, len(dataset))
        _look(looks, 0, dataset.with_format(None).select_columns([column])[:][column])
        return looks
    name = _looks_name(dataset, column)
    folder = stored([name], partial(_decode, dataset, column, (), None))[name]
    return Looks(*(StoredArray(folder / f"{part}.npy").values for part in Looks._fields))


def row_digests(dataset: Dataset, columns: Sequence[str], column: str) -> np.ndarray:
    """The content digest of each row over these columns, uint8[N, 16]; `column` is the one of them with images."""
    name = _rows_name(dataset, columns)
    make = partial(_decode, dataset, column, columns, None)
    folder = stored([name], make, along=[_looks_name(dataset, column)])[name]
    return StoredArray(folder / "digests.npy").values


def encoded_pictures(
    dataset: Dataset, column: str, encoder: Encoder, *, columns: Sequence[str] = (), at_a_time: int = AT_A_TIME
) -> Path:
    """The folder of what an encoder makes of a column of images, from the store or made now.

    With the looks of the pictures, and the content digests of the rows over `columns`, for whoever asks for them next.
    """
    along = [_looks_name(dataset, column), *([_rows_name(dataset, columns)] if columns else [])]
    make = partial(_decode, dataset, column, columns, encoder, at_a_time=at_a_time)
    return stored([encoder.name], make, along=along)[encoder.name]


def decoded_facts(dataset: Dataset, columns: Sequence[str]) -> dict[str, str]:
    """What rows are, and by what their pictures are decoded."""
    rows = stored_fingerprint(dataset.select_columns(list(columns)), columns)
    return {"rows": rows, "pillow": PIL.__version__, "datasets": datasets.__version__}


def _looks_name(dataset: Dataset, column: str) -> str:
    return entry_name("looks", decoded_facts(dataset, [column]))


def _rows_name(dataset: Dataset, columns: Sequence[str]) -> str:
    return entry_name("rows", decoded_facts(dataset, columns))


def _decode(
    dataset: Dataset,
    column: str,
    columns: Sequence[str],
    encoder: Encoder | None,
    folders: Mapping[str, Path],
    *,
    at_a_time: int = AT_A_TIME,
) -> None:
    """Fill the folders, named by their entries, in one pass."""
    images = dataset.with_format(None).select_columns([column])
    first = images[:at_a_time][column]  # are looked at before the others
    pixels = None if encoder is None else folders.get(encoder.name)
    looks = digests = None
    for name, folder in folders.items():
        if name.startswith("looks-"):
            looks = _room_for_looks(folder, len(dataset))
        elif name.startswith("rows-"):
            digests = new_array(folder / "digests.npy", np.uint8, (len(dataset), 16))
    rows = None if digests is None else RowBytes(dataset, sorted(columns), given=column)

    def some(start: int) -> bool:
        pictures = images[start : start + at_a_time][column] if start else first
        stop = start + len(pictures)
        if looks is not None:
            _look(looks, start, pictures)
        if digests is not None and rows is not None:
            contents = [canonical_bytes(picture) for picture in pictures]
            digests[start:stop] = [_digest(row) for row in rows.between(start, stop, contents)]
        return True if pixels is None or encoder is None else encoder.add(start, pictures)

    for _ in range(2):  # an encoder may ask for all of them once more
        if encoder is not None and pixels is not None:
            encoder.begin(pixels, len(dataset), first)
        if _all(some, range(0, len(dataset), at_a_time)):
            break
    if encoder is not None:
        encoder.end()


def _all(some: Callable[[int], bool], starts: range) -> bool:
    """Whether every part went well; the rest is left out once one did not."""
    description = f"decoding images, {starts.step} at a time"
    # Where a processor has brought torch: its threads in each of these would be too many.
    torch = sys.modules.get("torch")
    torch_threads = None if torch is None else torch.get_num_threads()
    alone = {} if torch is None else {"initializer": torch.set_num_threads, "initargs": (1,)}
    with ThreadPoolExecutor(_threads(), **alone) as pool:
        parts = [pool.submit(some, start) for start in starts]
        try:
            # In their order: the first bad row is the one that is told of.
            return all(parts[number].result() for number, _ in enumerate(progress(starts, description=description)))
        finally:
            for part in parts:
                part.cancel()
            if torch is not None:
                torch.set_num_threads(torch_threads)


def _threads() -> int:
    return min(available_cores(), _MOST_THREADS)


def _digest(content: bytes) -> np.ndarray:
    return np.frombuffer(hashlib.blake2b(content, digest_size=16).digest(), dtype=np.uint8)


def _room_for_looks(folder: Path | None, n_rows: int) -> Looks:
    shapes = {
        "digests": (np.uint8, 16), "sizes": (np.int32, 2), "coarse": (np.float32, _COARSE**2),
        "fine": (np.float32, 3 * _FINE**2),
    }  # fmt: skip
    if folder is None:
        return Looks(**{name: np.zeros((n_rows, n), kind) for name, (kind, n) in shapes.items()})
    return Looks(**{name: new_array(folder / f"{name}.npy", kind, (n_rows, n)) for name, (kind, n) in shapes.items()})


def _look(looks: Looks, start: int, pictures: Images) -> None:
    for row, picture in enumerate(pictures, start=start):
        looks.digests[row] = _digest(canonical_bytes(picture))
    by_kind: dict[tuple[int, int, bool], list[tuple[int, np.ndarray]]] = {}
    for row, picture in enumerate(pictures, start=start):
        if picture is not None:
            grey = picture.mode == "L"
            pixels = np.asarray(picture if grey else picture.convert("RGB"))
            by_kind.setdefault((picture.height, picture.width, grey), []).append((row, pixels))
    for (height, width, _), members in by_kind.items():
        rows = [row for row, _ in members]
        pixels = np.stack([pixels for _, pixels in members]).reshape(len(members), height, width, -1)
        per_channel = block_means(pixels, _FINE, (1, 2)) / 255
        # a grey picture is an RGB one with three equal channels
        per_channel = per_channel if per_channel.shape[-1] == 3 else np.repeat(per_channel / 3, 3, axis=-1)
        coarse = block_means(pixels, _COARSE, (1, 2)).sum(axis=-1) / 255
        looks.sizes[rows] = height, width
        for array, values in ((looks.fine, per_channel), (looks.coarse, coarse)):
            flat = values.reshape(len(members), -1)
            array[rows, : flat.shape[1]] = flat
