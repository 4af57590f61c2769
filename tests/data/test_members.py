"""Members drawn anew from the pool of a split."""

from __future__ import annotations

import numpy as np
import pytest
from datasets import Dataset

from hf_privacy.data import MembershipSplit, find_repeats, make_split, redraw_members
from hf_privacy.errors import InputError

LABELS = np.repeat([0, 1, 2], [50, 30, 20])


@pytest.fixture(scope="module")
def rows() -> Dataset:
    return Dataset.from_dict({"x": [[float(i % 90)] for i in range(100)], "label": LABELS.tolist()})


@pytest.fixture(scope="module")
def split(rows) -> MembershipSplit:
    return make_split(rows, member_fraction=0.5, population_fraction=0.2, seed=3)


def test_pool_population_and_sizes_stay_and_members_differ(split):
    other = redraw_members(split, LABELS, seed=1)
    assert other.pool.tolist() == split.pool.tolist()
    assert other.population.tolist() == split.population.tolist()
    assert len(other.members) == len(split.members) == 40
    assert other.members.tolist() != split.members.tolist()
    assert other.hash != split.hash


def test_every_class_is_halved_again(split):
    members = redraw_members(split, LABELS, seed=1).members
    assert np.bincount(LABELS[members]).tolist() == [20, 12, 8]


def test_the_draw_does_not_depend_on_who_the_members_were(split):
    once = redraw_members(split, LABELS, seed=5)
    again = redraw_members(redraw_members(split, LABELS, seed=1), LABELS, seed=5)
    assert once.hash == again.hash


def test_two_seeds_share_half_of_their_members_by_chance_alone():
    labels = np.zeros(4000, dtype=int)
    split = MembershipSplit(np.arange(2000), np.arange(2000, 4000), [], n_examples=4000, dataset_fingerprint="f")
    drawn = [redraw_members(split, labels, seed=seed).membership for seed in range(2)]
    # Hypergeometric: mean 1000, standard deviation 15.8.
    assert abs(int((drawn[0] & drawn[1]).sum()) - 1000) < 80


def test_labels_of_another_dataset_are_refused(split):
    with pytest.raises(InputError, match=r"labels has shape \(99,\): pass the class of each of the 100 rows"):
        redraw_members(split, LABELS[:99], seed=0)


def test_repeats_recounted_for_another_split_are_those_looked_for_in_it(rows, split):
    other = redraw_members(split, LABELS, seed=1)
    recounted = find_repeats(rows, column="x", split=split).across(other)
    searched = find_repeats(rows, column="x", split=other)
    assert recounted.to_dict() == searched.to_dict()
    assert find_repeats(rows, column="x").across(other).to_dict() == searched.to_dict()
