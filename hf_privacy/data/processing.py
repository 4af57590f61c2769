"""Decode, transform and tokenize once: from a `datasets` dataset to a TensorDataset."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from datasets import Dataset
from transformers import PreTrainedTokenizerBase
from transformers.image_processing_utils import BaseImageProcessor

from hf_privacy.data.canonical import stored_fingerprint
from hf_privacy.data.columns import check_columns, check_labels, numeric_matrix, require_image_column
from hf_privacy.data.encoded_images import converted, different_shapes, processed, stored_pixels
from hf_privacy.data.encoded_store import FEWEST_ROWS, StoredArray, entry_name, save_array, stored
from hf_privacy.data.encoded_tokens import FEWEST_TEXTS, Tokens, is_storable, stored_tokens
from hf_privacy.data.image_processors import processor_channels
from hf_privacy.data.pictures import AT_A_TIME
from hf_privacy.data.stored_columns import Column, MappedRows, TokenRows, stored_or_in_memory
from hf_privacy.data.tensors import TensorDataset
from hf_privacy.errors import InputError
from hf_privacy.progress import progress

_MOST_IN_MEMORY = 2**22  # numbers of a table: larger ones are kept in the encoded store
_UNBOUNDED = 10**6  # a tokenizer without a limit says 10³⁰


def encode_images(
    dataset: Dataset,
    processor: BaseImageProcessor,
    *,
    image_column: str = "image",
    label_column: str | None = "label",
    channels: int | None = None,
    batch_size: int = AT_A_TIME,
    max_gigabytes: float | None = None,
) -> TensorDataset:
    """All images through the processor, once: "pixel_values" float32[N, C, H, W] and "labels" int64[N].

    What comes out lies in the encoded store on the disk (`hf_privacy.data.encoded_store`), a byte a pixel where the
    processor resizes, rescales and normalises alone: a batch is bit for bit what the processor gives. The same images
    and processor find it there again, in any process.

    Parameters
    ----------
    processor : BaseImageProcessor
        Any of transformers' image processors, `TimmWrapperImageProcessor` included. It is used as it stands: no
        random augmentation, which belongs to `TensorDataset.with_augmentation`.
    label_column : str or None
        None for no labels.
    channels : {1, 3}, optional
        What images are converted to first; by default what the processor normalizes.
    batch_size : int
        Images decoded at a time, by each thread.
    max_gigabytes : float, optional
        Largest result allowed on the disk; by default what it has room for.

    Raises
    ------
    InputError
        Unknown or empty columns, bad labels, images missing or of more than 8 bits a channel, images that come out of
        the processor in different shapes, or a result larger than `max_gigabytes`.

    Examples
    --------
    >>> from transformers import ViTImageProcessor
    >>> from hf_privacy.data import load_digits_dataset
    >>> processor = ViTImageProcessor(size={"height": 8, "width": 8}, image_mean=[0.5], image_std=[0.5])
    >>> encoded = encode_images(load_digits_dataset().select(range(10)), processor)
    >>> encoded.__getitems__([3, 1])["pixel_values"].shape
    torch.Size([2, 1, 8, 8])
    """
    require_image_column(dataset, image_column)
    channels = processor_channels(processor) if channels is None else channels
    if channels not in (1, 3):
        raise InputError(f"channels is {channels}: images are converted to 1 (grey) or 3 (RGB)")
    labels = _labels(dataset, label_column)

    def check(shape: tuple[int, ...], item_bytes: int) -> None:
        check_memory(shape, item_bytes, max_gigabytes, "images")

    if len(dataset) >= FEWEST_ROWS:
        columns = [image_column, *([] if label_column is None else [label_column])]
        pixels: Column | torch.Tensor = stored_pixels(
            dataset,
            image_column,
            processor,
            channels=channels,
            check=check,
            columns=columns,
            at_a_time=batch_size,
        )
    else:
        images = dataset.with_format(None).select_columns([image_column])[:][image_column]
        images = [converted(image, channels) for image in images]
        parts = [processed(processor, images[i : i + batch_size]) for i in range(0, len(images), batch_size)]
        if len({part.shape[1:] for part in parts}) > 1:
            raise different_shapes()
        pixels = torch.cat(parts)
        check(tuple(pixels.shape), 4)
    return TensorDataset({"pixel_values": pixels, **labels})


def encode_text(
    dataset: Dataset,
    tokenizer: PreTrainedTokenizerBase,
    *,
    text_column: str | tuple[str, str] = "text",
    label_column: str | None = "label",
    max_length: int | None = None,
    padding_side: str | None = None,
    max_gigabytes: float | None = None,
) -> TensorDataset:
    """All texts tokenized, once: what the tokenizer returns as int64[N, L], and "labels" int64[N].

    Stored padded to the longest row; a batch is fetched trimmed to its own longest. An
    empty text is fine; where the tokenizer adds no special token it becomes one attended pad token, since attention
    over nothing is undefined.

    Parameters
    ----------
    text_column : str or (str, str)
        Two columns make a sentence pair.
    label_column : str or None
        None for no labels.
    max_length : int, optional
        Longer texts are cut; by default at the tokenizer's own limit, if it has one.
    padding_side : {"right", "left"}, optional
        By default the tokenizer's own; `hf_privacy.models.padding_side_for` finds the one that suits a classifier.
    max_gigabytes : float, optional
        Largest result allowed, were all rows padded in memory.

    Raises
    ------
    InputError
        Unknown or empty columns, bad labels, values that are no text, a tokenizer without pad token, or a result
        larger than `max_gigabytes`.
    """
    columns = [text_column] if isinstance(text_column, str) else list(text_column)
    if len(columns) not in (1, 2):
        raise InputError(f"text_column names {len(columns)} columns: pass one, or two for sentence pairs")
    check_columns(dataset, columns)
    if tokenizer.pad_token_id is None:
        raise InputError(
            "the tokenizer has no pad token: set tokenizer.pad_token = tokenizer.eos_token, and "
            "model.config.pad_token_id to its number"
        )
    if max_length is None and tokenizer.model_max_length < _UNBOUNDED:
        max_length = tokenizer.model_max_length
    labels = _labels(dataset, label_column)
    padding = {"input_ids": tokenizer.pad_token_id, "token_type_ids": tokenizer.pad_token_type_id}

    def tokenize() -> Tokens:
        texts = [_texts(dataset, column) for column in columns]
        return _tokenized(tokenizer, texts, max_length, padding)

    if len(dataset) >= FEWEST_TEXTS and is_storable(tokenizer):
        tokens = stored_tokens(dataset, columns, tokenizer, {"max_length": max_length, "for": "text"}, tokenize)
    else:
        tokens = tokenize()
    longest = max(1, int(tokens.lengths.max()))
    check_memory((len(dataset), longest), 8 * len(tokens.columns), max_gigabytes, "texts")
    side = tokenizer.padding_side if padding_side is None else padding_side
    rows = {
        name: TokenRows(flat, tokens.offsets, padding=padding.get(name, 0), side=side)
        for name, flat in tokens.columns.items()
    }
    return TensorDataset(
        {**stored_or_in_memory(rows), **labels},
        padding_side=side,
        sequence_columns=list(rows),
        token_counts=tokens.lengths,
    )


def _tokenized(
    tokenizer: PreTrainedTokenizerBase, texts: list[list[str]], max_length: int | None, padding: Mapping[str, int]
) -> Tokens:
    """An empty text becomes one attended pad token where the tokenizer adds none of its own."""
    flat: dict[str, list[np.ndarray]] = {}
    lengths: list[int] = []
    for start in progress(range(0, len(texts[0]), 1000), description="tokenizing, 1000 at a time"):
        parts = [column[start : start + 1000] for column in texts]
        tokens = tokenizer(
            *parts, truncation=max_length is not None, max_length=max_length, return_attention_mask=True
        )
        lengths += [max(1, len(row)) for row in tokens["attention_mask"]]
        for name in tokens:
            empty = [1 if name == "attention_mask" else padding.get(name, 0)]
            joined = itertools.chain.from_iterable(row or empty for row in tokens[name])
            flat.setdefault(name, []).append(np.fromiter(joined, dtype=np.int32))
    return Tokens({name: np.concatenate(parts) for name, parts in flat.items()}, np.array(lengths), {})


def encode_features(
    dataset: Dataset, *, feature_column: str | Sequence[str] = "features", label_column: str | None = "label"
) -> TensorDataset:
    """Numeric vectors: "features" float32[N, D] and "labels" int64[N].

    Parameters
    ----------
    feature_column : str or sequence of str
        One column of number lists of equal length, or several columns of single numbers, in this order.
    label_column : str or None
        None for no labels.

    Raises
    ------
    InputError
        Unknown or empty columns, bad labels, lists of different lengths, or values that are missing or not finite.

    Examples
    --------
    >>> rows = Dataset.from_dict({"features": [[0, 1], [1, 1]], "label": [0, 1]})
    >>> encode_features(rows).column("features")
    tensor([[0., 1.], [1., 1.]])
    """
    columns = [feature_column] if isinstance(feature_column, str) else list(feature_column)
    check_columns(dataset, columns)
    width = sum(np.size(dataset[0][column]) for column in columns)
    labels = _labels(dataset, label_column)
    if len(dataset) * width < _MOST_IN_MEMORY:
        values = numeric_matrix(dataset, columns).astype(np.float32)
        return TensorDataset({"features": torch.from_numpy(values), **labels})
    facts = {"rows": stored_fingerprint(dataset.select_columns(columns), columns), "columns": columns}
    name = entry_name("features", facts)

    def make(folders: Mapping[str, Path]) -> None:
        save_array(folders[name] / "features.npy", numeric_matrix(dataset, columns), np.float32)

    array = StoredArray(stored([name], make)[name] / "features.npy")
    return TensorDataset({"features": MappedRows(array), **labels})


def _labels(dataset: Dataset, label_column: str | None) -> dict[str, torch.Tensor]:
    if label_column is None:
        return {}
    return {"labels": torch.from_numpy(check_labels(dataset, label_column))}


def check_memory(shape: tuple[int, ...], item_bytes: int, max_gigabytes: float | None, what: str) -> None:
    """Refuse a result of this shape, of so many bytes an item, that takes more than `max_gigabytes`."""
    gigabytes = math.prod(shape) * item_bytes / 1e9
    if max_gigabytes is not None and gigabytes > max_gigabytes:
        raise InputError(
            f"the encoded {what} {' × '.join(map(str, shape))} take {gigabytes:.1f} GB of memory, more than "
            f"max_gigabytes={max_gigabytes:g}: use fewer rows, a smaller size, or raise it"
        )


def _texts(dataset: Dataset, column: str) -> list[str]:
    values = list(dataset.with_format(None)[:][column])
    others = sum(not isinstance(value, str) for value in values)
    if others:
        raise InputError(f"text_column {column!r} has {others} rows that are missing or no text: drop or convert them")
    return values
