"""The ledger: equal to Opacus's accountants, never behind, never lost."""

from __future__ import annotations

import json
import math

import pytest

from hf_privacy.defenses.dp.accounting import (
    LEDGER_FILE,
    PrivacyLedger,
    epsilon_of,
    noise_multiplier_for,
    steps_within,
)
from hf_privacy.errors import InputError

opacus = pytest.importorskip("opacus")
KIND = {"noise_multiplier": 1.1, "sample_rate": 0.02}


@pytest.mark.parametrize("name", ["rdp", "prv"])
def test_epsilon_is_that_of_opacus_fed_step_by_step(name):
    from opacus.accountants import create_accountant

    theirs, ours = create_accountant(name), PrivacyLedger(name)
    for step in range(60):
        kind = KIND if step < 40 else {"noise_multiplier": 0.9, "sample_rate": 0.05}
        theirs.step(**kind)
        ours.record(**kind)
    assert ours.n_steps == 60
    assert ours.epsilon(1e-5) == pytest.approx(theirs.get_epsilon(delta=1e-5))


def test_nothing_spent_is_zero_and_no_noise_is_infinite():
    ledger = PrivacyLedger("rdp")
    assert ledger.epsilon(1e-5) == 0.0
    ledger.record(noise_multiplier=0.0, sample_rate=0.1)
    assert ledger.epsilon(1e-5) == math.inf


@pytest.mark.parametrize("name", ["rdp", "prv"])
@pytest.mark.parametrize("target", [1.0, 8.0])
def test_the_noise_for_a_budget_keeps_it_and_hardly_less_would(name, target):
    settings = {"sample_rate": 0.05, "n_steps": 100, "delta": 1e-5}
    noise = noise_multiplier_for(name, target_epsilon=target, **settings)
    assert epsilon_of(name, noise_multiplier=noise, **settings) <= target
    assert epsilon_of(name, noise_multiplier=0.99 * noise, **settings) > target


def test_the_steps_within_a_budget_are_the_most_that_fit():
    ledger = PrivacyLedger("rdp")
    ledger.record(**KIND, count=10)
    target = epsilon_of("rdp", **KIND, n_steps=37, delta=1e-5)
    assert steps_within(ledger, target_epsilon=target, **KIND, delta=1e-5, most=1000) == 27
    assert steps_within(ledger, target_epsilon=target, **KIND, delta=1e-5, most=5) == 5
    ledger.record(**KIND, count=30)
    assert steps_within(ledger, target_epsilon=target, **KIND, delta=1e-5, most=1000) == 0


def test_a_budget_no_noise_can_keep_is_refused():
    with pytest.raises(InputError, match="no noise is enough"):
        noise_multiplier_for("rdp", target_epsilon=1e-4, sample_rate=1.0, n_steps=10**6, delta=1e-9)


def test_the_ledger_goes_round_and_merges_equal_steps(tmp_path):
    ledger = PrivacyLedger("prv")
    for _ in range(3):
        ledger.record(**KIND)
    ledger.save(tmp_path)
    assert PrivacyLedger.load(tmp_path) == ledger
    assert ledger.steps == [(1.1, 0.02, 3)]


@pytest.mark.parametrize("text", ["", "{}", '{"format": "x", "accountant": "prv", "steps": []}', "[1]"])
def test_a_damaged_ledger_is_refused(text, tmp_path):
    (tmp_path / LEDGER_FILE).write_text(text)
    with pytest.raises(InputError, match="is no ledger"):
        PrivacyLedger.load(tmp_path)


def test_a_missing_ledger_says_what_would_go_wrong(tmp_path):
    with pytest.raises(InputError, match="ε would be under-reported"):
        PrivacyLedger.load(tmp_path)


def test_the_file_holds_no_seed(tmp_path):
    PrivacyLedger("prv", [(1.0, 0.1, 5)]).save(tmp_path)
    assert set(json.loads((tmp_path / LEDGER_FILE).read_text())) == {"format", "training", "accountant", "steps"}


IMPOSSIBLE = [
    ["1.0", 0.1, 5],
    [True, 0.1, 5],
    [-1.0, 0.1, 5],
    [float("nan"), 0.1, 5],
    [float("inf"), 0.1, 5],
    [1e300, 0.1, 5],
    [1.0, 0, 5],
    [1.0, -0.1, 5],
    [1.0, 1.5, 5],
    [1.0, float("nan"), 5],
    [1.0, 0.1, 0],
    [1.0, 0.1, -5],
    [1.0, 0.1, 2.5],
    [1.0, 0.1, True],
    [1.0, 0.1, 10**30],
    [1.0, 0.1],
    None,
]


@pytest.mark.parametrize("entry", IMPOSSIBLE, ids=str)
def test_a_ledger_of_steps_nobody_took_is_refused(entry, tmp_path):
    PrivacyLedger("rdp", [(1.0, 0.1, 5)]).save(tmp_path)
    content = json.loads((tmp_path / LEDGER_FILE).read_text())
    content["steps"].append(entry)
    (tmp_path / LEDGER_FILE).write_text(json.dumps(content))
    with pytest.raises(InputError, match=r"is no ledger: steps\[1\]"):
        PrivacyLedger.load(tmp_path)


@pytest.mark.parametrize(
    "steps",
    [[(0.1, 0.1, 100)], [(1.0, 0.01, 10**9)], [(0.5, 1.0, 1000)], [(1e-300, 0.01, 10)], [(1e-3, 0.5, 1)]],
    ids=str,
)
def test_where_prv_would_need_hours_rdp_answers(steps):
    epsilon, accountant = PrivacyLedger("prv", steps).bound(1e-5)
    assert accountant == "rdp"
    assert epsilon == PrivacyLedger("rdp", steps).epsilon(1e-5)
    assert epsilon > 20


def test_a_usual_training_is_accounted_by_prv():
    ledger = PrivacyLedger("prv", [(1.0, 0.01, 5000)])
    epsilon, accountant = ledger.bound(1e-5)
    assert accountant == "prv"
    assert epsilon < PrivacyLedger("rdp", ledger.steps).epsilon(1e-5)


def test_the_order_of_the_steps_plays_no_part():
    first, second = (1.0, 0.1), (2.0, 0.05)
    mixed = PrivacyLedger("rdp", [(*first, 5), (*second, 7), (*first, 5)])
    assert mixed.epsilon(1e-5) == PrivacyLedger("rdp", [(*first, 10), (*second, 7)]).epsilon(1e-5)
