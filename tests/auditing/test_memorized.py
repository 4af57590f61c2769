"""How much of a language model's rows is memorized, by row and by group: aggregates of the references alone."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import spearmanr

from hf_privacy.auditing.examinations.memorization import memorization_slices
from hf_privacy.auditing.groups import memorization_of
from hf_privacy.auditing.memorized import memorization_summary
from hf_privacy.auditing.table import AttackScores, SignalTable
from hf_privacy.auditing.tokens import TokenTable
from hf_privacy.memorization import group_memorization, likelihood_memorization
from hf_privacy.signals import TokenSignals

N_AUTHORS, OF_AN_AUTHOR, K = 30, 4, 8
N = N_AUTHORS * OF_AN_AUTHOR


def table_of(*, gain: float = 0.3, seed: int = 0, groups: bool = True, curvature: bool = True) -> SignalTable:
    """Rows whose loss falls by `gain` times a weight of their own where a model was trained on them."""
    rng = np.random.default_rng(seed)
    sides = np.array([rng.permutation(np.arange(K) % 2 == 0) for _ in range(N_AUTHORS)]).T
    author = np.repeat(np.arange(N_AUTHORS), OF_AN_AUTHOR)
    inside = sides[:, author]
    weight = rng.uniform(0.2, 1.0, N)
    losses = 2.0 + 0.05 * rng.normal(size=(K, N)) - gain * weight * inside
    membership = (np.arange(N_AUTHORS) % 2 == 0)[author]
    one = np.ones(N, dtype=np.float32)
    tokens = TokenSignals(-one, -one, one, one > 0, np.arange(N + 1))
    loss = 2.0 - gain * weight * membership
    extra = {"curvature": (weight + 0.05 * rng.normal(size=N))[None]} if curvature else {}
    base = {"loss": np.full((1, N), 2.0), **({"curvature": rng.normal(size=(1, N))} if curvature else {})}
    return SignalTable(
        target={"phi": -loss[None], "loss": loss[None], "probability": np.exp(-loss)[None], **extra},
        membership=membership,
        references={"loss": losses[None], "probability": np.exp(-losses)[None], "correct": rng.random((1, K, N))},
        reference_membership=inside,
        base=base,
        groups=author if groups else None,
        tokens=TokenTable(tokens.offsets, tokens),
    )


def test_bins_are_by_the_geometric_mean_of_a_rows_tokens():
    table = table_of()
    expected = likelihood_memorization(-table.references["loss"][0], table.reference_membership).scores
    np.testing.assert_allclose(memorization_of(table), expected, rtol=1e-12)
    attack = AttackScores("lira", "LiRA", table.target["phi"][0])
    slices = memorization_slices(table, [attack], confidence=0.95)
    assert {row["memorization_from"] for row in slices} <= {-1.0, 0.1, 0.25, 0.5, 0.75}


def test_the_summary_is_of_rows_and_of_groups():
    table = table_of()
    found = memorization_summary(table, confidence=0.95)
    rows = likelihood_memorization(-table.references["loss"][0], table.reference_membership)
    whole = group_memorization(-table.references["loss"][0], table.reference_membership, table.groups)
    assert found["mean"] == pytest.approx(rows.scores.mean())
    assert found["groups"]["mean"] == pytest.approx(whole.scores.mean())
    assert found["groups"]["n_groups"] == N_AUTHORS
    assert found["groups"]["n_above"] == (whole.low > 0).sum()
    assert found["standard_error"] == pytest.approx(rows.standard_error.mean())
    assert 0 < found["reliability"] <= 1
    assert found["low"] < found["mean"] < found["high"]
    members = table.membership
    expected = spearmanr(rows.scores[members], table.target["curvature"][0][members]).statistic
    assert found["curvature"]["spearman"] == pytest.approx(expected)
    assert found["curvature"]["n_examples"] == members.sum()
    assert found["curvature"]["low"] > found["curvature"]["base"]["high"]  # planted: the base's is noise


def test_the_target_plays_no_part_in_the_scores():
    table = table_of(curvature=False)
    swapped = replace(table, membership=~table.membership, target={"phi": np.zeros((1, N)), "loss": np.zeros((1, N))})
    assert memorization_summary(swapped, confidence=0.95) == memorization_summary(table, confidence=0.95)


def test_without_effect_few_groups_lie_above_none():
    found = memorization_summary(table_of(gain=0.0, curvature=False), confidence=0.95)
    assert found["groups"]["n_above"] <= N_AUTHORS // 4
    assert found["low"] <= 0 <= found["high"]


def test_rows_of_no_group_have_an_interval_over_rows_and_no_part_of_groups():
    found = memorization_summary(table_of(groups=False), confidence=0.95)
    assert found["groups"] is None
    assert found["low"] < found["mean"] < found["high"]


def test_two_references_give_a_mean_and_no_error():
    table = table_of(curvature=False)
    pair = np.array([table.reference_membership[0], ~table.reference_membership[0]])
    kept = {name: values[:, :2] for name, values in table.references.items()}
    found = memorization_summary(replace(table, references=kept, reference_membership=pair), confidence=0.95)
    assert found["standard_error"] is None
    assert found["reliability"] is None
    assert found["groups"]["n_above"] == 0
