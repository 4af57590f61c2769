"""As many references as tell something new: the rule is fixed before the first look, and the report says it."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from hf_privacy.attacks import lira
from hf_privacy.auditing import SignalTable
from hf_privacy.auditing.early_stop import looks_at, stop_when_still
from hf_privacy.errors import InputError
from hf_privacy.recipe import AuditSettings
from hf_privacy.references import plan_references
from hf_privacy.statistics import auc_interval

N, POPULATION = 80, 10


@pytest.fixture
def made():
    """A target, and 16 references whose φ is larger where they hold an example."""
    rng = np.random.default_rng(0)
    membership = np.arange(N) % 2 == 0
    plan = plan_references(np.zeros(N, dtype=int), n_models=16, seed=1)
    phi = rng.normal(size=(16, N + POPULATION))
    phi[:, :N] += 1.5 * plan.membership
    target = rng.normal(size=N + POPULATION)
    target[:N] += 1.5 * membership
    table = SignalTable(
        target={"phi": target[None]}, membership=membership, labels=np.zeros(N + POPULATION, dtype=int)
    )

    def run_of(count):
        return SimpleNamespace(plan=SimpleNamespace(n_models=count), first=run_of, count=count)

    def with_references(table, run, *, queries):
        inside = np.zeros((run.count, N + POPULATION), dtype=bool)
        inside[:, :N] = plan.membership[: run.count]
        return SignalTable(
            target=table.target,
            membership=table.membership,
            labels=table.labels,
            references={"phi": phi[None, : run.count]},
            reference_membership=inside,
        )

    def interval(count):  # typed anew
        scores = lira(
            target[None, :N], phi[None, :count, :N], plan.membership[:count], mode="online", variance="pooled"
        )
        return np.array(auc_interval(scores, membership, confidence=0.95))

    return table, run_of(16), with_references, interval


def stopped(made, tolerance):
    table, run, with_references, _ = made
    trained = []
    found = stop_when_still(
        table,
        run,
        lambda part: trained.append(part.count),
        settings=AuditSettings(references=16, stop_when_still=tolerance),
        with_references=with_references,
    )
    return found, trained


def test_it_stops_at_the_first_look_whose_interval_stands_still(made):
    interval = made[3]
    first, second = (np.abs(interval(2 * count) - interval(count)).max() for count in (4, 8))
    found, trained = stopped(made, first * 1.001)
    assert (found.n_references, trained) == (8, [4, 8])
    assert f"It stopped at 8, where they had moved by {first:.2g}" in found.sentence
    assert "at most 16" in found.sentence
    found, trained = stopped(made, min(first, second) * 0.999)
    assert (found.n_references, trained) == (16, [4, 8, 16])
    assert found.sentence.endswith("It went on to all 16.")


def test_it_looks_at_powers_of_two_and_at_all():
    assert [looks_at(most) for most in (2, 4, 5, 8, 24)] == [[2], [4], [4, 5], [4, 8], [4, 8, 16, 24]]


@pytest.mark.parametrize(
    "settings",
    [
        {"stop_when_still": 0.0},
        {"stop_when_still": 1.0},
        {"stop_when_still": 0.01, "fraction": 0.7},
        {"stop_when_still": 0.01, "targets": 3},
        {"stop_when_still": 0.01, "targets": 3, "budgets": [2]},
    ],
    ids=str,
)
def test_settings_that_leave_it_no_say_are_refused(settings):
    with pytest.raises(InputError, match="stop_when_still is"):
        AuditSettings(**settings).check()
