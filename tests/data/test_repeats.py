"""Repeats are all found, only counted in public, and dropped with the first row kept."""

from __future__ import annotations

import io
import json

import numpy as np
import pytest
from datasets import Dataset, Features, Image
from PIL import Image as PillowImage

from hf_privacy.data import MembershipSplit, drop_repeats, find_repeats
from hf_privacy.data.near_repeats import block_means, components
from hf_privacy.errors import InputError


def image_dataset(arrays: list[np.ndarray]) -> Dataset:
    rows = []
    for array in arrays:
        buffer = io.BytesIO()
        PillowImage.fromarray(array).save(buffer, format="PNG")
        rows.append({"bytes": buffer.getvalue(), "path": None})
    return Dataset.from_dict({"image": rows}, features=Features({"image": Image()}))


def groups_by_brute_force(rows: np.ndarray, tolerance: float) -> np.ndarray:
    flat = rows.reshape(len(rows), -1).astype(np.float64)
    near = np.abs(flat[:, None] - flat[None]).mean(axis=2) <= tolerance
    return components(np.argwhere(near), len(rows))


def same_groups(one: np.ndarray, other: np.ndarray) -> bool:
    return bool(np.array_equal(one[:, None] == one[None], other[:, None] == other[None]))


@pytest.mark.parametrize("shape", [(8, 8), (28, 28), (7, 5), (3, 2), (9, 6, 3)])
def test_every_near_exact_pair_of_images_is_found(shape):
    generator = np.random.default_rng(0)
    base = generator.integers(40, 200, (30, *shape))
    noisy = [base + generator.integers(-width, width + 1, base.shape) for width in (1, 3, 4, 5)]
    pixels = np.concatenate([base, *noisy]).astype(np.uint8)
    report = find_repeats(image_dataset(list(pixels)), column="image")
    expected = groups_by_brute_force(pixels, 2)
    assert same_groups(report.near_group, expected)
    assert 0 < report.near_repeats < 120  # some noise is within the tolerance and some is not


def test_a_difference_of_exactly_the_tolerance_counts():
    grey = np.full((8, 8), 100, np.uint8)
    report = find_repeats(image_dataset([grey, grey + 2, grey + 5]), column="image", tolerance=2 / 255)
    assert (report.near_repeats, report.near_groups) == (1, 1)


def test_block_means_bound_the_mean_absolute_difference():
    generator = np.random.default_rng(1)
    rows = generator.random((40, 11, 6, 3))
    means = block_means(rows, 4, (1, 2)).reshape(40, -1).astype(np.float64)
    bound = np.abs(means[:, None] - means[None]).sum(axis=2)
    exact = np.abs(rows[:, None] - rows[None]).mean(axis=(2, 3, 4))
    assert np.all(bound <= exact + 1e-6)


def test_grey_and_colour_copies_of_a_picture_are_near_and_other_sizes_are_not_compared():
    grey = np.arange(64, dtype=np.uint8).reshape(8, 8)
    colour = np.repeat(grey[..., None], 3, axis=2)
    report = find_repeats(image_dataset([grey, colour, grey[:4]]), column="image")
    assert (report.exact_repeats, report.near_repeats) == (0, 1)


def test_exact_repeats_across_the_split_and_label_conflicts_are_counted():
    dataset = Dataset.from_dict({"text": ["a", "a", "b", "b", "c", "a"], "label": [0, 0, 0, 1, 0, 0]})
    split = MembershipSplit([0, 2], [1, 3], [4, 5], n_examples=6, dataset_fingerprint="f")
    report = find_repeats(dataset, column="text", split=split, label_column="label", near=False)
    assert (report.exact_repeats, report.exact_groups, report.label_conflicts) == (3, 2, 1)
    assert report.exact_across == {
        "non_members_in_members": 2,
        "population_in_members": 1,
        "population_in_non_members": 1,
    }
    assert report.near_repeats is None
    assert report.near_across is None


def test_near_counts_come_on_top_of_exact_ones():
    dataset = Dataset.from_dict({"text": ["a b", "a b", "A, b!", "A, b!", "c"]})
    split = MembershipSplit([0], [1, 2], [3, 4], n_examples=5, dataset_fingerprint="f")
    report = find_repeats(dataset, column="text", split=split)
    assert (report.exact_repeats, report.near_repeats, report.near_groups) == (2, 1, 1)
    assert report.exact_across["non_members_in_members"] == 1
    assert report.near_across["non_members_in_members"] == 1
    assert report.keep().tolist() == [0, 4]


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("Straße", "STRASSE", True),
        ("ﬁne film", "fine film", True),
        ("it 's good .", "It's good", True),
        ("good\tfilm", "good  film", True),
        ("good film", "good films", False),
        ("!!!", "???", False),
        ("", "?", False),
    ],
)
def test_text_is_compared_without_case_punctuation_and_space(one, other, same):
    report = find_repeats(Dataset.from_dict({"text": [one, other]}), column="text")
    assert report.near_repeats == int(same)


def test_sentence_pairs_are_compared_as_pairs():
    dataset = Dataset.from_dict({"a": ["x", "x", "X"], "b": ["y", "z", "y."]})
    report = find_repeats(dataset, column=["a", "b"])
    assert (report.exact_repeats, report.near_repeats) == (0, 1)


def test_every_near_exact_pair_of_vectors_is_found():
    generator = np.random.default_rng(2)
    base = generator.normal(size=(40, 37)) * np.logspace(-3, 3, 37)
    rows = np.concatenate([base, base * (1 + generator.normal(size=base.shape) * 0.008)])
    report = find_repeats(Dataset.from_dict({"x": rows.tolist()}), column="x")
    scaled = (rows - rows.min(axis=0)) / np.ptp(rows, axis=0)
    assert same_groups(report.near_group, groups_by_brute_force(scaled, 1e-3))
    assert 0 < report.near_repeats < 40


def test_a_constant_feature_divides_by_nothing():
    report = find_repeats(Dataset.from_dict({"x": [[1.0, 5.0], [2.0, 5.0], [1.0, 5.0]]}), column="x")
    assert (report.exact_repeats, report.near_repeats) == (1, 0)


def test_the_first_row_of_each_group_is_kept():
    assert drop_repeats(Dataset.from_dict({"text": ["b", "a", "b", "a", "c"]}), column="text").tolist() == [0, 1, 4]


def test_the_public_dictionary_holds_counts_alone():
    dataset = Dataset.from_dict({"text": ["secret text", "secret text", "other"]})
    shown = json.dumps(find_repeats(dataset, column="text").to_dict())
    assert "secret" not in shown
    assert 'group"' not in shown.replace("_groups", "")


def test_too_many_candidates_are_refused_and_not_looked_at():
    rows = np.random.default_rng(0).normal(0.5, 1e-4, (300, 8))
    rows[0], rows[1] = 0, 1
    with pytest.raises(InputError, match="more than 1,000 pairs"):
        find_repeats(Dataset.from_dict({"x": rows.tolist()}), column="x", max_candidates=1000)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"column": "txt"}, "did you mean 'text'"),
        ({"column": "text", "tolerance": 2.0}, r"tolerance is 2.0: pass a number in \(0, 1\)"),
        ({"column": "text", "tolerance": 0.1}, "tolerance is given for text"),
        ({"column": "text", "split": MembershipSplit([0], [1], [], 9, "f")}, "the split is of 9 rows"),
    ],
)
def test_bad_input_is_said_in_one_sentence(options, message):
    with pytest.raises(InputError, match=message):
        find_repeats(Dataset.from_dict({"text": ["a", "b"]}), **options)


def test_the_known_repeats_of_sst2_are_found(shared_data):
    dataset = Dataset.from_parquet(str(shared_data / "sst2" / "train.parquet"))
    assert find_repeats(dataset, column="sentence", near=False).exact_repeats == 371
