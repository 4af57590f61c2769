"""Adversarial training under DP-SGD: sound where an example's loss is its own, refused where it is not."""

from __future__ import annotations

import pytest
import torch

from hf_privacy.data import TensorDataset
from hf_privacy.defenses import (
    AdversarialConfig,
    AdversarialTrainer,
    CriticalWeightRewindCallback,
    DeMemConfig,
    DPAdversarialConfig,
    DPAdversarialTrainer,
    DPConfig,
    DPTrainer,
)
from hf_privacy.defenses.dp.per_sample_gradients import clipped_gradients
from hf_privacy.errors import InputError

opacus = pytest.importorskip("opacus")
SGD = {"optim": "sgd", "momentum": 0.0, "learning_rate": 0.1}
ALL_EXAMPLES = {"per_device_train_batch_size": 8, "noise_multiplier": 0.0, "max_steps": 1}


@pytest.fixture
def make_trainer(make_args, model_of, data_of):
    def make(name="tabular", *, n=8, model=None, **arguments):
        args = make_args(DPAdversarialConfig, **{**SGD, "accountant": "rdp", "epsilon": 0.1, **arguments})
        model = model_of(name) if model is None else model
        return DPAdversarialTrainer(model, args, train_dataset=data_of(name, n))

    return make


def weights(trainer):
    return torch.cat([parameter.detach().flatten() for parameter in trainer.model.parameters()])


@pytest.mark.parametrize("objective", ["pgd_at", "mart"])
def test_without_noise_and_clipping_a_step_is_that_of_adversarial_training(
    objective, make_trainer, make_args, model_of, data_of
):
    shared = {"objective": objective, "random_start": False}
    private = make_trainer(**ALL_EXAMPLES, **shared, max_grad_norm=1e6)
    args = make_args(AdversarialConfig, **SGD, **shared, epsilon=0.1, max_steps=1, max_grad_norm=0.0)
    plain = AdversarialTrainer(model_of("tabular"), args, train_dataset=data_of("tabular"))
    start = weights(plain)
    for trainer in (private, plain):
        trainer.train()
    assert (weights(plain) - start).norm() > 1e-2
    torch.testing.assert_close(weights(private), weights(plain), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(
    ("objective", "ways"), [("pgd_at", ["functional", "hooks", "ghost"]), ("mart", ["functional", "hooks"])]
)
def test_all_ways_to_per_sample_gradients_give_the_same_step(objective, ways, make_trainer):
    found = []
    for way in ways:
        trainer = make_trainer(
            **ALL_EXAMPLES, objective=objective, random_start=False, max_grad_norm=0.3, per_sample_gradients=way
        )
        trainer.train()
        found.append(weights(trainer))
    for other in found[1:]:
        torch.testing.assert_close(other, found[0], rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("objective", ["pgd_at", "trades", "mart"])
def test_leaving_an_example_out_changes_the_sum_by_no_more_than_the_bound(objective, make_trainer):
    trainer = make_trainer(objective=objective, noise_multiplier=1.0, max_grad_norm=0.05)
    batch = trainer.train_dataset.__getitems__(range(8))
    batch["adversarial_points"] = trainer.adversarial_points(trainer.model, batch)
    with clipped_gradients(trainer.model, "functional", max_norm=0.05, losses=trainer.private_losses) as clipped_sum:
        whole, losses = clipped_sum(batch)
        without, others = clipped_sum({name: values[1:] for name, values in batch.items()})
    change = torch.cat([(a - b).flatten() for a, b in zip(whole, without, strict=True)]).norm()
    assert 0.04 < float(change) <= 0.05
    torch.testing.assert_close(losses[1:], others)


def test_an_attacked_point_does_not_depend_on_the_batch(make_trainer):
    trainer = make_trainer(random_start=False, noise_multiplier=1.0)
    batch = trainer.train_dataset.__getitems__(range(8))
    alone = trainer.adversarial_points(trainer.model, {name: values[:1] for name, values in batch.items()})
    torch.testing.assert_close(alone, trainer.adversarial_points(trainer.model, batch)[:1])


@pytest.mark.parametrize("way", ["hooks", "ghost"])
def test_the_attack_leaves_no_per_sample_gradients_behind(way, make_trainer):
    trainer = make_trainer(noise_multiplier=1.0, per_sample_gradients=way)
    batch = trainer.train_dataset.__getitems__(range(8))
    trainer.model.train()
    with clipped_gradients(trainer.model, way, max_norm=1.0, losses=trainer.private_losses) as clipped_sum:
        with clipped_sum.paused():
            trainer.adversarial_points(trainer.model, batch)
        for parameter in trainer.model.parameters():
            assert parameter.grad is None
            assert getattr(parameter, "grad_sample", None) is None
            assert getattr(parameter, "_norm_sample", None) is None
        assert not any(getattr(module, "activations", None) for module in trainer.model.modules())
        assert all(module.training for module in trainer.model.modules())


@pytest.mark.parametrize("objective", ["pgd_at", "trades"])
def test_word_embeddings_are_trained_by_each_examples_own_gradient(objective, make_trainer):
    trainer = make_trainer("bert", **ALL_EXAMPLES, objective=objective, max_grad_norm=1.0)
    table = trainer.model.get_input_embeddings().weight
    before = table.detach().clone()
    trainer.train()
    used = trainer.train_dataset.column("input_ids")[trainer.train_dataset.column("attention_mask") == 1].unique()
    moved = (table != before).any(dim=1).nonzero().flatten()
    assert set(used.tolist()) >= set(moved.tolist()) - {0}
    assert len(moved) > 1


def test_trap_4_starts_are_not_drawn_again_under_one_seed(make_trainer):
    found = []
    for _ in range(2):
        trainer = make_trainer(noise_multiplier=1.0, seed=0)
        found.append(trainer.adversarial_points(trainer.model, trainer.train_dataset.__getitems__(range(8))))
    assert not torch.equal(*found)


def test_epsilon_is_that_of_plain_dp_sgd(make_trainer, make_args, model_of, data_of):
    settings = {"noise_multiplier": 1.0, "per_device_train_batch_size": 4, "num_train_epochs": 2}
    trainer = make_trainer(n=40, objective="trades", **settings)
    args = make_args(DPConfig, **settings, accountant="rdp")
    plain = DPTrainer(model_of("tabular"), args, train_dataset=data_of("tabular", 40))
    assert trainer.privacy_spent() == plain.privacy_spent()
    trainer.train()
    assert trainer.ledger.n_steps == 20
    assert trainer.privacy_spent() == plain.privacy_spent()


def test_trap_8_an_empty_batch_is_a_noisy_step_and_counts(make_trainer):
    trainer = make_trainer(n=40, noise_multiplier=1.0, per_device_train_batch_size=1, max_steps=12)
    trainer.train()  # 12 batches of one example on average: four or five of them empty
    assert trainer.ledger.n_steps == 12


def test_critical_weights_are_rewound_under_dp_adversarial_training(make_trainer):
    trainer = make_trainer(n=24, noise_multiplier=1.0, num_train_epochs=1)
    model, args, data = trainer.model, trainer.args, trainer.train_dataset
    data = TensorDataset({name: data.column(name) for name in data.column_names})
    rewind = CriticalWeightRewindCallback(score="magnitude", fraction=0.25, entanglement=False)
    trainer = DPAdversarialTrainer(model, args, train_dataset=data, callbacks=[rewind])
    trainer.train()
    assert trainer.describe_defense()["name"] == "dp_adversarial+cwrf"
    assert trainer.privacy_spent() is not None


# ---- what is refused ----


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"awp_gamma": 0.01}, "awp_gamma is 0.01: the weight perturbation follows the batch's gradient before"),
        (
            {"per_sample_gradients": "ghost", "objective": "trades"},
            "'ghost' and objective 'trades', which",
        ),
        ({"per_sample_gradients": "ghost", "objective": "mart"}, "ghost norms are of one pass"),
        ({"noise_multiplier": None}, "neither target_epsilon nor noise_multiplier is set"),
        ({"max_grad_norm": 0.0}, r"max_grad_norm is 0.0: pass a number in \(0, ∞\)"),
        ({"objective": "fgsm"}, "objective is 'fgsm'"),
        ({"epsilon": -1.0}, "epsilon is -1.0"),
    ],
    ids=str,
)
def test_what_the_guarantee_does_not_allow_is_refused_in_one_sentence(given, message, make_args):
    with pytest.raises(InputError, match=message) as refused:
        make_args(DPAdversarialConfig, **{"noise_multiplier": 1.0, **given})
    assert "\n" not in str(refused.value)


def test_demems_variance_is_refused_for_it_couples_the_examples(make_args, model_of, data_of):
    with pytest.raises(InputError, match="the variance of the losses couples the examples of a batch"):
        DPAdversarialTrainer(model_of("tabular"), make_args(DeMemConfig), train_dataset=data_of("tabular"))


def test_batch_norm_is_refused_before_training(make_trainer):
    with pytest.raises(InputError, match=r"BatchNorm.*use GroupNorm"):
        make_trainer("resnet", noise_multiplier=1.0)


def test_the_report_names_both_papers_and_the_noise(make_trainer):
    described = make_trainer(objective="trades", noise_multiplier=0.7).describe_defense()
    assert described["name"] == "dp_adversarial"
    assert described["parameters"]["noise_multiplier"] == 0.7
    assert described["paper"]["id"] == "arXiv:1607.00133; arXiv:1901.08573"
