"""Classes are what the label column says: numbered by the values that occur, which are their names."""

from __future__ import annotations

import time

import numpy as np
import pytest
import torch
from datasets import ClassLabel, Dataset, DatasetDict, Features, Value
from hypothesis import given, settings
from hypothesis import strategies as st

from hf_privacy.data import (
    TensorDataset,
    check_labels,
    class_names,
    content_hashes,
    dataset_fingerprint,
    encode_features,
    find_repeats,
    make_canaries,
    make_split,
    noisy_labels,
    number_classes,
    with_label_noise,
)
from hf_privacy.errors import InputError

quick = settings(max_examples=30, deadline=None)


def labelled(values, feature=None) -> Dataset:
    features = None if feature is None else Features({"label": feature})
    return Dataset.from_dict({"label": list(values)}, features=features)


def named(dataset: Dataset) -> list[str]:
    """Each row's class, by name."""
    names = class_names(dataset)
    return [names[number] for number in check_labels(dataset, "label", len(names))]


whole = st.lists(st.integers(-(2**40), 2**40), min_size=1, max_size=30)
words = st.lists(st.text(st.characters(codec="utf-8"), min_size=1, max_size=5), min_size=1, max_size=30)


@quick
@given(whole)
def test_whole_numbers_are_numbered_in_their_order_and_keep_their_values_as_names(values):
    numbered = number_classes(labelled(values))
    assert named(numbered) == [str(value) for value in values]
    labels = np.array(numbered["label"][:])
    assert np.array_equal(np.unique(labels), np.arange(len(set(values))))
    assert np.array_equal(np.argsort(labels, kind="stable"), np.argsort(values, kind="stable"))


@quick
@given(words)
def test_strings_are_numbered_in_their_order(values):
    numbered = number_classes(labelled(values))
    assert named(numbered) == values
    assert class_names(numbered) == sorted(set(values))


@quick
@given(st.lists(st.integers(0, 3), min_size=4, max_size=20))
def test_a_class_label_column_and_labels_from_0_stay_as_they_are(values):
    rows = labelled(values, ClassLabel(names=["a", "b", "c", "d"]))
    assert number_classes(rows) is rows
    counted = labelled(np.unique(values, return_inverse=True)[1])
    assert number_classes(counted) is counted


def test_labels_in_the_millions_answer_at_once():
    rng = np.random.default_rng(0)
    values = rng.choice([3, 10**6, 9 * 10**8, 2**60], size=20_000)
    started = time.perf_counter()
    assert class_names(number_classes(labelled(values))) == ["3", "1000000", "900000000", str(2**60)]
    assert time.perf_counter() - started < 5


def test_a_column_of_ids_is_no_label_column():
    for values in (range(5, 1005), [f"row {number}" for number in range(1000)]):
        with pytest.raises(InputError, match="1,000 different values in 1,000 rows: these are no classes"):
            number_classes(labelled(values))


def test_other_columns_and_the_order_of_rows_stay():
    rows = Dataset.from_dict({"a": [1, 2, 3], "label": ["y", "x", "y"], "b": ["p", "q", "r"]})
    numbered = number_classes(rows)
    assert numbered.column_names == ["a", "label", "b"]
    assert numbered.remove_columns("label")[:] == rows.remove_columns("label")[:]


@pytest.mark.parametrize(
    ("values", "feature", "message"),
    [
        (["a", None], None, "1 missing labels"),
        ([1, None], None, "1 missing labels"),
        ([0.0, 1.0], None, "holds float64 values and class labels are whole numbers or text"),
        ([[0], [1]], None, "holds List values"),
        ([0, -1], ClassLabel(names=["a", "b"]), "-1 marks a hidden test label"),
    ],
)
def test_what_is_no_label_is_refused(values, feature, message):
    with pytest.raises(InputError, match=message):
        number_classes(labelled(values, feature))


# ---- given names ----


def test_names_that_the_column_has_give_the_order():
    assert number_classes(labelled(["b", "a"]), names=["b", "c", "a"])["label"][:] == [0, 2]
    rows = labelled([0, 1], ClassLabel(names=["cat", "dog"]))
    turned = number_classes(rows, names=["dog", "cat"])
    assert (class_names(turned), turned["label"][:]) == (["dog", "cat"], [1, 0])


def test_names_for_numbers():
    assert named(number_classes(labelled([0, 2]), names=["a", "b", "c"])) == ["a", "c"]
    assert named(number_classes(labelled([-1, 1]), names=["bad", "good"])) == ["bad", "good"]
    assert named(number_classes(labelled([1, 0], ClassLabel(names=["0", "1"])), names=["a", "b"])) == ["b", "a"]


def test_a_mapping_names_values():
    rows = number_classes(labelled([10, 5, 10]), names={10: "ten", 5: "five", 7: "seven"})
    assert (class_names(rows), named(rows)) == (["five", "seven", "ten"], ["ten", "five", "ten"])
    assert named(number_classes(labelled(["p", "n"]), names={"n": "negative", "p": "positive"})) == [
        "positive",
        "negative",
    ]


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["a"], "no name is given for '0', '5'"),
        ({0: "a"}, "no name is given for '5'"),
        (["a", "a"], "holds 'a' twice"),
        ([True, False], "yes, no, on and off need quotes"),
        ("ab", "pass a text for each class"),
        (["a", None], "pass a text for each class"),
    ],
)
def test_names_that_do_not_name_the_labels_are_refused(names, message):
    with pytest.raises(InputError, match=message):
        number_classes(labelled([0, 5]), names=names)


def test_labels_that_do_not_count_are_not_counted_in_silence():
    with pytest.raises(InputError, match=r"has the labels 0, 5, 10, which do not count from 0: .*number_classes"):
        class_names(labelled([0, 5, 10]))


def test_class_names_come_from_the_feature_or_the_numbers():
    assert class_names(labelled([0], ClassLabel(names=["cat", "dog"]))) == ["cat", "dog"]
    assert class_names(labelled([0, 1], Value("uint8"))) == ["0", "1"]


# ---- what is drawn ----


@quick
@given(st.lists(st.sampled_from([1, 4, 7]), min_size=8, max_size=40), st.integers(0, 5))
def test_noise_and_canaries_draw_only_classes_that_have_rows(values, seed):
    classes = set(values)
    if len(classes) < 2:
        values, classes = [*values, 1, 4], {*classes, 1, 4}
    turned = noisy_labels(values, share=0.5, seed=seed)
    assert set(turned.tolist()) <= classes
    assert (turned != values).sum() == round(0.5 * len(values))
    table = np.random.default_rng(0).normal(size=(len(values), 3))
    rows = TensorDataset({"features": torch.from_numpy(table), "labels": torch.tensor(values)})
    for kind in ("mislabelled", "random"):
        canaries = make_canaries(rows, n=3, members=np.array([0, 1]), n_classes=10, kind=kind, seed=seed)
        assert set(canaries.column("labels").tolist()) <= classes


# ---- splits and streams ----

TAKERS = {
    "class_names": class_names,
    "number_classes": number_classes,
    "check_labels": check_labels,
    "make_split": lambda rows: make_split(rows, stratify=False),
    "encode_features": encode_features,
    "find_repeats": lambda rows: find_repeats(rows, column="features"),
    "dataset_fingerprint": dataset_fingerprint,
    "content_hashes": content_hashes,
    "with_label_noise": lambda rows: with_label_noise(rows, label_column="label", share=0.1),
    "split.check": lambda rows: make_split(Dataset.from_dict({"label": [0, 1]})).check(rows),
}


@pytest.mark.parametrize("take", TAKERS.values(), ids=TAKERS)
def test_splits_and_streams_are_refused_in_one_sentence(take):
    rows = Dataset.from_dict({"features": [[0.0], [1.0]], "label": [0, 1]})
    with pytest.raises(InputError, match=r"dataset holds the splits train: pass one of them, such as dataset\['train"):
        take(DatasetDict(train=rows))
    with pytest.raises(InputError, match="streaming=False"):
        take(rows.to_iterable_dataset())
    with pytest.raises(InputError, match=r"dataset is list: pass a datasets\.Dataset"):
        take([{"features": [0.0], "label": 0}])
