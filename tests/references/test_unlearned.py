"""Unlearned references: each forgets what it held of the forget set; those that held none of it are the other side."""

from __future__ import annotations

import numpy as np
import pytest

from hf_privacy.errors import InputError
from hf_privacy.forgetting import u_lira
from hf_privacy.references import reference_run, unlearned_references
from hf_privacy.signals import compute_signals
from hf_privacy.unlearning import FineTuneConfig, FineTuneTrainer, GradientAscentConfig, GradientAscentTrainer

FORGET = np.array([2, 7, 11, 30])
DESCRIPTION = {"method": "gradient_ascent"}


@pytest.fixture
def run(make_trainer, dataset, split, tmp_path):
    found = reference_run(make_trainer(), dataset, split, tmp_path / "references", n_models=8)
    found.train(keep_weights=True)
    return found


@pytest.fixture
def served() -> list[tuple[int, int]]:
    """Sizes of the forget and retain set of each unlearner that was made."""
    return []


@pytest.fixture
def make_unlearner(served):
    def make(model, forget, retain, folder):
        served.append((len(forget), len(retain)))
        args = GradientAscentConfig(
            str(folder), num_train_epochs=1, learning_rate=0.05, use_cpu=True, report_to="none", disable_tqdm=True,
            save_strategy="no",
        )  # fmt: skip
        return GradientAscentTrainer(model, args, forget, retain)

    return make


def test_each_reference_forgets_its_own_part_and_the_columns_are_in_and_out(run, make_unlearner, served, tmp_path):
    inside = run.plan.membership[:, FORGET]
    found = unlearned_references(
        run, FORGET, tmp_path / "store", make_unlearner=make_unlearner, description=DESCRIPTION
    )
    assert served == [(int(row.sum()), 30 - int(row.sum())) for row in inside if row.any()]
    assert found.unlearned.shape == found.never.shape == (4, 4)
    original = run.store.read("phi")
    for column, example in enumerate(FORGET):
        np.testing.assert_allclose(found.never[:, column], original[~inside[:, column], example])
        # Unlearned, so no longer what the reference said.
        assert not np.isclose(found.unlearned[:, column], original[inside[:, column], example]).any()
    assert 0.0 <= u_lira(found.unlearned, found.never).summary["auc"] <= 1.0


def test_a_killed_run_unlearns_nothing_twice(run, make_unlearner, served, tmp_path):
    def killed(model, forget, retain, folder):
        if len(served) == 2:
            raise KeyboardInterrupt
        return make_unlearner(model, forget, retain, folder)

    arguments = {"description": DESCRIPTION}
    with pytest.raises(KeyboardInterrupt):
        unlearned_references(run, FORGET, tmp_path / "store", make_unlearner=killed, **arguments)
    found = unlearned_references(run, FORGET, tmp_path / "store", make_unlearner=make_unlearner, **arguments)
    assert len(served) == run.plan.membership[:, FORGET].any(axis=1).sum()
    again = unlearned_references(run, FORGET, tmp_path / "store", make_unlearner=make_unlearner, **arguments)
    assert len(served) == run.plan.membership[:, FORGET].any(axis=1).sum()
    np.testing.assert_array_equal(again.unlearned, found.unlearned)


def test_fine_tuning_by_next_to_nothing_leaves_the_references_signals(run, tmp_path, dataset):
    def idle(model, forget, retain, folder):
        args = FineTuneConfig(
            str(folder), max_steps=1, learning_rate=1e-6, use_cpu=True, report_to="none", save_strategy="no"
        )
        return FineTuneTrainer(model, args, forget, retain)

    found = unlearned_references(run, FORGET, tmp_path / "idle", make_unlearner=idle, description={"method": "idle"})
    first = np.flatnonzero(run.plan.membership[:, FORGET[0]])[0]
    expected = compute_signals(run.kept_model(first), dataset.subset(FORGET))["phi"][0]
    assert found.unlearned[0, 0] == pytest.approx(expected[0], abs=1e-3)


def test_another_method_in_the_same_folder_is_refused(run, make_unlearner, tmp_path):
    arguments = {"make_unlearner": make_unlearner}
    unlearned_references(run, FORGET, tmp_path / "store", description=DESCRIPTION, **arguments)
    with pytest.raises(InputError, match="made with another recipe_hash"):
        unlearned_references(run, FORGET, tmp_path / "store", description={"method": "ssd"}, **arguments)


def test_references_without_weights_are_refused(make_trainer, dataset, split, make_unlearner, tmp_path):
    run = reference_run(make_trainer(), dataset, split, tmp_path / "references", n_models=6)
    arguments = {"make_unlearner": make_unlearner, "description": DESCRIPTION}
    with pytest.raises(InputError, match="6 of 6 reference models are not trained"):
        unlearned_references(run, FORGET, tmp_path / "store", **arguments)
    run.train()
    with pytest.raises(InputError, match="the weights of 6 of 6 reference models were not kept"):
        unlearned_references(run, FORGET, tmp_path / "store", **arguments)
    with pytest.raises(InputError, match="beyond the references' pool of 60"):
        unlearned_references(run, np.array([60]), tmp_path / "store", **arguments)


def test_too_few_references_a_side_are_refused(make_trainer, dataset, split, make_unlearner, tmp_path):
    run = reference_run(make_trainer(), dataset, split, tmp_path / "references", n_models=4)
    run.train(keep_weights=True)
    with pytest.raises(InputError, match="U-LiRA needs 3 models a side"):
        unlearned_references(run, FORGET, tmp_path / "store", make_unlearner=make_unlearner, description=DESCRIPTION)
