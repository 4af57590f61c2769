"""References with an adversarial query and curvature: collected once, kept apart, refused when made otherwise."""

from __future__ import annotations

import json

import numpy as np
import pytest

from hf_privacy.adversarial import PGD, AdversarialInputs, FeatureSpace
from hf_privacy.errors import InputError
from hf_privacy.recipe import AuditSettings
from hf_privacy.references import audit_references, reference_run, reference_trainer
from hf_privacy.signals import SIGNAL_NAMES, Curvature, SignalStore, compute_signals

ATTACK = AdversarialInputs(FeatureSpace(), PGD(0.2, n_steps=3))
CURVATURE = Curvature(n_vectors=2)


@pytest.fixture
def make_run(make_trainer, dataset, split, tmp_path):
    def make(**settings):
        return reference_run(make_trainer(), dataset, split, tmp_path / "store", n_models=4, **settings)

    return make


def test_each_reference_is_attacked_through_itself(make_run, tmp_path):
    run = make_run(adversarial=ATTACK, curvature=CURVATURE)
    run.train()
    assert run.store.queries == ["identity", "adversarial"]
    assert run.store.signals == [*SIGNAL_NAMES, "curvature", "curvature_trace"]
    seed, indices = run.plan.model_seed(1), run.plan.training_indices(1)
    by_hand = reference_trainer(run.trainer, run.train_pool.subset(indices), seed=seed, output_dir=tmp_path / "x")
    by_hand.train()
    settings = {"queries": ("identity", "adversarial"), "adversarial": ATTACK, "curvature": CURVATURE}
    for name, values in compute_signals(by_hand.model, run.audit_dataset, **settings).items():
        # Not to the bit: on some processors the lean loop multiplies in another order.
        np.testing.assert_allclose(run.store.read(name, models=[1], query=None)[0], values, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize(
    ("other", "key"),
    [
        ({"adversarial": AdversarialInputs(FeatureSpace(), PGD(0.4, n_steps=3)), "curvature": CURVATURE}, "advers"),
        ({"adversarial": ATTACK, "curvature": Curvature(n_vectors=3)}, "curvature"),
        ({"adversarial": ATTACK}, "curvature, signals"),
        ({"curvature": CURVATURE}, "adversarial, queries"),
    ],
)
def test_references_of_another_attack_or_curvature_are_refused(make_run, other, key):
    make_run(adversarial=ATTACK, curvature=CURVATURE)
    with pytest.raises(InputError, match=f"made with another {key}"):
        make_run(**other)


def test_a_store_from_before_there_were_attacks_is_as_good_as_ever(make_run):
    run = make_run()
    assert not {"adversarial", "curvature"} & set(run.store.metadata)
    run.train()
    assert make_run().store.completed() == [0, 1, 2, 3]


def test_the_adversarial_query_comes_with_its_attack_alone(make_run):
    with pytest.raises(InputError, match="leave 'adversarial' out"):
        make_run(queries=["identity", "adversarial"])


def test_the_audit_and_its_workers_agree_on_the_store(make_trainer, dataset, split, tmp_path):
    options = AuditSettings(references=4, robustness={"epsilon": 0.2, "n_steps": 3}, curvature=2)
    runs = [
        audit_references(make_trainer(), dataset, split, tmp_path / "store", options=options, adversarial=attack)
        for attack in (None, ATTACK)
    ]
    assert runs[0].store.metadata == runs[1].store.metadata
    kept = json.loads((tmp_path / "store" / "metadata.json").read_text())
    assert kept["adversarial"] == ATTACK.describe()
    assert kept["curvature"]["n_vectors"] == 2
    assert runs[0].adversarial == ATTACK
    assert SignalStore.open(tmp_path / "store").queries == ["identity", "adversarial"]
