"""A request to forget names rows in one of five ways, and what it cannot name is said in one sentence."""

from __future__ import annotations

import numpy as np
import pytest
from datasets import ClassLabel, Dataset, Features, Value

from hf_privacy.data import ForgetRequest, ForgetSplit, MembershipSplit, example_ids, make_forget_split
from hf_privacy.errors import InputError


@pytest.fixture
def rows() -> Dataset:
    features = Features({"text": Value("string"), "person": Value("string"), "label": ClassLabel(names=["no", "yes"])})
    return Dataset.from_dict(
        {"text": list("abcdefgh"), "person": list("ppqqrrss"), "label": [0, 1] * 4}, features=features
    )


@pytest.fixture
def split() -> MembershipSplit:
    return MembershipSplit([0, 1, 2, 3, 4], [5, 6], [7], n_examples=8, dataset_fingerprint="f")


def test_by_row_numbers(rows, split):
    assert ForgetRequest(rows=[3, 1, 3]).select(rows, split.members).tolist() == [1, 3]


def test_by_ids(rows, split):
    names = example_ids(rows)
    assert ForgetRequest(ids=[str(names[4]), str(names[0])]).select(rows, split.members).tolist() == [0, 4]


@pytest.mark.parametrize("label", [1, "yes"])
def test_by_class_takes_the_members_of_it(rows, split, label):
    assert ForgetRequest(label=label).select(rows, split.members).tolist() == [1, 3]


def test_by_a_columns_value_takes_one_persons_rows(rows, split):
    assert ForgetRequest(where={"person": "q"}).select(rows, split.members).tolist() == [2, 3]


def test_a_random_share_depends_on_the_seed_alone(rows, split):
    one, same, other = (ForgetRequest(fraction=0.4, seed=seed).select(rows, split.members) for seed in (0, 0, 3))
    assert len(one) == 2
    assert np.array_equal(one, same)
    assert not np.array_equal(one, other)


def test_the_split_retains_the_other_members_and_holds_out_the_population(rows, split):
    parts = make_forget_split(rows, split, ForgetRequest(label=0))
    assert [part.tolist() for part in (parts.forget, parts.retain, parts.heldout)] == [[0, 2, 4], [1, 3], [7]]


def test_without_a_population_the_non_members_are_held_out(rows):
    split = MembershipSplit([0, 1, 2], [5, 6], [], n_examples=8, dataset_fingerprint="f")
    assert make_forget_split(rows, split, ForgetRequest(label=0)).heldout.tolist() == [5, 6]


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        ({"rows": [0, 6]}, "1 of the 2 examples in rows are not in the training set"),
        ({"ids": ["nobody"]}, "1 of 1 ids name no row"),
        ({"label": "maybe"}, "no class of that name"),
        ({"label": 7}, "no training example has that value"),
        ({"where": {"person": "s"}}, "where names the column 'person' and no training example"),
        ({"where": {"name": "p"}}, "name"),
        ({"fraction": 0.01}, "which is 0: name more"),
    ],
)
def test_what_no_training_example_is_named_by_is_refused(rows, split, request_, message):
    with pytest.raises(InputError, match=message):
        ForgetRequest(**request_).select(rows, split.members)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({}, "names nothing"),
        ({"rows": [1], "label": 0}, "names rows and label"),
        ({"rows": []}, "rows is empty"),
        ({"fraction": 1.0}, r"fraction is 1.0: pass a number in \(0, 1\)"),
        ({"row": [1]}, "unknown key 'row'"),
    ],
)
def test_a_request_has_exactly_one_form(values, message):
    with pytest.raises(InputError, match=message):
        ForgetRequest.from_dict(values)


def test_a_persons_value_is_not_repeated_in_the_error(rows, split):
    with pytest.raises(InputError) as error:
        ForgetRequest(where={"person": "Ada Lovelace"}).select(rows, split.members)
    assert "Ada" not in str(error.value)


def test_a_held_out_set_with_members_is_refused():
    with pytest.raises(InputError, match="2 rows are in retain and in heldout"):
        ForgetSplit([0], [1, 2, 3], [2, 3, 4])
