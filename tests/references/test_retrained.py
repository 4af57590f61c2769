"""Retrained models: references that all have the retain set for a training set, and their stored logs."""

from __future__ import annotations

import json

import numpy as np
import pytest

from hf_privacy.data import ForgetSplit
from hf_privacy.errors import InputError
from hf_privacy.forgetting import unlearning_gap
from hf_privacy.references import (
    retrained_evaluations,
    retrained_run,
    retrained_seconds,
    save_retrained_figures,
)
from hf_privacy.signals import compute_signals

FORGET = ForgetSplit(range(5), range(5, 30), range(60, 80))
TEST = np.arange(30, 60)


@pytest.fixture
def run(make_trainer, dataset, tmp_path):
    """``run(n_models=2)``"""

    def make(n_models: int = 2, split: ForgetSplit = FORGET):
        return retrained_run(make_trainer(), dataset, split, tmp_path / "retrained", test=TEST, n_models=n_models)

    return make


def labels_of(dataset) -> np.ndarray:
    return dataset.column("labels").numpy()[np.concatenate([FORGET.forget, FORGET.retain, TEST])]


def test_every_one_is_trained_on_the_retain_set_alone_under_a_seed_of_its_own(run):
    retrained = run(3)
    retrained.train()
    assert (retrained.store.membership() == (np.arange(60) >= 5) & (np.arange(60) < 30)).all()
    phi = retrained.store.read("phi")
    assert len(np.unique(phi[:, 0])) == 3


def test_the_log_serves_in_place_of_the_model(run, dataset):
    retrained = run(1)
    retrained.train(keep_weights=True)
    (evaluation,) = retrained_evaluations(retrained.store, labels_of(dataset))
    live = compute_signals(retrained.kept_model(0), dataset.subset(TEST))
    np.testing.assert_allclose(evaluation.test["phi"], live["phi"][0], rtol=1e-5)
    assert len(evaluation.forget["loss"]) == 5


def test_the_figures_are_written_for_the_gap(run, dataset):
    retrained = run(3)
    retrained.train()
    evaluations = retrained_evaluations(retrained.store, labels_of(dataset))
    logs = json.loads(save_retrained_figures(retrained.store, evaluations).read_text())
    assert [log["training_seconds"] for log in logs] == retrained_seconds(retrained.store)
    found = unlearning_gap(logs[0], logs)
    assert found["n_retrained"] == 3


def test_a_killed_run_goes_on_and_more_models_may_follow(run):
    retrained = run(2)
    assert retrained.train_missing() == 2
    before = retrained.store.read("phi")
    more = run(3)
    assert more.train_missing() == 1
    np.testing.assert_array_equal(more.store.read("phi", models=[0, 1]), before)


def test_a_store_of_another_forget_set_is_refused(run):
    run(1)
    with pytest.raises(InputError, match="made with another"):
        run(1, ForgetSplit(range(6), range(6, 30), range(60, 80)))


def test_missing_models_and_foreign_arrays_are_refused(run, dataset):
    retrained = run(2)
    with pytest.raises(InputError, match="2 of 2 retrained models are missing"):
        retrained_evaluations(retrained.store, labels_of(dataset))
    with pytest.raises(InputError, match="labels has 3 rows and the store 60 examples"):
        retrained_evaluations(retrained.store, np.zeros(3))
    with pytest.raises(InputError, match="n_models is 0"):
        run(0)
