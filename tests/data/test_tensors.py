"""Batches are fetched whole; views cost nothing."""

from __future__ import annotations

import pickle
import time

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from hf_privacy.data import RandomFlipCrop, TensorDataset, collate_batch, horizontal_flip, random_flip
from hf_privacy.errors import InputError


def image_tensors(n: int = 10) -> TensorDataset:
    pixels = torch.arange(n * 4, dtype=torch.float32).reshape(n, 1, 2, 2)
    return TensorDataset({"pixel_values": pixels, "labels": torch.arange(n)})


def text_tensors(side: str) -> TensorDataset:
    lengths = [3, 1, 2]
    ids = torch.zeros(3, 4, dtype=torch.long)
    for i, length in enumerate(lengths):
        ids[i, slice(None, length) if side == "right" else slice(4 - length, None)] = torch.arange(1, length + 1)
    return TensorDataset(
        {"input_ids": ids, "attention_mask": (ids > 0).long(), "labels": torch.arange(3)},
        padding_side=side,
        sequence_columns=["input_ids", "attention_mask"],
    )


def test_a_batch_is_the_stack_of_its_rows():
    dataset = image_tensors()
    fetched, stacked = dataset.__getitems__([3, 1, 3]), collate_batch([dataset[3], dataset[1], dataset[3]])
    assert all(torch.equal(fetched[name], stacked[name]) for name in ("pixel_values", "labels"))


@pytest.mark.parametrize("indices", [[4, 2], np.array([4, 2]), torch.tensor([4, 2])])
def test_indices_may_be_lists_arrays_or_tensors(indices):
    assert image_tensors().__getitems__(indices)["labels"].tolist() == [4, 2]


def test_an_empty_batch_has_length_zero():
    batch = image_tensors().__getitems__([])
    assert batch["pixel_values"].shape == (0, 1, 2, 2)
    assert text_tensors("right").__getitems__([])["input_ids"].shape[0] == 0


def test_a_view_of_a_view_counts_in_its_own_rows_and_shares_memory():
    dataset = image_tensors()
    view = dataset.subset([5, 7, 9]).subset(np.array([2, 0]))
    assert view.column("labels").tolist() == [9, 5]
    assert view[0]["labels"] == 9
    assert view.__getitems__([1])["labels"].tolist() == [5]
    assert view[0]["pixel_values"].data_ptr() == dataset[9]["pixel_values"].data_ptr()


def test_a_fetched_batch_is_a_copy():
    dataset = image_tensors()
    dataset.__getitems__([0])["pixel_values"].add_(1)
    assert dataset[0]["pixel_values"][0, 0, 0] == 0


@pytest.mark.parametrize(
    ("indices", "message"), [([10], "goes from 10 to 10"), ([-1], "goes from -1"), ([0.5], "flat list")]
)
def test_rows_that_are_not_there_are_refused(indices, message):
    with pytest.raises(InputError, match=message):
        image_tensors().subset(indices)


@pytest.mark.parametrize("side", ["right", "left"])
def test_text_is_trimmed_to_the_longest_row_of_the_batch(side):
    dataset = text_tensors(side)
    batch = dataset.__getitems__([1, 2])
    assert batch["input_ids"].shape == (2, 2)
    assert batch["input_ids"].tolist() == ([[1, 0], [1, 2]] if side == "right" else [[0, 1], [1, 2]])
    assert dataset[1]["input_ids"].shape == (4,)
    assert dataset.subset([0, 1]).__getitems__([1])["input_ids"].tolist() == [[1]]


def test_augmentation_is_a_view_and_leaves_the_source_alone():
    dataset = image_tensors()
    flipped = dataset.with_augmentation(horizontal_flip)
    assert flipped.__getitems__([0])["pixel_values"].flatten().tolist() == [1, 0, 3, 2]
    assert flipped[0]["pixel_values"].flatten().tolist() == [1, 0, 3, 2]
    assert flipped.subset([0]).__getitems__([0])["pixel_values"].flatten().tolist() == [1, 0, 3, 2]
    assert dataset.__getitems__([0])["pixel_values"].flatten().tolist() == [0, 1, 2, 3]
    assert flipped.with_augmentation(None).augmentation is None
    with pytest.raises(InputError, match="only images are augmented"):
        text_tensors("right").with_augmentation(horizontal_flip)


def test_a_data_loader_fetches_batches_here_and_in_worker_processes():
    dataset = image_tensors().with_augmentation(RandomFlipCrop(1))
    for workers in (0, 1):
        batches = list(DataLoader(dataset, batch_size=4, collate_fn=collate_batch, num_workers=workers))
        assert [len(batch["labels"]) for batch in batches] == [4, 4, 2]


def test_views_and_augmentations_are_picklable():
    view = pickle.loads(pickle.dumps(image_tensors().subset([1, 2]).with_augmentation(random_flip)))
    assert view.column("labels").tolist() == [1, 2]
    assert pickle.loads(pickle.dumps(collate_batch)) is collate_batch


def test_tensors_of_different_lengths_are_refused():
    with pytest.raises(InputError, match="all of one length"):
        TensorDataset({"features": torch.zeros(3, 2), "labels": torch.zeros(2)})
    with pytest.raises(InputError, match="at least one tensor"):
        TensorDataset({})


def test_trap_14_fetching_a_batch_takes_far_less_than_fetching_its_rows():
    dataset = TensorDataset({"pixel_values": torch.rand(20_000, 1, 28, 28), "labels": torch.zeros(20_000).long()})
    generator = np.random.default_rng(0)
    together, one_by_one = [], []
    for _ in range(50):
        rows = generator.integers(0, 20_000, 64).tolist()
        start = time.perf_counter()
        dataset.__getitems__(rows)
        between = time.perf_counter()
        for row in rows:
            dataset[row]
        together.append(between - start)
        one_by_one.append(time.perf_counter() - between)
    # A ratio, of neighbouring moments: how busy the machine is divides out.
    assert np.median(together) < np.median(one_by_one) / 4
