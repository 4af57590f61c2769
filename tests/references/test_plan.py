"""Which examples train which reference model."""

from __future__ import annotations

import numpy as np
import pytest

from hf_privacy.errors import InputError
from hf_privacy.references import plan_references

LABELS = np.repeat([0, 1, 2, 3], [40, 31, 20, 10])


def test_every_example_is_in_exactly_half_of_the_models():
    for n_models in (2, 4, 16):
        membership = plan_references(LABELS, n_models=n_models).membership
        assert membership.shape == (n_models, len(LABELS))
        assert (membership.sum(axis=0) == n_models // 2).all()


def test_models_come_in_complementary_pairs():
    membership = plan_references(LABELS, n_models=8).membership
    for first in range(0, 8, 2):
        assert (membership[first] == ~membership[first + 1]).all()


def test_pairs_differ_from_each_other():
    membership = plan_references(LABELS, n_models=8).membership
    assert len({row.tobytes() for row in membership}) == 8
    # Two random halves agree on about half of the examples.
    assert 0.25 < (membership[0] == membership[2]).mean() < 0.75


def test_an_odd_number_of_models_leaves_the_last_without_a_partner():
    membership = plan_references(LABELS, n_models=5).membership
    assert membership.shape[0] == 5
    assert set(membership.sum(axis=0)) == {2, 3}


def test_every_training_set_is_half_of_the_pool_to_within_one():
    for seed in range(20):
        sizes = plan_references(LABELS, n_models=6, seed=seed).membership.sum(axis=1)
        assert set(sizes) <= {len(LABELS) // 2, len(LABELS) - len(LABELS) // 2}


def test_stratified_training_sets_hold_half_of_each_class_to_within_one():
    for seed in range(20):
        membership = plan_references(LABELS, n_models=4, seed=seed).membership
        for label in range(4):
            of_class = membership[:, label == LABELS]
            assert (np.abs(of_class.sum(axis=1) - of_class.shape[1] / 2) <= 1).all()


def test_without_stratification_the_classes_vary_and_the_size_does_not():
    plans = [plan_references(LABELS, n_models=2, seed=seed, stratify=False).membership for seed in range(50)]
    assert {plan.sum(axis=1).max() - len(LABELS) // 2 for plan in plans} <= {0, 1}
    assert len({int(plan[0, LABELS == 0].sum()) for plan in plans}) > 3


def test_each_example_is_in_with_probability_one_half_over_seeds():
    first = np.stack([plan_references(LABELS, n_models=2, seed=seed).membership[0] for seed in range(400)])
    # 0.5 ± 5 standard errors of a share of 400
    assert np.abs(first.mean(axis=0) - 0.5).max() < 5 * 0.5 / np.sqrt(400)


def test_leaving_one_model_out_would_tell_membership_by_the_number_of_in_models():
    membership = plan_references(LABELS, n_models=8).membership
    others = np.delete(membership, 3, axis=0)
    assert ((others.sum(axis=0) == 3) == membership[3]).all()


def test_leaving_the_pair_out_keeps_the_design_balanced():
    membership = plan_references(LABELS, n_models=8).membership
    others = np.delete(membership, [2, 3], axis=0)
    assert (others.sum(axis=0) == 3).all()


def test_another_fraction_puts_each_example_in_that_share_of_the_models_to_within_one():
    membership = plan_references(LABELS, n_models=10, fraction=0.25, seed=3).membership
    assert set(membership.sum(axis=0)) == {2, 3}
    assert abs(membership.mean() - 0.25) < 0.02


def test_another_fraction_draws_each_example_independently():
    membership = plan_references(np.zeros(4000, dtype=int), n_models=4, fraction=0.25).membership
    assert (membership.sum(axis=0) == 1).all()
    # Which of the four models it is, is uniform.
    assert np.abs(membership.mean(axis=1) - 0.25).max() < 0.04


def test_the_same_seed_gives_the_same_plan_and_another_seed_another():
    one, same, other = (plan_references(LABELS, n_models=4, seed=seed).membership for seed in (7, 7, 8))
    assert (one == same).all()
    assert (one != other).any()


def test_model_seeds_are_fixed_distinct_and_follow_the_plans_seed():
    plan = plan_references(LABELS, n_models=64, seed=1)
    seeds = [plan.model_seed(model) for model in range(64)]
    assert len(set(seeds)) == 64
    assert all(0 <= seed < 2**31 for seed in seeds)
    assert seeds[:4] == [plan_references(LABELS, n_models=4, seed=1).model_seed(model) for model in range(4)]
    assert seeds[0] != plan_references(LABELS, n_models=4, seed=2).model_seed(0)


def test_training_indices_are_the_sorted_positions_of_the_in_examples():
    plan = plan_references(LABELS, n_models=4)
    for model in range(4):
        assert plan.training_indices(model).tolist() == np.flatnonzero(plan.membership[model]).tolist()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"n_models": 1}, "n_models is 1: pass a whole number of at least 2"),
        ({"n_models": 4, "fraction": 0.0}, r"fraction is 0.0: pass a number in \(0, 1\)"),
        ({"n_models": 4, "fraction": 1.0}, "fraction is 1.0"),
        ({"n_models": 4, "fraction": 0.1}, "train at least 10 models"),
        ({"n_models": 4, "fraction": 0.9}, "train at least 10 models"),
    ],
)
def test_a_plan_with_examples_that_are_in_or_out_of_no_model_is_refused(settings, message):
    with pytest.raises(InputError, match=message):
        plan_references(LABELS, **settings)


def test_the_least_number_of_models_that_a_refusal_names_is_accepted():
    for fraction in (0.1, 0.9, 0.3, 0.7):
        with pytest.raises(InputError, match="train at least") as refused:
            plan_references(LABELS, n_models=2, fraction=fraction)
        needed = int(str(refused.value).split()[-2])
        membership = plan_references(LABELS, n_models=needed, fraction=fraction).membership
        assert membership.any(axis=0).all()
        assert not membership.all(axis=0).any()


def test_a_plan_of_more_models_begins_with_the_plan_of_fewer():
    more = plan_references(LABELS, n_models=9).membership
    for n_models in (2, 5, 8):
        assert (plan_references(LABELS, n_models=n_models).membership == more[:n_models]).all()


def test_a_pool_of_one_example_is_refused():
    with pytest.raises(InputError, match="the pool has 1 examples"):
        plan_references(np.array([0]), n_models=2)


GROUPS = np.repeat(np.arange(12), [1, 5, 2, 9, 3, 3, 7, 4, 6, 2, 8, 10])


@pytest.mark.parametrize("fraction", [0.5, 0.25])
def test_whole_groups_are_in_or_out(fraction):
    for seed in range(10):
        membership = plan_references(None, n_models=4, fraction=fraction, groups=GROUPS, seed=seed).membership
        for group in range(12):
            of_group = membership[:, group == GROUPS]
            assert (of_group == of_group[:, :1]).all()
        if fraction == 0.5:
            per_model = [len(np.unique(GROUPS[row])) for row in membership]
            assert per_model == [6] * 4


def test_groups_of_one_class_are_halved_by_class_and_others_at_random():
    of_one = GROUPS % 3
    for seed in range(10):
        row = plan_references(of_one, n_models=2, groups=GROUPS, seed=seed).membership[0]
        assert np.bincount(np.unique(GROUPS[row]) % 3).tolist() == [2, 2, 2]
    mixed = np.arange(len(GROUPS)) % 2
    row = plan_references(mixed, n_models=2, groups=GROUPS).membership[0]
    assert len(np.unique(GROUPS[row])) == 6


def test_examples_that_are_groups_of_their_own_get_the_plan_without_groups():
    plain = plan_references(LABELS, n_models=4, seed=3).membership
    grouped = plan_references(LABELS, n_models=4, seed=3, groups=np.arange(len(LABELS))).membership
    assert np.array_equal(plain, grouped)


@pytest.mark.parametrize(
    ("labels", "groups", "message"),
    [
        (None, None, "labels and groups are both None"),
        (LABELS, np.arange(5), r"groups has shape \(5,\) for 101 examples"),
        (None, np.zeros(9, dtype=int), "the pool has 1 groups: at least 2 are needed"),
    ],
)
def test_groups_that_do_not_fit_are_refused(labels, groups, message):
    with pytest.raises(InputError, match=message):
        plan_references(labels, n_models=2, groups=groups)
