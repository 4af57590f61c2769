"""Columns and labels are checked before anything is trained."""

from __future__ import annotations

import pytest
from datasets import ClassLabel, Dataset, Features, Value

from hf_privacy.data import check_columns, check_labels, image_shape, load_digits_dataset
from hf_privacy.errors import InputError


def labels(values, feature=None) -> Dataset:
    return Dataset.from_dict({"label": values}, features=None if feature is None else Features({"label": feature}))


@pytest.mark.parametrize(
    ("values", "n_classes", "message"),
    [
        ([0, 7], 5, r"goes up to 7 and the model has 5 classes \(0 to 4\): build the model with num_labels=8"),
        ([0, -1, -1], 5, "2 negative labels"),
        ([0.0, 1.0], 5, "holds float64 values and class labels are integers"),
        (["a", "b"], 5, "number_classes"),
        ([0, None], 5, "1 missing labels"),
        ([[0], [1]], 5, "holds List values"),
    ],
)
def test_labels_the_model_cannot_have_are_refused(values, n_classes, message):
    with pytest.raises(InputError, match=message):
        check_labels(labels(values), "label", n_classes)


def test_good_labels_come_back_as_integers():
    assert check_labels(labels([2, 0, 1]), "label", 3).tolist() == [2, 0, 1]
    assert check_labels(labels([1, 0], Value("uint8")).select([1]), "label", 2).tolist() == [0]
    assert check_labels(labels([True, False]), "label").tolist() == [1, 0]


def test_a_hidden_test_label_of_a_class_label_column_is_refused():
    with pytest.raises(InputError, match="-1 marks a hidden test label"):
        check_labels(labels([0, -1], ClassLabel(names=["a", "b"])))


def test_missing_columns_and_rows_are_named():
    with pytest.raises(InputError, match="input_column is 'img'"):
        check_columns(load_digits_dataset(), "img", "label")
    with pytest.raises(InputError, match="no rows"):
        check_columns(load_digits_dataset().select([]), "image", "label")


def test_the_image_shape_is_read_from_the_data():
    assert image_shape(load_digits_dataset()) == (1, 8, 8)
    with pytest.raises(InputError, match="and not images"):
        image_shape(load_digits_dataset(), "label")
