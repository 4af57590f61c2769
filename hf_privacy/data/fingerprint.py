"""Names for rows and datasets that depend on their content alone.

`datasets` has a fingerprint of its own, but that one follows the path and the history of transforms: the same rows
read from another folder get another one. Here a row is hashed by what it holds, after decoding.

Images are not decoded again for it. The hash of what a picture's file decodes to is kept in the encoded store under
the stored bytes of the rows, and made in the pass that encodes them (`hf_privacy.data.pictures`).
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np
from datasets import Dataset

from hf_privacy.data.canonical import RowBytes, canonical_bytes, content_columns, image_column_of
from hf_privacy.data.encoded_store import FEWEST_ROWS
from hf_privacy.data.pictures import row_digests
from hf_privacy.progress import progress

__all__ = ["canonical_bytes", "content_hashes", "dataset_fingerprint", "example_ids"]

_BATCH = 1000


def content_hashes(dataset: Dataset, *, columns: Sequence[str] | None = None) -> np.ndarray:
    """BLAKE2b-128 of the content of each row, as 32 hexadecimal digits.

    The same row gives the same hash in every process, on every machine, from every file format that keeps its values
    and in every place of the dataset. The order of the columns does not matter, their names do.

    Parameters
    ----------
    columns : sequence of str, optional
        Columns that make up the content; all by default.

    Returns
    -------
    str[N]

    Raises
    ------
    InputError
        Unknown or repeated column, or a value that has no canonical bytes.

    Examples
    --------
    >>> rows = Dataset.from_dict({"text": ["a", "b", "a"]})
    >>> hashes = content_hashes(rows)
    >>> bool(hashes[0] == hashes[2] != hashes[1]), len(hashes[0])
    (True, 32)
    """
    names = content_columns(dataset, columns)
    image_column = image_column_of(dataset, names)
    if len(dataset) >= FEWEST_ROWS and image_column is not None:
        digests = row_digests(dataset, names, image_column)
        return np.array([digest.tobytes().hex() for digest in digests], dtype="<U32")
    rows = RowBytes(dataset, names)
    hashes: list[str] = []
    for start in progress(range(0, len(dataset), _BATCH), description=f"hashing rows, {_BATCH} at a time"):
        found = rows.between(start, min(start + _BATCH, len(dataset)))
        hashes.extend(hashlib.blake2b(row, digest_size=16).hexdigest() for row in found)
    return np.array(hashes, dtype="<U32")


def example_ids(dataset: Dataset, *, columns: Sequence[str] | None = None) -> np.ndarray:
    """A unique, stable name for each row: its content hash, with "-1", "-2", … on the second, third, … equal row.

    The set of names does not change when the rows change places. Names come from content, so a name can be matched
    against a suspected row: keep them local, as the rows themselves.

    Parameters
    ----------
    columns : sequence of str, optional
        Columns that make up the content; all by default.

    Returns
    -------
    str[N]

    Raises
    ------
    InputError
        As `content_hashes`.

    Examples
    --------
    >>> names = example_ids(Dataset.from_dict({"text": ["a", "b", "a"]}))
    >>> str(names[2]) == str(names[0]) + "-1"
    True
    """
    seen: dict[str, int] = {}
    names = []
    for name in content_hashes(dataset, columns=columns).tolist():
        count = seen.get(name, 0)
        seen[name] = count + 1
        names.append(f"{name}-{count}" if count else name)
    return np.array(names, dtype=str)


def dataset_fingerprint(dataset: Dataset, *, columns: Sequence[str] | None = None) -> str:
    """SHA-256 (64 hexadecimal digits) of the rows' contents in their order.

    Row i of two datasets with the same fingerprint holds the same values, wherever they were read from.

    Parameters
    ----------
    columns : sequence of str, optional
        Columns that make up the content; all by default.

    Raises
    ------
    InputError
        As `content_hashes`.

    Examples
    --------
    >>> one, other = Dataset.from_dict({"x": [1, 2]}), Dataset.from_dict({"x": [2, 1]})
    >>> dataset_fingerprint(one) == dataset_fingerprint(other)
    False
    """
    hashes = content_hashes(dataset, columns=columns)
    return hashlib.sha256("\n".join([str(len(hashes)), *hashes.tolist()]).encode()).hexdigest()
