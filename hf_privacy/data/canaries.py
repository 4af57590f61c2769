"""Canaries: examples made to be recognised, so that a training run that keeps too much of an example shows it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from itertools import islice

import numpy as np
import torch
from transformers import PreTrainedTokenizerBase

from hf_privacy.arguments import LARGEST_SEED, check_choice, check_seed, check_whole
from hf_privacy.arrays import row_numbers
from hf_privacy.data.tensors import TensorDataset
from hf_privacy.errors import InputError

KINDS = ("mislabelled", "random")
_ROUNDS = 100  # of drawing random canaries anew in place of those that are there already
_ROWS_AT_A_TIME = 256


def make_canaries(
    dataset: TensorDataset,
    *,
    n: int,
    members: np.ndarray,
    n_classes: int,
    kind: str = "mislabelled",
    tokenizer: PreTrainedTokenizerBase | None = None,
    seed: int = 0,
) -> TensorDataset:
    """Make `n` labelled examples that are neither members nor repeats of one another.

    - ``"mislabelled"``: rows outside the training set with another label than their own, drawn evenly from the other
      classes that have rows. A model can only answer so if it learnt this very example by heart.
    - ``"random"``: made-up inputs with a label drawn evenly from the same classes. Images are uniform noise over each
      channel's range; texts are those of random rows with every word replaced by a random one of the vocabulary
      (special tokens and padding stay); feature rows take each column from another random row.

    Both are drawn from rows outside the training set alone. Which canaries are then inserted is not decided here.

    Parameters
    ----------
    dataset : TensorDataset of N rows
        Encoded, with "labels" and "pixel_values", "input_ids" or "features".
    n : int
        Number of canaries, at least 1.
    members : int array
        Row numbers of the training set.
    n_classes : int
        Of the model.
    kind : {"mislabelled", "random"}
    tokenizer : PreTrainedTokenizerBase, optional
        Its vocabulary and special tokens; needed for random texts.
    seed : int
        Equal seeds give equal canaries.

    Returns
    -------
    TensorDataset
        `n` rows with the columns of `dataset`.

    Raises
    ------
    InputError
        Unknown kind, rows of fewer than 2 classes, labels out of range, no tokenizer for random texts, or too few
        distinct rows to make `n` canaries of.

    References
    ----------
    Steinke, Nasr & Jagielski, "Privacy auditing with one (1) training run", 2023, section 6. Canaries come on top of
    the training set here, so that every member stays in it.

    Examples
    --------
    >>> rows = TensorDataset({"features": torch.arange(12.0).reshape(6, 2), "labels": torch.tensor([0, 1, 2] * 2)})
    >>> canaries = make_canaries(rows, n=2, members=np.array([0, 1, 2]), n_classes=3)
    >>> len(canaries), set(canaries.column("features")[:, 0].tolist()) <= {6.0, 8.0, 10.0}
    (2, True)
    """
    check_choice("kind", kind, KINDS)
    n = check_whole("n", n, at_least=1)
    n_classes = check_whole("n_classes", n_classes, at_least=1)
    seed = check_seed(seed, at_most=LARGEST_SEED)
    members = row_numbers("members", members, below=len(dataset))
    if "labels" not in dataset.column_names:
        raise InputError(f"dataset has {', '.join(dataset.column_names)}: canaries need a labels column")
    outside = dataset.subset(np.setdiff1d(np.arange(len(dataset)), members))
    if len(outside) == 0:
        raise InputError("every row of dataset is a member: canaries are made of rows outside the training set")
    labels = dataset.column("labels")
    if int(labels.min()) < 0 or int(labels.max()) >= n_classes:
        raise InputError(
            f"labels go from {int(labels.min())} to {int(labels.max())} with n_classes {n_classes}: pass the model's"
        )
    classes = np.unique(labels.numpy())
    if len(classes) < 2:
        raise InputError(f"dataset has rows of {len(classes)} class: a canary needs a label that could be another")
    rng = np.random.default_rng(seed)
    taken = set(_digests(dataset.subset(members)))
    if kind == "mislabelled":
        return _mislabelled(outside, n, classes, taken, rng)
    return _random(outside, n, classes, taken, tokenizer, rng)


def _mislabelled(
    outside: TensorDataset, n: int, classes: np.ndarray, taken: set[bytes], rng: np.random.Generator
) -> TensorDataset:
    order = rng.permutation(len(outside))
    chosen = list(islice(_new(outside.subset(order), taken), n))
    if len(chosen) < n:
        raise InputError(
            f"{n:,} mislabelled canaries are asked for and {len(chosen):,} distinct rows lie outside the training "
            "set: ask for fewer, or for kind 'random'"
        )
    rows = outside.subset(order[chosen])
    place = np.searchsorted(classes, rows.column("labels").numpy()) + rng.integers(1, len(classes), size=n)
    return rows.with_column("labels", torch.from_numpy(classes[place % len(classes)]))


def _random(
    outside: TensorDataset,
    n: int,
    classes: np.ndarray,
    taken: set[bytes],
    tokenizer: PreTrainedTokenizerBase | None,
    rng: np.random.Generator,
) -> TensorDataset:
    parts: list[TensorDataset] = []
    missing = n
    for _ in range(_ROUNDS):
        inputs = _random_inputs(outside, missing, tokenizer, rng)
        labels = torch.from_numpy(classes[rng.integers(len(classes), size=missing)])
        drawn = outside.with_tensors({**inputs, "labels": labels})
        parts.append(drawn.subset(list(_new(drawn, taken))))
        missing -= len(parts[-1])
        if not missing:
            columns = outside.column_names
            return outside.with_tensors({name: torch.cat([part.column(name) for part in parts]) for name in columns})
    raise InputError(
        f"{n:,} random canaries are asked for and only {n - missing:,} distinct ones could be drawn: ask for fewer"
    )


def _random_inputs(
    outside: TensorDataset, n: int, tokenizer: PreTrainedTokenizerBase | None, rng: np.random.Generator
) -> dict[str, torch.Tensor]:
    columns = outside.column_names
    if "pixel_values" in columns:
        return {"pixel_values": _noise(outside, n, rng)}
    if "features" in columns:
        table = outside.column("features").numpy()
        sources = rng.integers(len(table), size=(n, table.shape[1]))
        return {"features": torch.from_numpy(table[sources, np.arange(table.shape[1])])}
    if "input_ids" not in columns:
        raise InputError(f"dataset has {', '.join(columns)}: random canaries need pixel_values, input_ids or features")
    if tokenizer is None:
        raise InputError("tokenizer is missing: random texts are drawn from its vocabulary")
    return _random_texts(outside, n, tokenizer, rng)


def _noise(outside: TensorDataset, n: int, rng: np.random.Generator) -> torch.Tensor:
    """Uniform over each channel's range in (at most a thousand of) the rows outside: float[n, C, H, W]."""
    some = outside.pieces("pixel_values", 0, min(len(outside), 1000))
    ends = torch.stack([torch.stack([piece.amin(dim=(0, 2, 3)), piece.amax(dim=(0, 2, 3))]) for piece in some])
    low, high = ends[:, 0].amin(dim=0), ends[:, 1].amax(dim=0)
    shape = outside.row_shape("pixel_values")
    noise = torch.from_numpy(rng.random((n, *shape), dtype=np.float32)).to(outside.dtype("pixel_values"))
    return low[:, None, None] + (high - low)[:, None, None] * noise


def _random_texts(
    outside: TensorDataset, n: int, tokenizer: PreTrainedTokenizerBase, rng: np.random.Generator
) -> dict[str, torch.Tensor]:
    """Random rows with every word replaced: lengths, special tokens and padding are those of real texts."""
    special = np.array(sorted(tokenizer.all_special_ids), dtype=np.int64)
    words = np.setdiff1d(np.array(sorted(tokenizer.get_vocab().values()), dtype=np.int64), special)
    ids = outside.column("input_ids").numpy()
    is_word = (outside.column("attention_mask").numpy() > 0) & ~np.isin(ids, special)
    with_words = np.flatnonzero(is_word.any(axis=1))
    if not len(words) or not len(with_words):
        raise InputError("the texts outside the training set hold no word: random texts are made in their shape")
    rows = rng.choice(with_words, size=n)
    tensors = {name: outside.subset(rows).column(name) for name in outside.column_names if name != "labels"}
    replaced = np.where(is_word[rows], rng.choice(words, size=(n, ids.shape[1])), ids[rows])
    return {**tensors, "input_ids": torch.from_numpy(replaced)}


def _new(rows: TensorDataset, taken: set[bytes]) -> Iterator[int]:
    """Positions of the rows whose inputs were not taken before; they are from then on."""
    for position, digest in enumerate(_digests(rows)):
        if digest not in taken:
            taken.add(digest)
            yield position


def _digests(rows: TensorDataset) -> Iterator[bytes]:
    """Of each row's inputs, without its label."""
    names = [name for name in sorted(rows.column_names) if name != "labels"]
    for start in range(0, len(rows), _ROWS_AT_A_TIME):
        some = rows.subset(np.arange(start, min(start + _ROWS_AT_A_TIME, len(rows))))
        columns = [np.ascontiguousarray(some.column(name).numpy()) for name in names]
        for position in range(len(some)):
            digest = hashlib.blake2b(digest_size=16)
            for column in columns:
                digest.update(column[position])
            yield digest.digest()
