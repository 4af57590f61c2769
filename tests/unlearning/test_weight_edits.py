"""Unlearners that mark single weights: exactly the marked ones move, by exactly what the formulas say."""

from __future__ import annotations

import copy

import pytest
import torch
from torch.nn import functional as F
from transformers import ResNetConfig, ResNetForImageClassification

from hf_privacy.data import TensorDataset
from hf_privacy.errors import InputError
from hf_privacy.models import TabularMLPConfig, TabularMLPForClassification
from hf_privacy.signals import compute_signals
from hf_privacy.unlearning import (
    FisherConfig,
    FisherTrainer,
    ParameterPerturbationConfig,
    ParameterPerturbationTrainer,
    SalUnConfig,
    SalUnTrainer,
    SSDConfig,
    SSDTrainer,
)


def flat(tensors) -> torch.Tensor:
    return torch.cat([tensor.detach().flatten() for tensor in tensors.values()])


def parameters(model) -> dict[str, torch.Tensor]:
    return {name: parameter.detach().clone() for name, parameter in model.named_parameters()}


def example_gradients(model, dataset, function) -> torch.Tensor:
    """[N, P]: the gradient of ``function(logits, label)`` for each example by itself."""
    rows = []
    for index in range(len(dataset)):
        batch = dataset.__getitems__([index])
        value = function(model(features=batch["features"]).logits, batch["labels"])
        rows.append(torch.cat([g.flatten() for g in torch.autograd.grad(value, list(model.parameters()))]))
    return torch.stack(rows)


# ---- Top-K and Random-k ----


def perturbed(trained, sets, make_args, **arguments):
    args = make_args(ParameterPerturbationConfig, **arguments)
    trainer = ParameterPerturbationTrainer(copy.deepcopy(trained), args, **sets)
    trainer.unlearn()
    return trainer


@pytest.mark.parametrize("edit", ["gaussian", "zero", "reinitialise"])
@pytest.mark.parametrize("selection", ["top_k", "random_k"])
def test_exactly_k_parameters_move_and_the_rest_keep_their_bits(trained, sets, make_args, selection, edit):
    trainer = perturbed(trained, sets, make_args, selection=selection, edit=edit, count=100)
    moved = flat(parameters(trainer.model)) != flat(parameters(trained))
    mask = flat(trainer.mask)
    assert int(mask.sum()) == 100
    assert torch.equal(moved, mask)


def test_top_k_are_the_most_sensitive_on_the_forget_set(trained, sets, make_args):
    trainer = perturbed(trained, sets, make_args, count=50)
    gradients = example_gradients(trained, sets["forget_dataset"], lambda logits, label: logits.square().sum())
    sensitivity = gradients.abs().mean(dim=0)
    mask = flat(trainer.mask)
    assert sensitivity[mask].min() >= sensitivity[~mask].max() * (1 - 1e-5)


def test_per_layer_marks_the_same_number_in_each_tensor(trained, sets, make_args):
    trainer = perturbed(trained, sets, make_args, count=5, scope="layer")
    assert [int(mask.sum()) for mask in trainer.mask.values()] == [5] * 4


def test_the_noise_has_the_size_asked_for_in_units_of_the_layer(trained, sets, make_args):
    trainer = perturbed(trained, sets, make_args, selection="random_k", fraction=0.9, sigma=0.5)
    for name, before in parameters(trained).items():
        if before.numel() < 500:
            continue
        change = (parameters(trainer.model)[name] - before)[trainer.mask[name]]
        assert change.std() / before.std(correction=0) == pytest.approx(0.5, rel=0.1)


def test_repair_epochs_mend_and_the_row_without_them_is_kept(trained, sets, make_args):
    arguments = {"fraction": 0.2, "sigma": 2.0}
    alone = perturbed(trained, sets, make_args, **arguments)
    repaired = perturbed(trained, sets, make_args, **arguments, num_train_epochs=5, learning_rate=0.05)
    accuracy = {
        trainer: float(compute_signals(trainer.model, sets["retain_dataset"])["correct"].mean())
        for trainer in (alone, repaired)
    }
    assert accuracy[repaired] > accuracy[alone] + 0.1
    assert alone.after_edit is None
    assert repaired.after_edit["retain_accuracy"] == pytest.approx(accuracy[alone])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"fraction": 0.1, "count": 5}, "fraction is 0.1 and count 5"),
        ({"fraction": 1.0}, r"fraction is 1.0: pass a number in \(0, 1\)"),
        ({"selection": "top"}, "selection is 'top'"),
        ({"edit": "noise"}, "edit is 'noise'"),
        ({"sigma": 0.0}, "sigma is 0.0"),
    ],
)
def test_bad_settings_are_refused(make_args, arguments, message):
    with pytest.raises(InputError, match=message):
        make_args(ParameterPerturbationConfig, **arguments)


# ---- SalUn ----


@pytest.mark.parametrize("optim", ["sgd", "adamw_torch"])
def test_what_is_not_salient_keeps_its_bits_under_momentum_and_decay(trained, sets, make_args, optim):
    """peers.md: decay and momentum moved SalUn's frozen weights until 2026."""
    args = make_args(
        SalUnConfig, fraction=0.3, num_train_epochs=4, learning_rate=0.01, weight_decay=0.1, momentum=0.9, optim=optim
    )
    trainer = SalUnTrainer(copy.deepcopy(trained), args, **sets)
    trainer.unlearn()
    moved = flat(parameters(trainer.model)) != flat(parameters(trained))
    mask = flat(trainer.mask)
    assert int(mask.sum()) == round(0.3 * len(mask))
    assert not (moved & ~mask).any()
    # a unit that is off for all examples has no gradient, and zero is no weight that decays
    assert moved[mask].float().mean() > 0.9


def test_the_mask_is_the_largest_gradients_of_the_forget_loss(trained, sets, make_args):
    trainer = SalUnTrainer(copy.deepcopy(trained), make_args(SalUnConfig, num_train_epochs=1), **sets)
    trainer.prepare()
    gradient = example_gradients(trained, sets["forget_dataset"], F.cross_entropy).mean(dim=0).abs()
    mask = flat(trainer.mask)
    assert gradient[mask].min() >= gradient[~mask].max() - 1e-7


# ---- SSD ----


def test_ssd_dampens_by_the_ratio_of_the_two_fisher_diagonals(trained, sets, make_args):
    args = make_args(SSDConfig, selection_weight=2.0, dampening=0.7)
    trainer = SSDTrainer(copy.deepcopy(trained), args, **sets)
    trainer.unlearn()
    forget = example_gradients(trained, sets["forget_dataset"], F.cross_entropy).double().square()
    retain = example_gradients(trained, sets["retain_dataset"], F.cross_entropy).double().square()
    own, everywhere = forget.mean(dim=0), torch.cat([forget, retain]).mean(dim=0)
    expected = flat(parameters(trained)).double()
    chosen = own > 2.0 * everywhere
    assert 0 < int(chosen.sum()) < len(chosen)
    expected[chosen] *= (0.7 * everywhere[chosen] / own[chosen]).clamp(max=1.0)
    torch.testing.assert_close(flat(parameters(trainer.model)).double(), expected, rtol=1e-4, atol=1e-7)


def test_ssd_that_selects_nothing_changes_nothing(trained, sets, make_args):
    trainer = SSDTrainer(copy.deepcopy(trained), make_args(SSDConfig, selection_weight=1e6), **sets)
    trainer.unlearn()
    assert torch.equal(flat(parameters(trainer.model)), flat(parameters(trained)))


# ---- Fisher ----


def fisher_deviations(model, information, *, head, alpha, cuts, average_rows, boost) -> torch.Tensor:
    """Golatkar et al.'s ``get_mean_var`` written out weight by weight: what the noise of each has for deviation."""
    deviations, start = [], 0
    for name, value in model.named_parameters():
        own = information[start : start + value.numel()].reshape(len(value), -1)
        start += value.numel()
        variance = (1 / (own + 1e-8)).clamp(max=cuts[1] if name.startswith(head) else cuts[0]) * alpha
        if average_rows and value.ndim > 1:
            variance = torch.stack([torch.full_like(row, row.mean()) for row in variance])
        if name.startswith(head) or value.ndim == 1:
            variance = boost * variance
        deviations.append(variance.sqrt().flatten())
    return torch.cat(deviations)


@pytest.mark.parametrize("form", [{}, {"average_rows": False, "boost": 1.0}])
def test_fisher_noise_has_the_deviation_of_the_formula(trained, sets, make_args, form):
    args = make_args(FisherConfig, alpha=1e-4, largest_inverse=50.0, largest_inverse_head=20.0, **form)
    trainer = FisherTrainer(copy.deepcopy(trained), args, **sets)
    trainer.unlearn()
    information = example_gradients(trained, sets["retain_dataset"], F.cross_entropy).double().square().mean(dim=0)
    settings = {"average_rows": True, "boost": 10.0, **form}
    expected = fisher_deviations(trained, information, head="classifier", alpha=1e-4, cuts=(50.0, 20.0), **settings)
    torch.testing.assert_close(flat(trainer.deviation).double(), expected, rtol=1e-3, atol=1e-9)
    standardised = (flat(parameters(trainer.model)) - flat(parameters(trained))).double() / expected
    assert standardised.std() == pytest.approx(1.0, rel=0.05)
    assert abs(float(standardised.mean())) < 0.05


def test_fisher_takes_for_the_head_what_is_called_so_and_not_what_is_as_wide(make_args, digits):
    """A hidden layer of as many rows as there are classes keeps the larger cut, and no factor."""
    torch.manual_seed(0)
    model = TabularMLPForClassification(TabularMLPConfig(input_size=64, hidden_sizes=[10], num_labels=10))
    sets = {"forget_dataset": digits.subset(range(5)), "retain_dataset": digits.subset(range(5, 30))}
    # No information at all: every variance is its cut.
    args = make_args(FisherConfig, alpha=1.0, largest_inverse=1e-6, largest_inverse_head=1e-8)
    trainer = FisherTrainer(model, args, **sets)
    trainer.unlearn()
    found = {name: float(value.square().flatten()[0]) for name, value in trainer.deviation.items()}
    hidden = next(name for name in found if "classifier" not in name and name.endswith("weight"))
    assert found == pytest.approx(
        {
            hidden: 1e-6,
            hidden.replace("weight", "bias"): 1e-5,
            "classifier.weight": 1e-7,
            "classifier.bias": 1e-7,
        },
        rel=1e-5,
    )


def test_fisher_averages_a_kernels_inputs_at_each_of_its_places(make_args):
    """As the authors' code: ``var.mean(dim=1)``, which for a convolution is over its input channels."""
    torch.manual_seed(0)
    sizes = {"num_channels": 3, "embedding_size": 4, "hidden_sizes": [4], "depths": [1], "num_labels": 3}
    model = ResNetForImageClassification(ResNetConfig(layer_type="basic", **sizes))
    data = TensorDataset({"pixel_values": torch.randn(8, 3, 8, 8), "labels": torch.arange(8) % 3})
    sets = {"forget_dataset": data.subset(range(3)), "retain_dataset": data.subset(range(3, 8))}
    trainers = {}
    for average_rows in (True, False):
        args = make_args(FisherConfig, average_rows=average_rows)
        trainers[average_rows] = FisherTrainer(copy.deepcopy(model), args, **sets)
        trainers[average_rows].prepare()
    kernels = {name for name, value in trainers[True].deviation.items() if value.ndim == 4}
    assert kernels
    for name in kernels:
        own = trainers[False].deviation[name].square()
        mean = sum(own[:, channel] for channel in range(own.shape[1])) / own.shape[1]
        for channel in range(own.shape[1]):
            torch.testing.assert_close(trainers[True].deviation[name][:, channel].square(), mean)


@pytest.mark.parametrize("method", [FisherTrainer, ParameterPerturbationTrainer])
def test_another_seed_draws_another_noise(trained, sets, make_args, method):
    ends = []
    for seed in (1, 2):
        trainer = method(copy.deepcopy(trained), make_args(method.config_class, seed=seed), **sets)
        trainer.unlearn()
        ends.append(flat(parameters(trainer.model)))
    assert not torch.equal(*ends)
