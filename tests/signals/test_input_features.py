"""flatten_inputs: one row of numbers for each example, from its own input alone."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from hf_privacy.data import TensorDataset
from hf_privacy.errors import InputError
from hf_privacy.signals import flatten_inputs


def texts(rows: list[list[int]], *, side: str = "right") -> TensorDataset:
    longest = max(map(len, rows))
    pads = [[0] * (longest - len(row)) for row in rows]
    joined = zip(rows, pads, strict=True)
    ids = torch.tensor([row + pad if side == "right" else pad + row for row, pad in joined])
    columns = {"input_ids": ids, "attention_mask": (ids > 0).long()}
    labels = torch.zeros(len(rows), dtype=torch.long)
    return TensorDataset({**columns, "labels": labels}, padding_side=side, sequence_columns=list(columns))


def test_small_images_are_their_pixels():
    pixels = torch.randn(5, 3, 8, 8)
    rows = flatten_inputs(TensorDataset({"pixel_values": pixels, "labels": torch.arange(5)}), batch_size=2)
    assert rows.dtype == np.float32
    np.testing.assert_array_equal(rows, pixels.flatten(1).numpy())


def test_large_images_are_averaged_over_areas():
    pixels = torch.randn(3, 1, 128, 128)
    rows = flatten_inputs(TensorDataset({"pixel_values": pixels}))
    means = pixels.reshape(3, 64, 2, 64, 2).mean(dim=(2, 4)).flatten(1)
    np.testing.assert_allclose(rows, means.numpy(), atol=1e-6)


@pytest.mark.parametrize("shape", [(3, 37, 1), (3, 1, 90), (3, 40, 61), (1, 5000, 2)])
def test_no_image_exceeds_the_limit(shape):
    rows = flatten_inputs(TensorDataset({"pixel_values": torch.ones(2, *shape)}), max_image_features=30)
    assert shape[0] <= rows.shape[1] <= 30
    np.testing.assert_allclose(rows, 1.0, atol=1e-6)


def test_texts_are_counts_of_attended_tokens_whatever_the_padding():
    rows = [[5, 2, 5], [1], [3, 3, 3, 2]]
    expected = np.zeros((3, 8))
    for number, row in enumerate(rows):
        for token in row:
            expected[number, token] += 1
    for side in ("right", "left"):
        counts = flatten_inputs(texts(rows, side=side), max_text_features=8, batch_size=2)
        np.testing.assert_array_equal(counts, expected)


def test_large_vocabularies_are_hashed_and_rows_sum_to_the_number_of_tokens():
    rows = [[100_000, 7, 2048 + 7], [1, 30_000]]
    counts = flatten_inputs(texts(rows))
    assert counts.shape == (2, 2048)
    assert counts.sum(axis=1).tolist() == [3.0, 2.0]
    assert counts[0, 7] == 2.0


def test_tables_are_as_they_are_and_copied():
    features = torch.randn(4, 6)
    rows = flatten_inputs(TensorDataset({"features": features, "labels": torch.arange(4)}))
    np.testing.assert_array_equal(rows, features.numpy())
    rows[:] = 0
    assert (features != 0).all()


@pytest.mark.parametrize("column", ["pixel_values", "input_ids"])
def test_a_row_depends_on_its_example_alone(column):
    if column == "input_ids":
        generator = np.random.default_rng(0)
        dataset = texts([generator.integers(1, 9999, length).tolist() for length in range(1, 12)])
    else:
        dataset = TensorDataset({"pixel_values": torch.randn(11, 3, 50, 41)})
    whole = flatten_inputs(dataset)
    for row in (0, 7, 10):
        np.testing.assert_array_equal(flatten_inputs(dataset.subset([row]))[0], whole[row])


def test_the_labels_and_the_training_augmentation_stay_out():
    pixels = torch.randn(4, 1, 5, 5)
    plain = flatten_inputs(TensorDataset({"pixel_values": pixels}))
    other = TensorDataset({"pixel_values": pixels, "labels": torch.arange(4)}).with_augmentation(lambda x: x * 0)
    np.testing.assert_array_equal(flatten_inputs(other), plain)


def test_bad_input_is_refused():
    images = TensorDataset({"pixel_values": torch.ones(2, 3, 4, 4)})
    with pytest.raises(InputError, match="dataset is empty"):
        flatten_inputs(images.subset([]))
    with pytest.raises(InputError, match="max_image_features is 2"):
        flatten_inputs(images, max_image_features=2)
    with pytest.raises(InputError, match="max_text_features is 0"):
        flatten_inputs(texts([[1]]), max_text_features=0)
    with pytest.raises(InputError, match="batch_size is 0"):
        flatten_inputs(images, batch_size=0)
    with pytest.raises(InputError, match="must be pixel_values"):
        flatten_inputs(TensorDataset({"labels": torch.arange(2)}))
    with pytest.raises(InputError, match="NaN or infinite"):
        flatten_inputs(TensorDataset({"features": torch.tensor([[1.0], [float("nan")]])}))
