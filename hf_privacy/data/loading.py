"""One door to a dataset: the embedded digits, the Hub, or a local path."""

from __future__ import annotations

import re
from pathlib import Path

import datasets
from datasets import Dataset, DatasetDict
from datasets.exceptions import DatasetGenerationError, DatasetNotFoundError, DatasetsError
from datasets.packaged_modules.csv.csv import CsvConfig

from hf_privacy.data.digits import load_digits_dataset
from hf_privacy.errors import InputError
from hf_privacy.network import reaching

# An empty cell is missing; "None", "null", "NA" and "nan" are words that someone wrote.
_CSV = {"keep_default_na": False, "na_values": [""]}
_READERS = {
    ".parquet": ("parquet", {}),
    ".csv": ("csv", _CSV),
    ".tsv": ("csv", {"sep": "\t", **_CSV}),
    ".json": ("json", {}),
    ".jsonl": ("json", {}),
}
_HUB_ID = re.compile(r"[\w.-]+(/[\w.-]+)?")


def load_dataset_from(
    source: str, *, split: str | None = None, name: str | None = None, revision: str | None = None
) -> Dataset:
    """Load one split of a dataset.

    Parameters
    ----------
    source : str
        ``"digits"`` (embedded, no network); a local path (a parquet, csv, tsv, json or jsonl file, a folder with
        such files or images, a folder `save_to_disk` wrote); or the id of a dataset on the Hub. A path that exists
        goes before a Hub id. In csv and tsv files an empty cell alone is a missing value.
    split : str, optional
        As in `datasets` (``"train"``, ``"train[:1000]"``, ``"train+test"``); by default "train", or the only split.
    name : str, optional
        Configuration of a Hub dataset.
    revision : str, optional
        Commit, tag or branch of a Hub dataset.

    Raises
    ------
    InputError
        Nothing there, nothing readable there, offline and not cached, or an unknown split or configuration.

    Examples
    --------
    >>> load_dataset_from("digits", split="train[:5]").num_rows
    5
    >>> load_dataset_from("./no-such-file.parquet")
    Traceback (most recent call last):
    ...
    hf_privacy.errors.InputError: dataset './no-such-file.parquet': there is no such file or folder
    """
    path = Path(source).expanduser()
    local = source != "digits" and path.exists()
    if not local and source != "digits":
        _check_hub_id(source)
    if (local or source == "digits") and (name is not None or revision is not None):
        raise InputError(
            f"dataset {source!r} is not on the Hub, so it takes neither name nor revision: leave them out"
        )
    if source == "digits":
        return _choose(DatasetDict(train=load_digits_dataset()), source, split)
    if path.is_dir() and ((path / "state.json").is_file() or (path / "dataset_dict.json").is_file()):
        saved = datasets.load_from_disk(str(path))
        return _choose(saved if isinstance(saved, DatasetDict) else DatasetDict(train=saved), source, split)
    if local and path.is_file():
        if path.suffix not in _READERS:
            raise InputError(f"dataset {source!r} ends in {path.suffix!r}: pass one of {', '.join(_READERS)}")
        reader, options = _READERS[path.suffix]
        return _load(source, split, reader, data_files={"train": str(path)}, **options)
    if local:
        return _load(source, split, str(path))
    return _load(source, split, source, name=name, revision=revision)


def _check_hub_id(source: str) -> None:
    if source.startswith((".", "~", "/")) or Path(source).suffix in _READERS or not _HUB_ID.fullmatch(source):
        raise InputError(f"dataset {source!r}: there is no such file or folder")


def _load(source: str, split: str | None, *arguments, **options) -> Dataset:
    try:
        with reaching(f"dataset {source!r} is not in the local cache", instead="pass a local file or folder"):
            if "data_files" not in options and _is_csv(*arguments, **options):
                options |= _CSV
            loaded = datasets.load_dataset(*arguments, split=split, **options)
        return loaded if split is not None else _choose(loaded, source, None)
    except InputError:
        raise
    except DatasetNotFoundError as error:
        raise InputError(
            f"dataset {source!r} is neither a local path nor a dataset on the Hub that you may read: check its "
            "spelling and revision, and log in if it is private or gated"
        ) from error
    except DatasetGenerationError as error:
        reason = str(error.__cause__ or error).strip().splitlines()
        raise InputError(
            f"dataset {source!r} cannot be read as one table: {reason[0] if reason else error}"
        ) from error
    except RuntimeError as error:
        if "scripts are no longer supported" not in str(error):
            raise
        raise InputError(
            f"dataset {source!r} is a loading script, Python code that is never run: pass its data files (parquet, "
            "csv, json or images)"
        ) from error
    except (DatasetsError, FileNotFoundError, ValueError) as error:
        if "corresponds to no data" in str(error):
            raise InputError(f"dataset {source!r} has no rows: choose another split or source") from error
        # unknown split or configuration, no data files, undecidable or broken format
        raise InputError(f"dataset {source!r}: {str(error).strip().splitlines()[0]}") from error


def _is_csv(*arguments, **options) -> bool:
    """Whether a folder or a Hub repository is read as csv; one that is in the cache already stays as it was read."""
    return isinstance(datasets.load_dataset_builder(*arguments, **options).config, CsvConfig)


def _choose(splits: DatasetDict, source: str, split: str | None) -> Dataset:
    names = ", ".join(splits)
    if split is None:
        if "train" in splits:
            return splits["train"]
        if len(splits) == 1:
            return next(iter(splits.values()))
        raise InputError(f"dataset {source!r} has the splits {names}: choose one with split")
    parts = [re.fullmatch(r"\s*(\w+)(?:\[(-?\d+%?)?:(-?\d+%?)?\])?\s*", part) for part in split.split("+")]
    chosen = []
    for part in parts:
        if part is None or part[1] not in splits:
            raise InputError(f"split is {split!r} and dataset {source!r} has the splits {names}")
        rows = splits[part[1]]
        start, stop = (_position(bound, len(rows)) for bound in (part[2], part[3]))
        chosen.append(rows.select(range(len(rows))[start:stop]) if part[2] or part[3] else rows)
    return chosen[0] if len(chosen) == 1 else datasets.concatenate_datasets(chosen)


def _position(bound: str | None, n_rows: int) -> int | None:
    if bound is None:
        return None
    return round(int(bound[:-1]) * n_rows / 100) if bound.endswith("%") else int(bound)
