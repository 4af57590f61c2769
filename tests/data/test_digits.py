"""The embedded digits."""

from __future__ import annotations

import numpy as np
from sklearn.datasets import load_digits

from hf_privacy.data import dataset_fingerprint, load_digits_dataset


def test_the_rows_are_scikit_learns():
    dataset, bunch = load_digits_dataset(), load_digits()
    assert len(dataset) == 1797
    assert dataset["label"][:] == bunch.target.tolist()
    pixels = np.stack([np.asarray(image) for image in dataset["image"]])
    assert pixels.dtype == np.uint8
    assert np.array_equal(np.rint(pixels / 255 * 16), bunch.images)


def test_every_call_gives_the_same_dataset():
    assert dataset_fingerprint(load_digits_dataset()) == dataset_fingerprint(load_digits_dataset())


def test_it_says_where_it_comes_from():
    info = load_digits_dataset().info
    assert "Optical Recognition" in info.description
    assert info.license == "CC BY 4.0"
    assert "10.24432" in info.citation
    assert load_digits_dataset().features["label"].names == [str(digit) for digit in range(10)]
