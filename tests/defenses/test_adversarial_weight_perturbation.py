"""AWP: the gradient is that at θ + v, the step is taken from θ, and nothing else has moved."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F
from transformers import TrainerCallback

from hf_privacy.data import TensorDataset
from hf_privacy.defenses import (
    AdversarialConfig,
    AdversarialTrainer,
    AdversarialWeightPerturbation,
    CriticalWeightRewindCallback,
    DeMemConfig,
    DeMemTrainer,
    FrozenWeightsCallback,
)

# Without random start, so that a test can compute what the trainer does.
PLAIN = {"random_start": False, "epsilon": 0.05, "optim": "sgd", "momentum": 0.0, "max_grad_norm": 0.0}


def state(model):
    return {name: tensor.clone() for name, tensor in model.state_dict().items()}


def moved(before, model):
    return {name for name, tensor in model.state_dict().items() if not torch.equal(tensor, before[name])}


@pytest.fixture
def network():
    torch.manual_seed(0)
    return torch.nn.Sequential(
        torch.nn.Conv2d(1, 4, 3), torch.nn.BatchNorm2d(4), torch.nn.Flatten(), torch.nn.Linear(144, 3)
    ).train()


@pytest.fixture
def loss_of(network):
    images, labels = torch.rand(6, 1, 8, 8), torch.arange(6) % 3
    return lambda: F.cross_entropy(network(images), labels)


def test_each_layer_moves_along_its_gradient_by_gamma_of_its_norm(network, loss_of):
    before = state(network)
    gradients = torch.autograd.grad(loss_of(), [network[0].weight, network[3].weight])
    network.load_state_dict(before)
    AdversarialWeightPerturbation(0.01).perturb(network, loss_of)
    for layer, gradient in zip(("0.weight", "3.weight"), gradients, strict=True):
        v = network.state_dict()[layer] - before[layer]
        expected = 0.01 * before[layer].norm() * gradient / gradient.norm()
        torch.testing.assert_close(v, expected, rtol=1e-3, atol=1e-7)
        assert float(v.norm() / before[layer].norm()) == pytest.approx(0.01, rel=1e-3)


def test_the_scale_of_the_loss_does_not_matter(network, loss_of):
    before, found = state(network), []
    for scale in (1.0, 65536.0):
        network.load_state_dict(before)
        AdversarialWeightPerturbation(0.01).perturb(network, lambda scale=scale: scale * loss_of())
        found.append(network[3].weight.detach().clone())
    torch.testing.assert_close(*found)


def test_biases_norms_and_running_means_stay_and_no_gradient_is_left(network, loss_of):
    before = state(network)
    AdversarialWeightPerturbation(0.01).perturb(network, loss_of)
    assert moved(before, network) == {"0.weight", "3.weight"}
    assert all(parameter.grad is None for parameter in network.parameters())


def test_the_loss_rises(network, loss_of):
    with torch.no_grad():
        before = float(loss_of())
    awp = AdversarialWeightPerturbation(0.05)
    awp.perturb(network, loss_of)
    with torch.no_grad():
        assert float(loss_of()) > before


def test_weights_are_back_to_the_last_bit(network, loss_of):
    before = state(network)
    awp = AdversarialWeightPerturbation(0.3)
    awp.perturb(network, loss_of)
    awp.restore()
    awp.restore()  # nothing is left to write back
    assert moved(before, network) == set()


def test_untrainable_weights_stay(network, loss_of):
    network[0].weight.requires_grad_(False)
    before = state(network)
    AdversarialWeightPerturbation(0.01).perturb(network, loss_of)
    assert moved(before, network) == {"3.weight"}


def test_weights_that_are_zero_stay_zero(network, loss_of):
    torch.nn.init.zeros_(network[3].weight)
    AdversarialWeightPerturbation(0.01).perturb(network, loss_of)
    assert not network[3].weight.any()
    assert torch.isfinite(network[0].weight).all()


def test_a_second_perturbation_before_the_first_is_undone_is_a_defect(network, loss_of):
    awp = AdversarialWeightPerturbation(0.01)
    awp.perturb(network, loss_of)
    with pytest.raises(RuntimeError, match="perturbed already"):
        awp.perturb(network, loss_of)


# ---- in the trainer ----


class Watch(TrainerCallback):
    """Keeps weights and gradients as the optimizer sees them, and the weights it leaves."""

    def on_pre_optimizer_step(self, args, state, control, *, model, **kwargs):
        self.weights = {name: p.detach().clone() for name, p in model.named_parameters()}
        self.gradients = {name: p.grad.clone() for name, p in model.named_parameters()}

    def on_optimizer_step(self, args, state, control, *, model, **kwargs):
        self.stepped = {name: p.detach().clone() for name, p in model.named_parameters()}


def test_a_step_with_awp_is_the_weights_plus_the_update_bit_for_bit(make_args, model_of, data_of):
    watch = Watch()
    args = make_args(AdversarialConfig, awp_gamma=0.1, max_steps=1, learning_rate=0.5, **PLAIN)
    model = model_of("tabular")
    start = {name: p.detach().clone() for name, p in model.named_parameters()}
    AdversarialTrainer(model, args, train_dataset=data_of("tabular"), callbacks=[watch]).train()
    for name, weight in start.items():
        assert torch.equal(watch.weights[name], weight)
        assert torch.equal(watch.stepped[name], weight.clone().add_(watch.gradients[name], alpha=-0.5))


@pytest.mark.parametrize("objective", ["pgd_at", "mart"])
def test_the_gradient_is_that_of_the_same_loss_at_the_perturbed_weights(objective, make_args, model_of, data_of):
    watch = Watch()
    args = make_args(AdversarialConfig, objective=objective, awp_gamma=0.1, max_steps=1, **PLAIN)
    model, data = model_of("tabular"), data_of("tabular")
    start = {name: p.detach().clone().requires_grad_(True) for name, p in model.named_parameters()}
    trainer = AdversarialTrainer(model, args, train_dataset=data, callbacks=[watch])
    batch = data.__getitems__(range(8))
    points = trainer.adversarial_points(model, batch)
    trainer.train()

    def loss_at(weights):
        logits = [
            torch.func.functional_call(trainer.model, weights, kwargs={"features": x})["logits"]
            for x in (batch["features"], points)
        ]
        losses, _ = trainer.example_losses(
            batch["labels"], clean=lambda: {"logits": logits[0]}, adversarial=lambda: {"logits": logits[1]}
        )
        return losses.mean()

    ascent = torch.autograd.grad(loss_at(start), list(start.values()))
    worst = {}
    for (name, weight), gradient in zip(start.items(), ascent, strict=True):
        v = 0.1 * weight.norm() * gradient / gradient.norm() if name.endswith("weight") else 0.0
        worst[name] = (weight + v).detach().requires_grad_(True)
    at_worst = torch.autograd.grad(loss_at(worst), list(worst.values()))
    for name, gradient in zip(worst, at_worst, strict=True):
        torch.testing.assert_close(watch.gradients[name], gradient, rtol=1e-4, atol=1e-6)
    # And not that at the weights themselves.
    assert any((watch.gradients[n] - g).norm() > 1e-2 * g.norm() for n, g in zip(start, ascent, strict=True))


def test_every_accumulated_batch_starts_from_the_same_weights(make_args, model_of, data_of, monkeypatch):
    starts = []
    perturb = AdversarialWeightPerturbation.perturb

    def recorded(self, model, loss, **options):
        starts.append(state(model))
        perturb(self, model, loss, **options)

    monkeypatch.setattr(AdversarialWeightPerturbation, "perturb", recorded)
    args = make_args(
        AdversarialConfig,
        awp_gamma=0.1,
        max_steps=1,
        per_device_train_batch_size=2,
        gradient_accumulation_steps=4,
        **PLAIN,
    )
    AdversarialTrainer(model_of("tabular"), args, train_dataset=data_of("tabular")).train()
    assert len(starts) == 4
    assert all(torch.equal(start[name], starts[0][name]) for start in starts for name in start)


def test_the_warm_up_is_epochs_without_perturbation(make_args, model_of, data_of, monkeypatch):
    epochs = []
    monkeypatch.setattr(
        AdversarialWeightPerturbation, "perturb", lambda self, *a, **k: epochs.append(int(trainer.state.epoch))
    )
    args = make_args(
        AdversarialConfig,
        awp_gamma=0.1,
        awp_warmup_epochs=2,
        num_train_epochs=4,
        per_device_train_batch_size=4,
        **PLAIN,
    )
    trainer = AdversarialTrainer(model_of("tabular"), args, train_dataset=data_of("tabular"))
    trainer.train()
    assert epochs == [2, 2, 3, 3]


def test_a_failed_backward_pass_leaves_the_weights_where_they_were(make_args, model_of, data_of, monkeypatch):
    args = make_args(AdversarialConfig, awp_gamma=0.1, max_steps=1, **PLAIN)
    trainer = AdversarialTrainer(model_of("tabular"), args, train_dataset=data_of("tabular"))
    before = state(trainer.model)

    def out_of_memory(*args, **kwargs):
        assert moved(before, trainer.model)
        raise MemoryError

    monkeypatch.setattr(trainer.accelerator, "backward", out_of_memory)
    with pytest.raises(MemoryError):
        trainer.train()
    assert moved(before, trainer.model) == set()


@pytest.mark.parametrize("adamw", [False, True])
def test_trap_9_frozen_weights_keep_their_bits_under_awp(adamw, make_args, model_of, data_of):
    optimizer = {**PLAIN, "optim": "adamw_torch", "weight_decay": 0.1} if adamw else PLAIN
    args = make_args(
        DeMemConfig, awp_gamma=0.1, num_train_epochs=3, per_device_train_batch_size=4, learning_rate=0.1, **optimizer
    )
    model = model_of("tabular")
    mask = {name: torch.rand_like(p) < 0.5 for name, p in model.named_parameters()}
    before = state(model)
    DeMemTrainer(model, args, train_dataset=data_of("tabular"), callbacks=[FrozenWeightsCallback(mask)]).train()
    for name, weight in model.state_dict().items():
        assert torch.equal(weight[mask[name]], before[name][mask[name]])
        assert not torch.equal(weight[~mask[name]], before[name][~mask[name]])


@pytest.mark.parametrize(
    ("trainer_class", "config_class"), [(AdversarialTrainer, AdversarialConfig), (DeMemTrainer, DeMemConfig)]
)
def test_critical_weights_are_rewound_and_frozen_under_adversarial_training(
    trainer_class, config_class, make_args, model_of, data_of
):
    tensors = data_of("tabular", 24)
    data = TensorDataset({name: tensors.column(name) for name in tensors.column_names})
    args = make_args(
        config_class, objective="trades", epsilon=0.05, awp_gamma=0.01, num_train_epochs=2, learning_rate=0.1
    )
    model = model_of("tabular")
    start = state(model)
    rewind = CriticalWeightRewindCallback(reference_dataset=data.subset(range(16, 24)), fraction=0.25)
    trainer = trainer_class(model, args, train_dataset=data.subset(range(16)), callbacks=[rewind])
    trainer.train()  # the callback itself refuses to end where a frozen weight has moved
    back = sum(int((tensor == start[name]).sum()) for name, tensor in model.state_dict().items())
    # Weights of a unit that no example reaches stay as well.
    assert back >= rewind.rewound_["linear"]["marked"] == round(0.25 * (4 * 8 + 8 * 3))
    assert trainer.describe_defense()["name"] == f"{trainer_class.defense_name}+cwrf"
