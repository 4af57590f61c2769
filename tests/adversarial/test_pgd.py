"""Projected gradient descent: where its points lie, how good they are, and what it leaves untouched."""

from __future__ import annotations

import itertools

import pytest
import torch
from torch import nn

from hf_privacy.adversarial import PGD, EmbeddingSpace, FeatureSpace, PixelSpace, pgd
from hf_privacy.adversarial.attack_loss import attack_loss
from hf_privacy.adversarial.ball import uniform_in_ball
from hf_privacy.errors import InputError
from hf_privacy.models import TabularMLPConfig, TabularMLPForClassification

ORDER = {"linf": torch.inf, "l2": 2}
EVERY_MODEL = ["resnet", "vit", "timm", "tabular", "bert", "roberta", "distilbert", "gpt2", "lora-bert", "lora-vit"]


def attacked(model, batch, attack, **options):
    options.setdefault("generator", torch.Generator().manual_seed(3))
    return pgd(model, batch.inputs, batch.labels, space=batch.space, attack=attack, **options)


def sizes(points, batch, model, norm):
    """Distance of each point from its example."""
    return (points - batch.space.points(model, batch.inputs)).flatten(1).norm(p=ORDER[norm], dim=1)


def losses(model, points, batch, loss="cross_entropy"):
    model.eval()
    with torch.no_grad():
        clean = model(**batch.inputs).logits
        logits = model(**batch.space.inputs(points, batch.inputs)).logits
    return attack_loss(logits, batch.labels, loss=loss, clean_logits=clean)


@pytest.fixture
def linear():
    """Logits W·x of three classes over four features, with six examples."""
    generator = torch.Generator().manual_seed(0)
    model = TabularMLPForClassification(TabularMLPConfig(input_size=4, hidden_sizes=[], num_labels=3))
    with torch.no_grad():
        model.classifier.weight.copy_(torch.randn(3, 4, generator=generator))
        model.classifier.bias.zero_()
    features = torch.rand(6, 4, generator=generator)
    return model, features, torch.tensor([0, 1, 2, 0, 1, 2])


# Where the points lie


@pytest.mark.parametrize("norm", ["linf", "l2"])
@pytest.mark.parametrize("name", EVERY_MODEL)
def test_points_of_every_model_stay_in_the_ball_and_in_bounds(model_of, batch_of, name, norm):
    model, batch = model_of(name), batch_of(name)
    attack = PGD(0.3, norm=norm, n_steps=4, step_size=0.2)
    points = attacked(model, batch, attack)
    distance = sizes(points, batch, model, norm)
    assert (distance <= 0.3 + 1e-6).all()
    assert (distance > 0.1).all()
    assert points.dtype == torch.float32
    assert not points.requires_grad
    low, high = batch.space.bounds
    if low is not None:
        assert points.min() >= low
        assert points.max() <= high
    assert losses(model, points, batch).mean() > losses(model, batch.space.points(model, batch.inputs), batch).mean()


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_a_ball_beyond_the_pixels_ends_at_black_and_white_exactly(model_of, norm):
    space = PixelSpace((0.485,), (0.229,))
    pixels = torch.tensor([0.0, 1.0, 1 / 255, 254 / 255]).repeat(16).reshape(1, 1, 8, 8)
    model, inputs = model_of("resnet"), space.inputs(pixels, {})
    points = pgd(model, inputs, torch.tensor([1]), space=space, attack=PGD(0.05, norm=norm, step_size=0.05))
    assert points.min() == 0
    assert points.max() == 1
    assert (points - pixels).abs().max() <= 0.05 + 1e-6


def test_steps_larger_than_the_ball_are_brought_back_onto_its_surface(linear):
    model, features, labels = linear
    for norm in ORDER:
        attack = PGD(0.1, norm=norm, n_steps=3, step_size=10.0)
        points = pgd(model, {"features": features}, labels, space=FeatureSpace(), attack=attack)
        distance = (points - features).norm(p=ORDER[norm], dim=1)
        torch.testing.assert_close(distance, torch.full((6,), 0.1), rtol=0, atol=1e-6)


@pytest.mark.parametrize("name", ["resnet", "tabular", "bert"])
def test_a_ball_of_radius_zero_is_the_example_itself(model_of, batch_of, name):
    model, batch = model_of(name), batch_of(name)
    for loss in ("cross_entropy", "cw", "kl"):
        assert torch.equal(attacked(model, batch, PGD(0, loss=loss)), batch.space.points(model, batch.inputs))


@pytest.mark.parametrize("norm", ["linf", "l2"])
@pytest.mark.parametrize("name", ["bert", "gpt2"])
def test_padding_never_moves_and_every_other_token_does(model_of, batch_of, name, norm):
    model, batch = model_of(name), batch_of(name)
    moved = (attacked(model, batch, PGD(0.5, norm=norm, n_steps=3)) - batch.space.points(model, batch.inputs)) != 0
    assert torch.equal(moved.any(dim=2), batch.inputs["attention_mask"].bool())


def test_an_empty_batch_has_no_points(model_of):
    inputs, labels = {"features": torch.zeros(0, 6)}, torch.zeros(0, dtype=torch.int64)
    assert pgd(model_of("tabular"), inputs, labels, space=FeatureSpace(), attack=PGD(0.1)).shape == (0, 6)


# How good they are


@pytest.mark.parametrize(("norm", "dual"), [("linf", 1), ("l2", 2)])
def test_a_linear_model_of_two_classes_is_attacked_to_its_optimum(norm, dual):
    """The margin z_1 − z_0 = w·x rises by ε‖w‖ in the dual norm and no more."""
    torch.manual_seed(0)
    model = TabularMLPForClassification(TabularMLPConfig(input_size=7, hidden_sizes=[], num_labels=2))
    weight = (model.classifier.weight[1] - model.classifier.weight[0]).detach()
    features, labels = torch.rand(5, 7), torch.zeros(5, dtype=torch.int64)
    for loss in ("cross_entropy", "cw"):
        attack = PGD(0.25, norm=norm, n_steps=30, step_size=0.1, loss=loss)
        points = pgd(model, {"features": features}, labels, space=FeatureSpace(), attack=attack)
        torch.testing.assert_close((points - features) @ weight, (0.25 * weight.norm(p=dual)).expand(5))


def test_one_step_from_the_example_is_the_fast_gradient_sign(linear):
    """The gradient of a softmax-linear model is Wᵀ(p − e_y)."""
    model, features, labels = linear
    weight = model.classifier.weight.detach()
    probabilities = (features @ weight.T).softmax(dim=1)
    expected = features + 0.1 * ((probabilities - torch.eye(3)[labels]) @ weight).sign()
    attack = PGD(0.1, n_steps=1, step_size=0.1, random_start=False)
    points = pgd(model, {"features": features}, labels, space=FeatureSpace(), attack=attack)
    torch.testing.assert_close(points, expected)


def test_cw_moves_a_linear_model_towards_the_best_other_class(linear):
    model, features, labels = linear
    weight = model.classifier.weight.detach()
    others = (features @ weight.T).scatter(1, labels[:, None], -torch.inf).argmax(dim=1)
    direction = weight[others] - weight[labels]
    attack = PGD(1e-3, norm="l2", n_steps=1, step_size=1e-3, random_start=False, loss="cw")
    points = pgd(model, {"features": features}, labels, space=FeatureSpace(), attack=attack)
    expected = 1e-3 * direction / direction.norm(dim=1, keepdim=True)
    torch.testing.assert_close(points - features, expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize("given", [False, True])
def test_kl_moves_away_from_what_the_model_says_of_the_example_whatever_the_label(linear, given):
    model, features, labels = linear
    inputs, attack = {"features": features}, PGD(0.5, n_steps=10, loss="kl")
    clean = model(**inputs).logits.detach()
    options = {"clean_logits": clean} if given else {}
    start = uniform_in_ball(features, epsilon=0.5, norm="linf", generator=torch.Generator().manual_seed(0))
    options |= {"space": FeatureSpace(), "attack": attack, "start_noise": start}
    points = pgd(model, inputs, labels, **options)
    assert torch.equal(points, pgd(model, inputs, labels.roll(1), **options))
    kl = {
        name: attack_loss(model(features=x).logits, labels, loss="kl", clean_logits=clean)
        for name, x in {"points": points, "start": features + start}.items()
    }
    assert (kl["points"] > kl["start"]).all()


@pytest.mark.parametrize(("norm", "epsilon"), [("linf", 0.15), ("l2", 1.0)])
@pytest.mark.parametrize("loss", ["cross_entropy", "cw", "kl"])
def test_the_attack_beats_random_noise_of_the_same_norm(digits, accuracy, norm, epsilon, loss):
    clean = digits.space.points(digits.model, digits.inputs)
    noise = uniform_in_ball(clean, epsilon=epsilon, norm=norm, generator=torch.Generator().manual_seed(0))
    length = noise.flatten(1).norm(p=ORDER[norm], dim=1).reshape(-1, 1, 1, 1)
    noise = epsilon * (noise.sign() if norm == "linf" else noise / length)  # all at the edge of the ball
    noisy = (clean + noise).clamp(0, 1)
    points = attacked(digits.model, digits, PGD(epsilon, norm=norm, n_steps=10, loss=loss))
    assert accuracy(digits.model, clean, digits) > 0.9
    assert accuracy(digits.model, points, digits) < accuracy(digits.model, noisy, digits) - 0.2
    higher = losses(digits.model, points, digits, loss) > losses(digits.model, noisy, digits, loss)
    assert higher.float().mean() > 0.9


@pytest.mark.parametrize(
    ("norm", "epsilon", "loss"), [("linf", 0.1, "cross_entropy"), ("l2", 0.6, "cross_entropy"), ("linf", 0.1, "cw")]
)
def test_accuracy_under_attack_agrees_with_foolbox_within_a_point(digits, accuracy, norm, epsilon, loss):
    foolbox = pytest.importorskip("foolbox")

    class FromPixels(nn.Module):
        def forward(self, pixels):
            return digits.model(**digits.space.inputs(pixels, {})).logits

    theirs = {"linf": foolbox.attacks.LinfPGD, "l2": foolbox.attacks.L2PGD}[norm]
    theirs = theirs(abs_stepsize=epsilon / 8, steps=20, random_start=False)
    if loss == "cw":
        labels = digits.labels
        theirs.get_loss_fn = lambda model, _: lambda x: _sum(attack_loss(model(x).raw, labels, loss="cw"))
    outside = foolbox.PyTorchModel(FromPixels().eval(), bounds=(0, 1))
    clean = digits.space.points(digits.model, digits.inputs)
    ours = attacked(
        digits.model, digits, PGD(epsilon, norm=norm, n_steps=20, step_size=epsilon / 8, random_start=False, loss=loss)
    )
    their_points = theirs.run(outside, clean, foolbox.criteria.Misclassification(digits.labels), epsilon=epsilon)
    assert 0.05 < accuracy(digits.model, ours, digits) < 0.9
    assert accuracy(digits.model, ours, digits) == pytest.approx(
        accuracy(digits.model, their_points, digits), abs=0.01
    )


def _sum(values):
    import eagerpy

    return eagerpy.astensor(values).sum()


def test_more_steps_and_larger_balls_leave_less_accuracy(digits, accuracy):
    def under(epsilon, n_steps):
        return accuracy(
            digits.model, attacked(digits.model, digits, PGD(epsilon, n_steps=n_steps, step_size=0.02)), digits
        )

    assert under(0.05, 10) > under(0.1, 10) > under(0.2, 10)
    assert under(0.1, 1) > under(0.1, 10)


def test_the_best_point_visited_is_never_better_classified_than_the_last(digits):
    attack = PGD(0.1, n_steps=5, step_size=0.05)
    last = attacked(digits.model, digits, attack)
    best = attacked(digits.model, digits, attack, keep_best=True)
    wrong_last, wrong_best = (losses(digits.model, points, digits, "cw") > 0 for points in (last, best))
    assert (wrong_best | ~wrong_last).all()
    same = wrong_best == wrong_last
    gain = losses(digits.model, best, digits) - losses(digits.model, last, digits)
    assert (gain[same] >= -1e-5).all()
    assert (gain > 1e-3).any()


def test_restarts_keep_the_worst_of_their_last_points_example_by_example(digits):
    attack = PGD(0.1, n_steps=2)
    clean = digits.space.points(digits.model, digits.inputs)
    generator = torch.Generator().manual_seed(0)
    noise = torch.stack([uniform_in_ball(clean, epsilon=0.1, norm="linf", generator=generator) for _ in range(3)])
    each = [attacked(digits.model, digits, attack, start_noise=start) for start in noise]
    together = attacked(digits.model, digits, PGD(0.1, n_steps=2, n_restarts=3), start_noise=noise)
    wrong = torch.stack([losses(digits.model, points, digits, "cw") > 0 for points in each])
    assert torch.equal(losses(digits.model, together, digits, "cw") > 0, wrong.any(dim=0))
    none_wrong = ~wrong.any(dim=0)
    highest = torch.stack([losses(digits.model, points, digits) for points in each]).amax(dim=0)
    torch.testing.assert_close(losses(digits.model, together, digits)[none_wrong], highest[none_wrong])


# What it leaves untouched


@pytest.mark.parametrize("loss", ["cross_entropy", "kl"])
@pytest.mark.parametrize("name", EVERY_MODEL)
def test_modes_gradients_flags_buffers_and_random_state_are_left_as_they_were(model_of, batch_of, name, loss):
    model, batch = model_of(name), batch_of(name)
    modules = list(model.modules())
    modules[-1].eval()  # one frozen part
    parameters = dict(model.named_parameters())
    first = next(parameter for parameter in parameters.values() if parameter.requires_grad)
    first.grad = torch.ones_like(first)
    next(iter(parameters.values())).requires_grad_(False)
    modes = [module.training for module in modules]
    flags = {key: parameter.requires_grad for key, parameter in parameters.items()}
    state = {key: tensor.clone() for key, tensor in model.state_dict().items()}
    inputs = {key: tensor.clone() for key, tensor in batch.inputs.items()}
    random_state = torch.get_rng_state()

    attacked(model, batch, PGD(0.1, n_steps=2, loss=loss))

    assert [module.training for module in modules] == modes
    assert {key: parameter.requires_grad for key, parameter in parameters.items()} == flags
    assert all(torch.equal(tensor, state[key]) for key, tensor in model.state_dict().items())
    assert all((parameter.grad is None) == (parameter is not first) for parameter in parameters.values())
    assert (first.grad == 1).all()
    assert torch.equal(torch.get_rng_state(), random_state)
    assert all(torch.equal(tensor, inputs[key]) for key, tensor in batch.inputs.items())


def test_modes_are_restored_after_an_error_inside_the_attack(model_of):
    model = model_of("tabular")
    with pytest.raises(RuntimeError):
        pgd(model, {"features": torch.rand(2, 5)}, torch.tensor([0, 1]), space=FeatureSpace(), attack=PGD(0.1))
    assert all(module.training for module in model.modules())


def test_dropout_and_batch_statistics_play_no_part_in_the_attack(model_of, batch_of):
    for name in ("vit", "resnet"):
        model, batch = model_of(name), batch_of(name)
        training = attacked(model.train(), batch, PGD(0.1, n_steps=3))
        assert torch.equal(training, attacked(model.eval(), batch, PGD(0.1, n_steps=3)))


def test_a_model_with_every_parameter_frozen_is_attacked_alike(model_of, batch_of):
    model, batch = model_of("resnet"), batch_of("resnet")
    trainable = attacked(model, batch, PGD(0.1))
    assert torch.equal(attacked(model.requires_grad_(False), batch, PGD(0.1)), trainable)


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
def test_the_caller_may_be_without_gradients(model_of, batch_of, mode):
    model, batch = model_of("vit"), batch_of("vit")
    expected = attacked(model, batch, PGD(0.1))
    with mode():
        batch.inputs = {name: tensor.clone() for name, tensor in batch.inputs.items()}
        batch.labels = batch.labels.clone()
        points = attacked(model, batch, PGD(0.1))
    assert torch.equal(points, expected)
    points.requires_grad_(True).sum().backward()


def test_the_callers_generator_governs_the_start(model_of, batch_of):
    model, batch = model_of("resnet"), batch_of("resnet")
    runs = [attacked(model, batch, PGD(0.1), generator=torch.Generator().manual_seed(seed)) for seed in (0, 0, 1)]
    assert torch.equal(runs[0], runs[1])
    assert not torch.equal(runs[0], runs[2])


def test_each_example_is_attacked_by_itself(linear):
    """A mean over the batch would scale gradients by its size, and L2 steps or tiny gradients with it."""
    model, features, labels = linear
    noise = uniform_in_ball(features, epsilon=0.5, norm="l2", generator=torch.Generator().manual_seed(0))
    options = {"space": FeatureSpace(), "attack": PGD(0.5, norm="l2", n_steps=5)}
    together = pgd(model, {"features": features}, labels, start_noise=noise, **options)
    for row in range(len(features)):
        one = slice(row, row + 1)
        alone = pgd(model, {"features": features[one]}, labels[one], start_noise=noise[one], **options)
        torch.testing.assert_close(alone, together[one])


# Cost


@pytest.mark.parametrize(
    ("attack", "options", "n_passes"),
    [
        (PGD(0.1, n_steps=4), {}, 4),
        (PGD(0.1, n_steps=4), {"keep_best": True}, 5),
        (PGD(0.1, n_steps=4, n_restarts=2), {}, 10),
        (PGD(0.1, n_steps=4, loss="kl"), {}, 5),
        (PGD(0.1, n_steps=4, loss="kl"), {"clean_logits": torch.zeros(5, 3)}, 4),
        (PGD(0), {}, 0),
    ],
)
def test_an_attack_of_k_steps_costs_k_passes(model_of, batch_of, attack, options, n_passes):
    model, batch = model_of("resnet"), batch_of("resnet")
    passes = []
    handle = model.register_forward_hook(lambda *_: passes.append(1))
    attacked(model, batch, attack, **options)
    handle.remove()
    assert len(passes) == n_passes


def test_no_step_waits_for_a_value_from_the_device(model_of, batch_of, monkeypatch):
    model, batch = model_of("resnet"), batch_of("resnet")
    reads = []
    for name in ("item", "tolist", "cpu", "numpy", "__bool__", "__float__", "__int__"):
        own = getattr(torch.Tensor, name)
        monkeypatch.setattr(torch.Tensor, name, lambda *a, _own=own, **k: (reads.append(1), _own(*a, **k))[1])
    counts = []
    for n_steps, norm in itertools.product((1, 6), ("linf", "l2")):
        reads.clear()
        attacked(model, batch, PGD(0.1, norm=norm, n_steps=n_steps), keep_best=True)
        counts.append(len(reads))
    assert max(counts) == min(counts) <= 3  # are the pixels in [0, 1], were the gradients finite


# Bad input


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"epsilon": -0.1}, "epsilon is -0.1"),
        ({"epsilon": float("nan")}, "epsilon is nan"),
        ({"epsilon": float("inf")}, "epsilon is inf"),
        ({"epsilon": "8/255"}, "epsilon is '8/255'"),
        ({"epsilon": 0.1, "n_steps": 0}, "n_steps is 0"),
        ({"epsilon": 0.1, "n_steps": 2.5}, "n_steps is 2.5"),
        ({"epsilon": 0.1, "n_restarts": 0}, "n_restarts is 0"),
        ({"epsilon": 0.1, "step_size": 0.0}, "step_size is 0.0"),
        ({"epsilon": 0.1, "norm": "l1"}, "norm is 'l1'"),
        ({"epsilon": 0.1, "loss": "ce"}, "loss is 'ce'"),
        ({"epsilon": 0.1, "n_restarts": 2, "random_start": False}, "every restart would be the same"),
        ({"epsilon": 0.1, "loss": "kl", "random_start": False}, "nothing moves"),
    ],
)
def test_settings_that_cannot_be_are_refused(settings, message):
    with pytest.raises(InputError, match=message):
        PGD(**settings)


def test_pixel_distances_in_units_of_0_to_255_are_refused(model_of, batch_of):
    model, batch = model_of("resnet"), batch_of("resnet")
    with pytest.raises(InputError, match=r"epsilon is 8 .* 0–255 units\? pass 8/255"):
        attacked(model, batch, PGD(8))
    with pytest.raises(InputError, match=r"step_size is 2 .* pass 2/255"):
        attacked(model, batch, PGD(8 / 255, step_size=2))
    with pytest.raises(InputError, match=r"epsilon is 127\.5 .* 64 pixels"):
        attacked(model, batch, PGD(127.5, norm="l2"))
    attacked(model, batch, PGD(3.0, norm="l2", n_steps=1))  # an ordinary L2 radius


def test_distances_of_features_and_embeddings_have_no_such_limit(model_of, batch_of):
    for name in ("bert", "tabular"):
        attacked(model_of(name), batch_of(name), PGD(8, n_steps=1))


@pytest.mark.parametrize("labels", [torch.zeros(5), torch.zeros(4, dtype=torch.int64), torch.zeros(5, 3).long()])
def test_labels_that_are_not_one_class_an_example_are_refused(model_of, batch_of, labels):
    batch = batch_of("resnet")
    with pytest.raises(InputError, match="labels has dtype"):
        pgd(model_of("resnet"), batch.inputs, labels, space=batch.space, attack=PGD(0.1))


def test_noise_of_another_shape_is_refused(model_of, batch_of):
    with pytest.raises(InputError, match="start_noise has the shape"):
        attacked(model_of("resnet"), batch_of("resnet"), PGD(0.1), start_noise=torch.zeros(4, 1, 8, 8))


def test_token_numbers_are_attacked_in_embedding_space_only(model_of, batch_of):
    batch = batch_of("bert")
    for space in (FeatureSpace(), PixelSpace((0.5,), (0.5,))):
        with pytest.raises(InputError, match="token numbers cannot be moved"):
            pgd(model_of("bert"), batch.inputs, batch.labels, space=space, attack=PGD(0.1))
    with pytest.raises(InputError, match="needs input_ids"):
        pgd(model_of("bert"), batch_of("resnet").inputs, batch.labels, space=EmbeddingSpace(), attack=PGD(0.1))
