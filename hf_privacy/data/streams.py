"""A stream of rows, read once into the encoded store: then its rows have numbers, which membership is said by."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from itertools import islice
from pathlib import Path

from datasets import Dataset, Image, IterableDataset
from datasets.arrow_writer import ArrowWriter

from hf_privacy.arguments import check_whole
from hf_privacy.data.encoded_store import stored
from hf_privacy.errors import InputError
from hf_privacy.progress import progress

_FILE = "rows.arrow"


def read_stream(stream: IterableDataset, *, max_rows: int | None = None) -> Dataset:
    """The rows of a stream as a dataset that is mapped from the disk, whatever their number; images stay files.

    Nothing tells whether a stream is the one that was read before, so each call reads it. The rows lie in the encoded
    store (`hf_privacy.data.encoded_store`) while this process lives, and after it until others take their place.

    Parameters
    ----------
    stream : datasets.IterableDataset
        Such as of ``load_dataset(..., streaming=True)["train"]``, with features that are known.
    max_rows : int, optional
        Only the first so many.

    Raises
    ------
    InputError
        For what is no stream, one whose columns are not known before it is read, or one without rows.

    Examples
    --------
    >>> rows = read_stream(Dataset.from_dict({"x": [1, 2, 3]}).to_iterable_dataset(), max_rows=2)
    >>> len(rows), rows["x"][:]
    (2, [1, 2])
    """
    if not isinstance(stream, IterableDataset):
        raise InputError(f"stream is {type(stream).__name__}: pass a datasets.IterableDataset")
    features = stream.features
    if features is None:
        raise InputError("the stream does not say which columns it has: give it features, or resolve its own")
    most = None if max_rows is None else check_whole("max_rows", max_rows, at_least=1)
    for name, feature in features.items():
        if isinstance(feature, Image) and feature.decode:
            stream = stream.cast_column(name, Image(decode=False))
    name = f"stream-{uuid.uuid4().hex}"

    def make(folders: Mapping[str, Path]) -> None:
        with ArrowWriter(path=str(folders[name] / _FILE), features=features) as writer:
            for row in progress(islice(stream, most), description="reading the stream"):
                writer.write(row)
            n_rows, _ = writer.finalize()
        if not n_rows:
            raise InputError("the stream has no rows: choose another split or source")

    return Dataset.from_file(str(stored([name], make)[name] / _FILE))
