"""Labels turned on purpose: how many, to what, and which."""

from __future__ import annotations

import datasets
import numpy as np
import pytest

from hf_privacy.data import noisy_labels, with_label_noise
from hf_privacy.errors import InputError

LABELS = np.arange(3000) % 5


@pytest.mark.parametrize("share", [0.02, 0.1, 0.5, 0.99])
def test_the_share_is_exact_and_no_turned_label_is_the_given_one(share):
    turned = noisy_labels(LABELS, share=share)
    assert np.count_nonzero(turned != LABELS) == round(share * 3000)
    assert turned.min() >= 0
    assert turned.max() <= 4


def test_every_other_class_is_equally_likely():
    turned = noisy_labels(np.r_[np.zeros(40_000, dtype=int), 1, 2, 3, 4], share=0.9)
    counts = np.bincount(turned[:40_000], minlength=5)[1:]
    # 9,000 expected of each, √(36,000 · ¼ · ¾) = 82 the standard deviation
    assert np.abs(counts - 9000).max() < 5 * 90


def test_the_rows_are_drawn_from_all_classes_alike():
    wrong = noisy_labels(LABELS, share=0.5) != LABELS
    assert np.abs(np.bincount(LABELS[wrong], minlength=5) - 300).max() < 5 * np.sqrt(300 * 0.8)


def test_a_larger_share_keeps_what_a_smaller_one_turned():
    small, large = (noisy_labels(LABELS, share=share) for share in (0.02, 0.1))
    wrong = small != LABELS
    assert np.array_equal(large[wrong], small[wrong])


def test_the_seed_decides_which():
    one, same, other = (noisy_labels(LABELS, share=0.1, seed=seed) for seed in (3, 3, 4))
    assert np.array_equal(one, same)
    assert not np.array_equal(one, other)


def test_no_noise_changes_nothing_even_with_one_class():
    assert np.array_equal(noisy_labels([0, 0], share=0.0), [0, 0])


def test_the_given_labels_stay_as_they_are():
    given = LABELS.copy()
    noisy_labels(given, share=0.5)
    assert np.array_equal(given, LABELS)


@pytest.mark.parametrize("share", [-0.1, 1.0, 10, float("nan")])
def test_a_share_outside_its_range_is_refused(share):
    with pytest.raises(InputError, match=r"label_noise is .*\[0, 1\)"):
        noisy_labels(LABELS, share=share)


def test_a_share_that_turns_nothing_is_refused():
    with pytest.raises(InputError, match=r"of 100 labels: none would be turned; pass 0, or at least 0\.01"):
        noisy_labels(np.arange(100) % 2, share=0.001)


def test_one_class_leaves_nothing_to_turn_to():
    with pytest.raises(InputError, match="there is no other label"):
        noisy_labels([0, 0], share=0.5)


def test_a_negative_seed_is_refused():
    with pytest.raises(InputError, match="seed is -1"):
        noisy_labels(LABELS, share=0.1, seed=-1)


def test_rows_keep_their_columns_their_order_and_the_names_of_the_classes():
    features = datasets.Features(
        {"label": datasets.ClassLabel(names=["cat", "dog"]), "text": datasets.Value("string")}
    )
    rows = datasets.Dataset.from_dict({"label": [0, 1] * 10, "text": [str(n) for n in range(20)]}, features=features)
    some = rows.select(np.arange(19, 3, -1))  # a view: its order is that of the numbers given
    noisy, mislabelled = with_label_noise(some, label_column="label", share=0.25)
    assert noisy.features == some.features
    assert noisy.column_names == ["label", "text"]
    assert noisy["text"][:] == some["text"][:]
    assert np.array_equal(np.array(noisy["label"]) != np.array(some["label"]), mislabelled)
    assert mislabelled.sum() == 4


def test_rows_without_noise_are_the_given_ones():
    rows = datasets.Dataset.from_dict({"text": ["a"], "label": [0]})
    same, mislabelled = with_label_noise(rows, label_column="label", share=0.0)
    assert same is rows
    assert not mislabelled.any()
