"""Each attack of an audit on a table whose leakage is known."""

from __future__ import annotations

import numpy as np
import pytest

from hf_privacy.auditing.extras import check_calibration, extra_scores
from hf_privacy.auditing.scores import UNTUNED_RMIA_A, quick_scores, reference_scores
from hf_privacy.auditing.table import SignalTable
from hf_privacy.errors import InputError
from hf_privacy.statistics import auc

QUICK = ["loss", "confidence", "entropy", "modified_entropy", "attack_p"]
WITH_REFERENCES = [
    "lira",
    "lira_offline",
    "rmia",
    "rmia_offline",
    "attack_r",
    "base",
    "shadow_classifier",
    "modified_entropy_per_class",
]


def areas(table: SignalTable, scores) -> dict[str, float]:
    return {attack.name: auc(attack.scores, table.membership) for attack in scores}


@pytest.mark.parametrize("with_population", [True, False])
@pytest.mark.parametrize("n_queries", [1, 2])
def test_every_attack_scores_members_higher(planted_table, n_queries, with_population):
    table = planted_table(n_queries=n_queries, with_population=with_population)
    found = areas(table, quick_scores(table) + reference_scores(table))
    assert list(found) == QUICK + WITH_REFERENCES
    assert all(area > 0.6 for area in found.values()), found
    # What is calibrated for each example finds more than what is not.
    assert min(found["lira"], found["rmia"], found["base"]) > max(found[name] for name in QUICK)


def test_without_leakage_every_attack_guesses(planted_table):
    found = []
    for seed in range(12):
        table = planted_table(effect=0.0, seed=seed)
        found.append(areas(table, quick_scores(table) + reference_scores(table)))
    for name in found[0]:
        values = np.array([run[name] for run in found])
        # One AUC of 300 members and 300 non-members has a standard deviation of about 0.024.
        assert abs(values.mean() - 0.5) < 4 * 0.024 / np.sqrt(len(values)), name


def test_two_references_are_enough_for_every_attack(planted_table):
    table = planted_table(n_references=2)
    scores = reference_scores(table)
    assert all(area > 0.6 for area in areas(table, scores).values())
    parameters = {attack.name: attack.parameters for attack in scores}
    assert parameters["lira"]["variance"] == "global"
    assert parameters["rmia_offline"]["a"] == UNTUNED_RMIA_A
    assert not parameters["rmia_offline"]["a_tuned"]


def test_four_references_allow_the_pooled_variance_and_a_tuned_a(planted_table):
    parameters = {attack.name: attack.parameters for attack in reference_scores(planted_table(n_references=4))}
    assert parameters["lira"]["variance"] == "pooled"
    assert parameters["rmia_offline"]["a_tuned"]


def test_extra_attacks_are_made_where_their_signals_are_there(planted_table):
    table = planted_table()
    assert extra_scores(table) == []
    rng = np.random.default_rng(0)
    columns = table.target["phi"].shape[1]
    extras = {
        "features": rng.normal(size=(columns, 3)).astype(np.float32),
        "augmented_correct": (table.target["phi"] + rng.normal(size=(5, columns)) > 1).astype(float),
        "boundary_distance": np.maximum(table.target["phi"][0], 0.0),
    }
    table = SignalTable(table.target, table.membership, table.labels, extras=extras)
    found = areas(table, extra_scores(table))
    assert list(found) == ["quantile_regression", "label_only", "boundary_distance"]
    assert all(area > 0.6 for area in found.values()), found


def test_quantiles_without_a_population_are_never_fitted_on_the_scored_example(planted_table):
    table = planted_table(with_population=False)
    features = np.random.default_rng(0).normal(size=(table.n_pool, 3)).astype(np.float32)
    table = SignalTable(table.target, table.membership, table.labels, extras={"features": features})
    (attack,) = extra_scores(table)
    assert attack.title == "Quantile regression (5-fold)"
    assert auc(attack.scores, table.membership) > 0.6


def test_the_fewest_nonmembers_that_pass_the_check_are_enough_in_every_fold(planted_table):
    table = planted_table(with_population=False)
    kept = np.concatenate([np.flatnonzero(table.membership)[:40], np.flatnonzero(~table.membership)[:25]])
    check_calibration(0, 25)
    with pytest.raises(
        InputError, match="no population and 24 non-members are too few to fit it on: pass at least 25"
    ):
        check_calibration(0, 24)
    features = np.random.default_rng(0).normal(size=(len(kept), 2)).astype(np.float32)
    target = {name: values[:, kept] for name, values in table.target.items()}
    for seed in range(3):
        (attack,) = extra_scores(SignalTable(target, table.membership[kept], extras={"features": features}), seed=seed)
        assert np.isfinite(attack.scores).all()


@pytest.mark.parametrize("with_population", [True, False])
@pytest.mark.parametrize("gamma", [0.5, 1.0, 2.0])
def test_null_behaviour_without_leakage_rmia_guesses_whatever_gamma_and_population(
    planted_table, gamma, with_population
):
    # With each non-member left out of its own comparison: .63 at γ = 0.5 and .41 at γ = 2 without a population.
    found = []
    for seed in range(8):
        table = planted_table(effect=0.0, seed=seed, with_population=with_population)
        found.append(areas(table, reference_scores(table, gamma=gamma)))
    for name in ("rmia", "rmia_offline"):
        assert abs(np.mean([run[name] for run in found]) - 0.5) < 4 * 0.024 / np.sqrt(len(found)), name
