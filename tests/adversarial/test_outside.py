"""Attacks of other libraries: what they see of a model, what they leave behind, and that they stay in the ball."""

from __future__ import annotations

import logging
import math
import re
import sys

import foolbox
import pyautoattack
import pytest
import torch
from peft import LoraConfig, get_peft_model
from sklearn.datasets import load_digits
from torch import nn
from transformers import ViTConfig, ViTForImageClassification
from transformers.modeling_outputs import ImageClassifierOutput

from hf_privacy.adversarial import (
    PGD,
    AdversarialInputs,
    AutoAttack,
    EmbeddingSpace,
    FeatureSpace,
    FoolboxAttack,
    PixelSpace,
    autoattack,
    logits_model,
)
from hf_privacy.errors import InputError
from hf_privacy.models import load_model

SPACE = PixelSpace(mean=(0.3,), std=(0.5,))
EPSILON = {"linf": 0.2, "l2": 0.8}


class SmallConvolution(nn.Module):
    """Dropout and batch normalisation in it, so that the mode shows."""

    def __init__(self, n_classes: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(1, 8, 3, padding=1),
            nn.BatchNorm2d(8),
            nn.ReLU(),
            nn.AvgPool2d(2),
            nn.Flatten(),
            nn.Dropout(0.1),
            nn.Linear(128, n_classes),
        )

    def forward(self, pixel_values: torch.Tensor) -> ImageClassifierOutput:
        return ImageClassifierOutput(logits=self.layers(pixel_values))


def trained_on_digits(n_classes: int = 5) -> tuple[SmallConvolution, dict[str, torch.Tensor], torch.Tensor]:
    """A model in training mode for the first so many digits, and images it has not seen."""
    images, digits = load_digits(n_class=n_classes, return_X_y=True)
    pixels = torch.tensor(images / 16, dtype=torch.float32).reshape(-1, 1, 8, 8)
    inputs, labels = (pixels - 0.3) / 0.5, torch.tensor(digits)
    torch.manual_seed(0)
    model = SmallConvolution(n_classes)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    for _ in range(60):
        rows = torch.randint(len(labels) - 60, (50,))
        loss = nn.functional.cross_entropy(model(inputs[rows]).logits, labels[rows])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return model, {"pixel_values": inputs[-60:]}, labels[-60:]


@pytest.fixture(scope="module")
def digits():
    return trained_on_digits()


def part(digits, n):
    model, inputs, labels = digits
    return model, {"pixel_values": inputs["pixel_values"][:n]}, labels[:n]


def is_correct(model, inputs, labels):
    modes = [module.training for module in model.modules()]
    with torch.no_grad():
        correct = model.eval()(**inputs).logits.argmax(dim=1) == labels
    for module, training in zip(model.modules(), modes, strict=True):
        module.training = training
    return correct


def distance(first, second, norm):
    return torch.linalg.vector_norm((first - second).flatten(1), ord=math.inf if norm == "linf" else 2, dim=1)


# ---- the adapter ----

TINY_VIT = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}


def tiny_vit() -> ViTForImageClassification:
    return ViTForImageClassification(ViTConfig(image_size=8, patch_size=4, num_channels=1, num_labels=3, **TINY_VIT))


def tiny_timm() -> nn.Module:
    sizes = {"img_size": 8, "patch_size": 4, "embed_dim": 16, "depth": 1, "num_heads": 2, "in_chans": 1}
    options = {"task": "image-classification", "num_labels": 3, "from_scratch": True, "seed": 0}
    return load_model("timm:vit_tiny_patch16_224", model_kwargs=sizes, **options)


def tiny_lora() -> nn.Module:
    return get_peft_model(
        tiny_vit(), LoraConfig(r=2, target_modules=["q_proj", "v_proj"], modules_to_save=["classifier"])
    )


@pytest.mark.parametrize("make", [tiny_vit, tiny_timm, tiny_lora])
def test_any_classifier_is_a_module_from_pixels_to_logits(make):
    model = make().train()
    pixels = torch.rand(4, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    with logits_model(model, SPACE) as network:
        assert not network.training
        assert next(network.parameters()) is not None  # torchattacks and others ask it for the device
        points = pixels.clone().requires_grad_()
        logits = network(points)
        (gradient,) = torch.autograd.grad(logits.sum(), points)
    expected = model.eval()(pixel_values=(pixels - 0.3) / 0.5).logits
    torch.testing.assert_close(logits, expected)
    assert gradient.abs().sum() > 0
    found = AutoAttack(SPACE, 0.05, attacks=["apgd-ce"]).points(
        model, {"pixel_values": (pixels - 0.3) / 0.5}, expected.argmax(dim=1)
    )
    assert found.shape == pixels.shape


def test_low_precision_weights_are_attacked_in_float32_and_kept(digits):
    model, inputs, labels = part(trained_on_digits(), 4)
    model.to(torch.bfloat16)
    with logits_model(model, SPACE) as network:
        assert network(torch.rand(2, 1, 8, 8)).dtype == torch.float32
    AutoAttack(SPACE, 0.05, attacks=["apgd-ce"]).points(model, inputs, labels)
    assert {parameter.dtype for parameter in model.parameters()} == {torch.bfloat16}


def test_token_models_and_further_inputs_are_refused(digits):
    model, inputs, labels = part(digits, 2)
    with (
        pytest.raises(InputError, match="space is EmbeddingSpace: outside attacks take pixels or features"),
        logits_model(model, EmbeddingSpace()),
    ):
        pass
    with pytest.raises(InputError, match="space is EmbeddingSpace: AutoAttack moves pixels alone"):
        AutoAttack(EmbeddingSpace(), 0.1)
    further = {**inputs, "pixel_mask": torch.ones(2)}
    for attack in (AutoAttack(SPACE, 0.1), FoolboxAttack(SPACE, foolbox.attacks.LinfPGD(), 0.1)):
        with pytest.raises(InputError, match="inputs has pixel_mask beside pixel_values"):
            attack(model, further, labels)


# ---- AutoAttack ----


@pytest.fixture(scope="module", params=["linf", "l2"])
def attacked(request, digits):
    """Twenty digits under the standard version, and what it found."""
    model, inputs, labels = part(digits, 20)
    norm = request.param
    attack = AutoAttack(SPACE, EPSILON[norm], norm, n_queries=500)
    return norm, attack.points(model, inputs, labels)


def test_autoattack_stays_in_the_ball_and_in_the_pixels(digits, attacked):
    model, inputs, _ = part(digits, 20)
    norm, points = attacked
    clean = SPACE.points(model, inputs)
    assert distance(points, clean, norm).max() <= EPSILON[norm] * (1 + 1e-5)
    assert 0 <= points.min() <= points.max() <= 1
    assert not points.requires_grad


def test_autoattack_moves_exactly_the_examples_that_it_turns(digits, attacked):
    model, inputs, labels = part(digits, 20)
    norm, points = attacked
    moved = distance(points, SPACE.points(model, inputs), norm) > 0
    clean, robust = is_correct(model, inputs, labels), is_correct(model, SPACE.inputs(points, inputs), labels)
    assert torch.equal(moved, clean & ~robust)
    assert 0 < int(moved.sum()) < int(clean.sum())


def test_autoattack_finds_at_least_what_pgd_20_finds(digits, attacked):
    model, inputs, labels = part(digits, 20)
    norm, points = attacked
    pgd = AdversarialInputs(SPACE, PGD(EPSILON[norm], norm=norm))
    under_pgd = is_correct(model, pgd(model, inputs, labels), labels)
    assert is_correct(model, SPACE.inputs(points, inputs), labels).sum() <= under_pgd.sum()


def test_autoattack_finds_what_the_librarys_own_evaluation_finds():
    model, inputs, labels = part(trained_on_digits(4), 20)
    points = autoattack(model, inputs, labels, space=SPACE, epsilon=0.2, n_queries=50, seed=3)
    with logits_model(model, SPACE) as network:
        library = pyautoattack.AutoAttack(network, eps=0.2, norm="Linf", seed=3)
        library.square.n_queries = 50
        library.apgd_targeted.n_target_classes = library.fab.n_target_classes = 3
        expected, _ = library.run_standard_evaluation(SPACE.points(model, inputs), labels, batch_size=20)
    torch.testing.assert_close(points, expected, rtol=0, atol=0)


@pytest.mark.parametrize("name", ["apgd-ce", "apgd-dlr", "apgd-t", "fab", "fab-t", "square"])
@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_each_attack_runs_alone(digits, norm, name):
    model, inputs, labels = part(digits, 20)
    points = AutoAttack(SPACE, EPSILON[norm], norm, attacks=[name], n_queries=100).points(model, inputs, labels)
    assert distance(points, SPACE.points(model, inputs), norm).max() <= EPSILON[norm] * (1 + 1e-5)
    alone = is_correct(model, SPACE.inputs(points, inputs), labels)
    assert alone.sum() < is_correct(model, inputs, labels).sum()


def test_the_call_gives_what_to_call_the_model_with(digits):
    model, inputs, labels = part(digits, 4)
    attack = AutoAttack(SPACE, 0.1, attacks=["apgd-ce"])
    expected = SPACE.inputs(attack.points(model, inputs, labels), inputs)
    assert torch.equal(attack(model, {**inputs, "labels": labels}, labels)["pixel_values"], expected["pixel_values"])


def test_without_radius_nothing_moves(digits):
    model, inputs, labels = part(digits, 4)
    points = AutoAttack(SPACE, 0.0).points(model, inputs, labels)
    assert torch.equal(points, SPACE.points(model, inputs))


@pytest.mark.parametrize(
    ("n_classes", "attacks"),
    [
        (2, ("apgd-ce", "fab-t", "square")),
        (3, ("apgd-ce", "apgd-dlr", "fab-t", "square")),
        (4, ("apgd-ce", "apgd-t", "fab-t", "square")),
    ],
)
def test_library_trap_few_classes_are_attacked_as_far_as_the_losses_go(n_classes, attacks):
    model, inputs, labels = part(trained_on_digits(n_classes), 6)
    attack = AutoAttack(SPACE, 0.4, n_queries=50)
    assert attack.attacks_on(n_classes) == attacks
    points = attack.points(model, inputs, labels)  # the library itself fails with 9 targets
    correct = is_correct(model, SPACE.inputs(points, inputs), labels)
    assert correct.sum() < is_correct(model, inputs, labels).sum()


def test_an_attack_asked_for_by_name_is_never_replaced():
    attack = AutoAttack(SPACE, 0.1, attacks=["apgd-ce", "apgd-t"])
    assert attack.attacks_on(4) == ("apgd-ce", "apgd-t")
    with pytest.raises(InputError, match="attacks has 'apgd-t' and the model 3 classes: its loss needs 4"):
        attack.attacks_on(3)


def test_plus_with_few_classes_runs_no_attack_twice():
    assert AutoAttack(SPACE, 0.1, version="plus").attacks_on(3) == ("apgd-ce", "apgd-dlr", "fab", "square", "fab-t")


# ---- what is left behind ----


def state_of(model):
    return [
        [module.training for module in model.modules()],
        [parameter.requires_grad for parameter in model.parameters()],
        [tensor.clone() for tensor in model.state_dict().values()],
        [None if parameter.grad is None else parameter.grad.clone() for parameter in model.parameters()],
    ]


OUTSIDE = {
    "autoattack": lambda: AutoAttack(SPACE, 0.1, attacks=["apgd-ce", "fab", "square"], n_queries=20),
    "foolbox": lambda: FoolboxAttack(SPACE, foolbox.attacks.LinfPGD(steps=3), 0.1),
}


@pytest.mark.parametrize("name", OUTSIDE)
def test_library_trap_backward_passes_leave_modes_weights_and_gradients_alone(name):
    model, inputs, labels = part(trained_on_digits(), 10)  # FAB and foolbox call backward()
    model.layers[1].eval()  # frozen statistics stay frozen
    model.layers[0].weight.requires_grad_(False)
    before = state_of(model)
    OUTSIDE[name]().points(model, inputs, labels)
    after = state_of(model)
    assert before[:2] == after[:2]
    for old, new in zip(before[2] + before[3], after[2] + after[3], strict=True):
        assert (old is None) == (new is None)
        assert old is None or torch.equal(old, new)
    assert any(gradient is not None for gradient in after[3])


@pytest.mark.parametrize("name", OUTSIDE)
def test_library_trap_global_generators_are_not_reseeded(name, digits):
    import numpy as np

    model, inputs, labels = part(digits, 10)
    torch.manual_seed(7)
    np.random.seed(7)
    expected = torch.rand(3), np.random.rand(3)
    torch.manual_seed(7)
    np.random.seed(7)
    first = OUTSIDE[name]().points(model, inputs, labels)
    assert torch.equal(torch.rand(3), expected[0])
    assert (np.random.rand(3) == expected[1]).all()
    assert torch.equal(OUTSIDE[name]().points(model, inputs, labels), first)  # the seed alone decides


def test_library_trap_nothing_is_printed_logged_or_traced(digits, capfd, caplog):
    model, inputs, labels = part(digits, 10)
    tracer = sys.gettrace()
    sys.settrace(lambda *_: None)
    try:
        with caplog.at_level(logging.DEBUG):
            AutoAttack(SPACE, 0.1, attacks=["apgd-dlr", "square"], n_queries=5).points(model, inputs, labels)
        assert sys.gettrace() is not None  # the library's own evaluation ends a debugger's tracing
    finally:
        sys.settrace(tracer)
    assert capfd.readouterr() == ("", "")
    assert not [record for record in caplog.records if record.name == "auto-attack"]
    assert not logging.getLogger("auto-attack").disabled


def test_a_caller_in_inference_mode_is_served(digits):
    model, inputs, labels = part(digits, 4)
    attack = AutoAttack(SPACE, 0.1, attacks=["apgd-ce"])
    with torch.inference_mode():
        inside = attack.points(model, inputs, labels)
    assert torch.equal(inside, attack.points(model, inputs, labels))


def test_settings_are_described_in_plain_values():
    space = {"name": "pixels", "mean": [0.3], "std": [0.5]}
    assert AutoAttack(SPACE, 0.1, "l2", attacks=["square"], n_queries=10, seed=2).describe() == {
        "name": "autoattack",
        "version": "custom",
        "attacks": ["square"],
        "epsilon": 0.1,
        "norm": "l2",
        "n_queries": 10,
        "space": space,
        "seed": 2,
    }
    facts = AutoAttack(SPACE, 0.1).describe()
    assert (facts["version"], facts["attacks"]) == ("standard", ["apgd-ce", "apgd-t", "fab-t", "square"])
    facts = FoolboxAttack(SPACE, foolbox.attacks.LinfPGD(steps=3), 0.1).describe()
    assert (facts["space"], facts["epsilon"]) == (space, 0.1)
    assert facts["attack"].startswith("LinfProjectedGradientDescentAttack(")


# ---- foolbox ----


@pytest.mark.parametrize(
    ("attack", "norm"),
    [
        (foolbox.attacks.LinfPGD(steps=20), "linf"),
        (foolbox.attacks.L2PGD(steps=20), "l2"),
        (foolbox.attacks.L2DeepFoolAttack(), "l2"),
    ],
    ids=["linf_pgd", "l2_pgd", "deepfool"],
)
def test_an_attack_of_foolbox_stays_in_the_ball_and_turns_examples(digits, attack, norm):
    model, inputs, labels = part(digits, 20)
    points = FoolboxAttack(SPACE, attack, EPSILON[norm]).points(model, inputs, labels)
    assert distance(points, SPACE.points(model, inputs), norm).max() <= EPSILON[norm] * (1 + 1e-5)
    assert 0 <= points.min() <= points.max() <= 1
    robust = is_correct(model, SPACE.inputs(points, inputs), labels)
    assert robust.sum() < is_correct(model, inputs, labels).sum()


def test_foolbox_attacks_features_within_their_bounds():
    from hf_privacy.models import TabularMLPConfig, TabularMLPForClassification

    model = TabularMLPForClassification(TabularMLPConfig(input_size=2, hidden_sizes=[], num_labels=2))
    with torch.no_grad():
        model.classifier.weight.copy_(torch.tensor([[1.0, 0.0], [-1.0, 0.0]]))
        model.classifier.bias.copy_(torch.tensor([0.0, 0.0]))
    space = FeatureSpace(low=-1.0, high=1.0)
    inputs = {"features": torch.tensor([[0.9, 0.0], [0.2, 0.5]])}
    attack = FoolboxAttack(space, foolbox.attacks.LinfPGD(steps=20, rel_stepsize=0.1), 0.4)
    moved = attack(model, inputs, torch.tensor([0, 0]))["features"]
    torch.testing.assert_close(moved[:, 0], torch.tensor([0.5, -0.2]))
    assert model(features=moved).logits.argmax(dim=1).tolist() == [0, 1]


# ---- bad input ----


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"epsilon": 8}, "epsilon is 8 and pixels go from 0 to 1"),
        ({"epsilon": -0.1}, "epsilon is -0.1"),
        ({"epsilon": float("nan")}, "epsilon is nan"),
        ({"norm": "l1"}, "norm is 'l1': pass 'linf' or 'l2'"),
        ({"version": "fast"}, "version is 'fast': pass 'standard' or 'plus' or 'rand' or 'apgd'"),
        ({"attacks": "square"}, "attacks is 'square': pass a list of some of apgd-ce"),
        ({"attacks": ["pgd"]}, "attacks is ['pgd']: pass a list of some of apgd-ce"),
        ({"attacks": []}, "attacks is []: pass a list"),
        ({"attacks": ["square"], "version": "rand"}, "and version 'rand': pass one of them"),
        ({"n_queries": 0}, "n_queries is 0"),
        ({"seed": -1}, "seed is -1"),
        ({"space": FeatureSpace()}, "space is FeatureSpace: AutoAttack moves pixels alone"),
    ],
    ids=str,
)
def test_bad_settings_are_refused_before_any_attack(settings, message):
    with pytest.raises(InputError, match=re.escape(message)) as refused:
        AutoAttack(**{"space": SPACE, "epsilon": 0.1, **settings})
    assert "\n" not in str(refused.value)


def test_bad_batches_are_refused(digits):
    model, inputs, labels = part(digits, 4)
    attack = AutoAttack(SPACE, 0.1)
    with pytest.raises(InputError, match="labels has shape"):
        attack(model, inputs, labels + 10)
    with pytest.raises(InputError, match="labels has shape"):
        attack(model, inputs, labels[:2])
    with pytest.raises(InputError, match="inputs has input_ids beside pixel_values"):
        attack(model, {"input_ids": torch.ones(4, 3, dtype=torch.long)}, labels)
    small = {"pixel_values": torch.zeros(4, 1, 4, 4)}
    with pytest.raises(InputError, match="Square under L2 needs 5 × 5"):
        AutoAttack(SPACE, 0.1, "l2")(Constant(), small, torch.zeros(4, dtype=torch.long))
    broken = Constant(float("nan"))
    with pytest.raises(InputError, match="logits has NaN"):
        attack(broken, inputs, torch.zeros(4, dtype=torch.long))


class Constant(nn.Module):
    def __init__(self, value: float = 1.0) -> None:
        super().__init__()
        self.value = nn.Parameter(torch.tensor(value))

    def forward(self, pixel_values: torch.Tensor) -> ImageClassifierOutput:
        level = pixel_values.flatten(1).sum(dim=1, keepdim=True)
        return ImageClassifierOutput(logits=torch.cat([self.value + 0 * level, 0 * level], dim=1))


def test_foolbox_refuses_what_it_cannot_attack():
    with pytest.raises(InputError, match="attack is 'pgd': pass an attack of foolbox"):
        FoolboxAttack(SPACE, "pgd", 0.1)
    with pytest.raises(InputError, match="foolbox needs both"):
        FoolboxAttack(FeatureSpace(low=0.0), foolbox.attacks.LinfPGD(), 0.1)
    with pytest.raises(InputError, match="epsilon is -1"):
        FoolboxAttack(SPACE, foolbox.attacks.LinfPGD(), -1)


@pytest.mark.parametrize("library", ["pyautoattack", "foolbox"])
def test_a_missing_extra_is_named(library, monkeypatch):
    attack = foolbox.attacks.LinfPGD()
    for name in [name for name in sys.modules if name.split(".")[0] == library]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, library, None)
    message = rf'needs {library} \(.*\): pip install "hf-privacy\[robust\]"'
    with pytest.raises(InputError, match=message):
        AutoAttack(SPACE, 0.1) if library == "pyautoattack" else FoolboxAttack(SPACE, attack, 0.1)
