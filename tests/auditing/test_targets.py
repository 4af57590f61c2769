"""References as further targets, without telling the attack who was a member."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from hf_privacy.auditing.table import SignalTable
from hf_privacy.auditing.targets import further_targets, leave_one_out_table, mean_interval
from hf_privacy.references import plan_references

N, Z = 40, 10


@pytest.fixture
def table() -> SignalTable:
    """8 references whose signal is their own number, so that one can see which are used."""
    plan = plan_references(np.arange(N) % 2, n_models=8)
    membership = np.concatenate([plan.membership, np.zeros((8, Z), dtype=bool)], axis=1)
    numbers = np.broadcast_to(np.arange(8.0)[None, :, None], (1, 8, N + Z))
    return SignalTable(
        target={"phi": np.full((1, N + Z), -1.0)},
        membership=np.arange(N) < N // 2,
        references={"phi": numbers, "probability": numbers},
        reference_membership=membership,
    )


def test_the_attacked_reference_and_its_complement_are_left_out(table):
    for model in range(8):
        other = leave_one_out_table(table, model)
        partner = model + 1 if model % 2 == 0 else model - 1
        assert other.references["phi"][0, :, 0].tolist() == [k for k in range(8) if k not in (model, partner)]
        assert (other.target["phi"] == model).all()
        assert (other.membership == table.reference_membership[model, :N]).all()
        assert other.reference_membership.shape == (6, N + Z)


def test_the_number_of_in_models_tells_nothing_once_the_pair_is_left_out(table):
    for model in range(8):
        other = leave_one_out_table(table, model)
        assert (other.reference_membership[:, :N].sum(axis=0) == 3).all()


def test_leaving_out_the_model_alone_would_tell_membership_perfectly(table):
    others = np.delete(table.reference_membership[:, :N], 4, axis=0)
    assert ((others.sum(axis=0) == 3) == table.reference_membership[4, :N]).all()


def test_one_of_each_pair_serves_first():
    assert further_targets(8, 4) == [0, 2, 4, 6]
    assert further_targets(6, 5) == [0, 2, 4, 1, 3]


def test_the_population_is_the_last_columns_or_else_the_targets_non_members(table):
    assert table.population.tolist() == list(range(N, N + Z))
    without = SignalTable(target={"phi": np.zeros((1, N))}, membership=table.membership)
    assert without.population.tolist() == list(range(N // 2, N))


def test_the_interval_over_targets_is_students_t():
    values = [0.6, 0.7, 0.65, 0.72]
    found = mean_interval(values, confidence=0.9)
    low, high = stats.t.interval(0.9, 3, loc=np.mean(values), scale=stats.sem(values))
    assert found["mean"] == pytest.approx(np.mean(values))
    assert (found["low"], found["high"]) == (pytest.approx(low), pytest.approx(high))
