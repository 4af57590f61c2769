"""SPD-GAN: bounded changes, losses by their formulas, resumed runs to the bit, and a set that only its model knows."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from scipy.stats import binomtest
from torch.nn import functional as F
from torchrun import on_two_processes
from transformers import AutoModelForImageClassification, ResNetConfig

from hf_privacy.adversarial import FeatureSpace, PixelSpace
from hf_privacy.data import TensorDataset, encode_images, image_processor_for, load_digits_dataset
from hf_privacy.errors import InputError
from hf_privacy.signals import compute_signals
from hf_privacy.unlearning import (
    NegGradPlusConfig,
    NegGradPlusTrainer,
    SPDGANConfig,
    SPDGenerator,
    accept_perturbed_set,
    measure_unlearning_degree,
    perturbed_forget_set,
    train_spd_gan,
    train_with_perturbed_set,
)
from hf_privacy.unlearning.spd_gan.losses import adversarial_loss, discriminator_loss, label_hinge, residual_hinge
from hf_privacy.unlearning.spd_gan.networks import Discriminator

SPACE = PixelSpace((0.3,), (0.35,))
CONFIG = SPDGANConfig(num_train_epochs=20, batch_size=20, width=16, n_blocks=1)
TINY = SPDGANConfig(num_train_epochs=4, batch_size=16, width=4, n_blocks=1, save_every_n_epochs=1)


def new_model(seed: int, num_channels: int = 1) -> torch.nn.Module:
    torch.manual_seed(seed)
    sizes = {"embedding_size": 16, "hidden_sizes": [16, 32], "depths": [1, 1], "layer_type": "basic"}
    return AutoModelForImageClassification.from_config(ResNetConfig(**sizes, num_channels=num_channels, num_labels=10))


def fit(dataset: TensorDataset, seed: int = 0) -> torch.nn.Module:
    model = new_model(seed)
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    for _ in range(6):
        for rows in torch.randperm(len(dataset)).split(50):
            batch = dataset.__getitems__(rows)
            optimizer.zero_grad()
            F.cross_entropy(model(pixel_values=batch["pixel_values"]).logits, batch["labels"]).backward()
            optimizer.step()
    return model.eval()


def accuracy(model: torch.nn.Module, dataset: TensorDataset) -> float:
    return float(compute_signals(model, dataset)["correct"].mean())


@pytest.fixture(scope="module")
def processor():
    return image_processor_for(new_model(0), size=8, mean=[0.3], std=[0.35])


@pytest.fixture(scope="module")
def images(processor) -> dict[str, TensorDataset]:
    """80 digits to forget, 520 to keep, 400 held out."""
    encoded = encode_images(load_digits_dataset(), processor)
    cuts = {"forget": range(80), "retain": range(80, 600), "heldout": range(600, 1000)}
    return {name: encoded.subset(rows) for name, rows in cuts.items()}


@pytest.fixture(scope="module")
def retain_only(images) -> torch.nn.Module:
    return fit(images["retain"])


@pytest.fixture(scope="module")
def few(images) -> dict[str, TensorDataset]:
    return {"forget_dataset": images["forget"].subset(range(32)), "retain_dataset": images["retain"]}


@pytest.fixture
def train(few, retain_only) -> Callable[..., SPDGenerator]:
    """``train(config, **others)``: on 32 digits."""

    def run(config: SPDGANConfig = TINY, **others) -> SPDGenerator:
        return train_spd_gan(**{**few, "retain_classifier": retain_only, "space": SPACE, "config": config, **others})

    return run


def same(first: torch.nn.Module, second: torch.nn.Module) -> bool:
    pairs = zip(first.state_dict().values(), second.state_dict().values(), strict=True)
    return all(torch.equal(one, other) for one, other in pairs)


# ---- what it is for: a set that only a model trained on it knows ----


@pytest.fixture(scope="module")
def gan_folder(tmp_path_factory):
    return tmp_path_factory.mktemp("gan")  # trained once: the next run finds its checkpoint


@pytest.fixture
def measure(images, processor, gan_folder):
    def run(forget, **others):
        sets = (images["forget"], images["retain"], images["heldout"])
        arguments = {"fit": fit, "processor": processor, "config": CONFIG, "output_dir": gan_folder}
        return measure_unlearning_degree(*sets, forget=forget, **{**arguments, **others})

    return run


def test_the_retain_only_classifier_fails_on_the_perturbed_digits_and_a_model_trained_with_them_knows_them(
    measure, images, retain_only
):
    found = measure(lambda model, *sets: model)
    assert found.acceptance.accepted, found.acceptance.reasons
    assert accuracy(retain_only, images["forget"]) > 0.75
    assert accuracy(retain_only, found.perturbed_dataset) < 0.3
    assert found.acceptance.accuracy_perturbed == accuracy(retain_only, found.perturbed_dataset)
    assert found.acceptance.accuracy_fitted > 0.9


def test_a_model_that_forgets_nothing_has_degree_0(measure):
    figures = measure(lambda model, *sets: model).figures
    assert figures["unlearning_degree"] == 0.0
    assert figures["ceiling"] > 0.5
    assert figures["ceiling_is_attacked"]


def test_retraining_reaches_the_ceiling_which_another_seed_shows_to_be_lower(measure, images):
    other = fit(images["retain"], seed=1)
    found = measure(lambda model, forget, retain, heldout: other, retrained=[other])
    assert found.figures["unlearning_degree"] == found.figures["ceiling"] > 0.3
    assert not found.figures["ceiling_is_attacked"]
    attacked = found.correct["before"].mean() - found.correct["retain_only"].mean()
    assert found.figures["ceiling"] < attacked


def test_an_unlearner_of_this_package_lies_in_between(measure, images, make_args):
    def forget(model, forget, retain, heldout):
        assert (len(forget), len(retain), len(heldout)) == (80, 520, 400)
        args = make_args(NegGradPlusConfig, beta=0.9, learning_rate=0.02, num_train_epochs=3)
        trainer = NegGradPlusTrainer(model, args, forget, retain, heldout)
        trainer.unlearn()
        return trainer.model

    figures = measure(forget).figures
    assert figures["accuracy_before"] > 0.9
    assert figures["unlearning_degree"] > 0.05


def test_a_set_that_is_not_accepted_gives_no_degree_and_nothing_is_unlearned(measure, tmp_path):
    def forget(*arguments):
        raise AssertionError("nothing is to be unlearned")

    weak = replace(TINY, c=0.001, num_train_epochs=1)
    found = measure(forget, config=weak, output_dir=tmp_path)
    assert not found.acceptance.accepted
    assert found.figures is None
    assert "does not do clearly worse" in found.acceptance.reasons[0]


# ---- bounds ----


@pytest.mark.parametrize("c", [8 / 255, 0.3, 1.0])
@pytest.mark.parametrize("space", [SPACE, PixelSpace((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))])
def test_no_pixel_moves_by_more_than_c_or_leaves_0_to_1(c, space):
    torch.manual_seed(0)
    generator = SPDGenerator(space, c=c, width=8, n_blocks=1)
    torch.nn.init.normal_(generator.last.weight, std=10.0)  # tanh is 1 or −1 nearly everywhere
    pixels = torch.rand(20, len(space.mean), 9, 7)
    pixels[:10] = pixels[:10].round()  # black and white, where every other change leaves [0, 1]
    dataset = TensorDataset({**space.inputs(pixels, {}), "labels": torch.zeros(20, dtype=torch.long)})
    before = space.points(None, dataset.__getitems__(range(20)))
    with torch.no_grad():
        direct = generator(before)
    stored = perturbed_forget_set(generator, dataset).column("pixel_values")
    for after in (direct, space.points(None, {"pixel_values": stored})):
        assert 0.99 * c < (after.double() - before.double()).abs().max() <= c
        assert after.min() == 0
        assert after.max() == 1
    mean, std = (torch.tensor(values).double()[:, None, None] for values in (space.mean, space.std))
    least, most = (stored.double() * std + mean).aminmax()
    assert least > -1e-6
    assert most < 1 + 1e-6


def test_the_perturbed_set_keeps_rows_labels_and_dtype_and_leaves_the_original_alone(train, few):
    forget = few["forget_dataset"].with_augmentation(lambda images: images * 0)
    kept = forget.column("pixel_values").clone()
    generator = train()
    perturbed = perturbed_forget_set(generator, forget, batch_size=7)
    assert torch.equal(perturbed.column("labels"), forget.column("labels"))
    assert torch.equal(forget.column("pixel_values"), kept)
    assert perturbed.column("pixel_values").dtype == kept.dtype
    assert not torch.equal(perturbed.column("pixel_values"), kept)
    alone = perturbed_forget_set(generator, forget.subset([30])).column("pixel_values")
    torch.testing.assert_close(alone[0], perturbed.column("pixel_values")[30])


@pytest.mark.parametrize(("n_channels", "c"), [(1, 0.3), (3, 12 / 255)])
def test_c_is_by_default_that_of_images_with_so_many_channels(n_channels, c):
    assert SPDGANConfig().c_for(n_channels) == c


# ---- losses ----


def test_the_least_squares_losses_are_their_formulas():
    real, fake = torch.tensor([0.3, 1.4, -0.2]), torch.tensor([0.5, -1.0])
    by_hand = (0.7**2 + 0.4**2 + 1.2**2) / 3 / 2 + (0.5**2 + 1.0**2) / 2 / 2
    assert float(discriminator_loss(real, fake)) == pytest.approx(by_hand)
    assert float(adversarial_loss(fake)) == pytest.approx((0.5**2 + 2.0**2) / 2 / 2)


def test_the_residual_hinge_is_0_below_its_bound_and_pulls_back_above_it():
    residual = torch.full((2, 1, 2, 2), 0.1)
    residual[1] = 0.3  # norms .2 and .6
    residual.requires_grad_(True)
    loss = residual_hinge(residual, bound=0.5)
    assert loss.item() == pytest.approx(0.1 / 2)
    (gradient,) = torch.autograd.grad(loss, residual)
    assert not gradient[0].any()
    torch.testing.assert_close(gradient[1], torch.full((1, 2, 2), 0.3 / 0.6 / 2))


def test_an_unchanged_image_has_a_finite_gradient():
    residual = torch.zeros(1, 1, 2, 2, requires_grad=True)
    (gradient,) = torch.autograd.grad(residual_hinge(residual, bound=0.0), residual)
    assert torch.isfinite(gradient).all()


def test_the_label_hinge_is_0_once_another_class_leads_by_the_margin():
    logits = torch.tensor([[2.0, 0.5, 1.0], [0.0, 0.4, -1.0], [0.0, 1.5, 3.0]], requires_grad=True)
    labels = torch.tensor([0, 0, 0])
    loss = label_hinge(logits, labels, margin=1.0)
    assert loss.item() == pytest.approx((2.0 + 0.6 + 0.0) / 3)  # 2 − 1 + 1, 0 − .4 + 1, 0 − 3 + 1 < 0
    (gradient,) = torch.autograd.grad(loss, logits)
    expected = torch.tensor([[1.0, 0.0, -1.0], [1.0, -1.0, 0.0], [0.0, 0.0, 0.0]]) / 3
    torch.testing.assert_close(gradient, expected)


def test_two_steps_are_those_of_the_formulas(few, retain_only):
    """One batch an epoch and one retained image, so that nothing is left to chance; written out with Adam."""
    # One step of this length is more than the residual may be, on every device.
    settings = {"batch_size": 32, "learning_rate": 1e-2, "residual_share": 0.01, "residual_weight": 2.0}
    config = replace(TINY, num_train_epochs=2, **settings)
    sets = {**few, "retain_dataset": few["retain_dataset"].subset([5])}
    classifier = copy.deepcopy(retain_only).cpu()  # whatever the tests before did with it
    found = train_spd_gan(**sets, retain_classifier=classifier, space=SPACE, config=config)

    torch.manual_seed(config.seed)
    generator = SPDGenerator(SPACE, c=0.3, width=4, n_blocks=1)
    discriminator = Discriminator(1, 4)
    optimizers = [
        torch.optim.Adam(net.parameters(), lr=1e-2, betas=(0.5, 0.999)) for net in (generator, discriminator)
    ]
    batch, kept = few["forget_dataset"].__getitems__(range(32)), sets["retain_dataset"].__getitems__([0] * 32)
    x, r = (part["pixel_values"] * 0.35 + 0.3 for part in (batch, kept))
    x, r = x.clamp(0, 1), r.clamp(0, 1)
    for step in range(2):
        changed = generator(x)
        real = torch.cat([discriminator(x), discriminator(r)])
        loss = ((real - 1) ** 2).mean() / 2 + (discriminator(changed.detach()) ** 2).mean() / 2
        assert found.losses[step]["discriminator"] == pytest.approx(loss.item(), rel=1e-4)
        optimizers[1].zero_grad()
        loss.backward()
        optimizers[1].step()
        logits = classifier(pixel_values=(changed - 0.3) / 0.35).logits
        own = logits[torch.arange(32), batch["labels"]]
        others = logits.masked_fill(F.one_hot(batch["labels"], 10).bool(), -1e9).max(dim=1).values
        parts = {
            "adversarial": ((discriminator(changed) - 1) ** 2).mean() / 2,
            "residual": F.relu((changed - x).flatten(1).norm(dim=1) - 0.01 * 0.3 * 8.0).mean(),
            "label": F.relu(own - others + 1.0).mean(),
        }
        for name, part in parts.items():
            assert found.losses[step][name] == pytest.approx(part.item(), rel=1e-4, abs=1e-6), name
        optimizers[0].zero_grad()
        (parts["adversarial"] + 2.0 * parts["residual"] + 10.0 * parts["label"]).backward()
        optimizers[0].step()
    assert found.losses[0]["residual"] == 0.0 < found.losses[1]["residual"]
    for name, tensor in generator.state_dict().items():
        torch.testing.assert_close(found.state_dict()[name], tensor, rtol=1e-3, atol=1e-4)


# ---- the same arguments, the same weights ----


def test_a_seed_gives_one_generator_whatever_the_global_state_and_the_augmentation(train, few):
    torch.manual_seed(1)
    state = torch.get_rng_state()
    first = train()
    assert torch.equal(torch.get_rng_state(), state)
    torch.manual_seed(2)
    augmented = few["forget_dataset"].with_augmentation(lambda images: torch.rand_like(images))
    assert same(train(forget_dataset=augmented), first)
    assert not same(train(replace(TINY, seed=1)), first)


def test_each_epoch_takes_every_forget_image_once_in_an_order_of_its_own(train, few, retain_only):
    classifier, seen = copy.deepcopy(retain_only), []

    def note(module, arguments, inputs):
        seen.append(inputs["pixel_values"].detach().flatten(1))

    classifier.register_forward_pre_hook(note, with_kwargs=True)
    train(retain_classifier=classifier)
    images = few["forget_dataset"].column("pixel_values").flatten(1)
    # hardly changed by four epochs: the nearest original is the one it came from
    rows = torch.cat([torch.cdist(batch, images).argmin(dim=1) for batch in seen[1:]]).reshape(4, 32)
    assert all(sorted(epoch) == list(range(32)) for epoch in rows.tolist())
    assert len({tuple(epoch) for epoch in rows.tolist()}) == 4


def test_the_classifier_is_left_as_it_was(train, retain_only):
    classifier = copy.deepcopy(retain_only).train()
    train(retain_classifier=classifier)
    assert same(classifier, retain_only)
    assert classifier.training
    assert all(parameter.grad is None and parameter.requires_grad for parameter in classifier.parameters())


def test_a_killed_run_goes_on_and_ends_with_the_same_bits(train, retain_only, tmp_path):
    whole = train()
    classifier, calls = copy.deepcopy(retain_only), []

    def kill(*_):
        calls.append(None)
        if len(calls) == 7:  # one call is the check before training, two are an epoch: in the middle of the third
            raise KeyboardInterrupt

    hook = classifier.register_forward_hook(kill)
    with pytest.raises(KeyboardInterrupt):
        train(retain_classifier=classifier, output_dir=tmp_path)
    hook.remove()
    resumed = train(retain_classifier=classifier, output_dir=tmp_path)
    assert same(resumed, whole)
    assert resumed.losses == whole.losses
    assert [path.name for path in tmp_path.iterdir()] == ["spd_gan.safetensors"]


@pytest.mark.slow
def test_two_processes_share_each_batch_resume_together_and_end_with_the_same_weights(tmp_path):
    """Trap 11: two real processes under torchrun; batches of 8 and one of a single image, which one of them lacks."""
    on_two_processes(Path(__file__).with_name("two_processes_spd_gan.py"), tmp_path)
    first, second, single = (load_file(tmp_path / f"{name}.safetensors") for name in ("rank0", "rank1", "alone"))
    for name, tensor in single.items():
        assert torch.equal(first[name], second[name])
        torch.testing.assert_close(first[name], tensor, rtol=1e-3, atol=1e-5)
    assert single["last.weight"].any()


def test_a_finished_run_goes_on_for_more_epochs_to_the_same_bits(train, tmp_path):
    train(replace(TINY, num_train_epochs=3), output_dir=tmp_path)
    assert same(train(output_dir=tmp_path), train())


def test_a_checkpoint_of_another_run_is_refused(train, few, tmp_path):
    train(output_dir=tmp_path)
    with pytest.raises(InputError, match="of another run, of other settings"):
        train(replace(TINY, c=0.2), output_dir=tmp_path)
    with pytest.raises(InputError, match="of another run, of other forget_dataset"):
        train(forget_dataset=few["forget_dataset"].subset(range(31)), output_dir=tmp_path)
    with pytest.raises(InputError, match="of another run, of other retain_classifier"):
        train(retain_classifier=new_model(3), output_dir=tmp_path)
    with pytest.raises(InputError, match="has had 4 epochs and num_train_epochs is 2"):
        train(replace(TINY, num_train_epochs=2), output_dir=tmp_path)


def test_a_file_that_is_no_checkpoint_is_refused(train, tmp_path):
    path = tmp_path / "spd_gan.safetensors"
    path.write_bytes(b"half a file")
    with pytest.raises(InputError, match="no safetensors file"):
        train(output_dir=tmp_path)
    save_file({"weight": torch.zeros(1)}, path)
    with pytest.raises(InputError, match="no checkpoint of SPD-GAN"):
        train(output_dir=tmp_path)


# ---- acceptance ----


def planted(n_both: int, n_lost: int, n_gained: int, n_neither: int) -> tuple[np.ndarray, np.ndarray]:
    before = np.repeat([1, 1, 0, 0], [n_both, n_lost, n_gained, n_neither])
    after = np.repeat([1, 0, 1, 0], [n_both, n_lost, n_gained, n_neither])
    return before, after


@pytest.mark.parametrize("counts", [(3, 9, 1, 2), (0, 5, 5, 0), (1, 2, 8, 4), (10, 1, 0, 0)])
def test_the_p_value_is_that_of_the_exact_one_sided_test(counts):
    found = accept_perturbed_set(*planted(*counts), np.ones(sum(counts)))
    exact = binomtest(counts[1], counts[1] + counts[2], alternative="greater").pvalue
    assert found.p_value == pytest.approx(exact)
    assert (found.n_lost, found.n_gained) == counts[1:3]


@pytest.mark.parametrize(
    ("counts", "n_fitted", "accepted", "word"),
    [
        ((20, 80, 0, 0), 100, True, "does clearly worse"),
        ((20, 80, 0, 0), 90, True, "fits it"),
        ((20, 80, 0, 0), 89, False, "does not fit it"),
        ((100, 0, 0, 0), 100, False, "does not do clearly worse"),  # nothing changed: p is 1, not NaN
        ((40, 30, 30, 0), 100, False, "does not do clearly worse"),  # as many gained as lost
        ((0, 0, 80, 20), 100, False, "forgetting shows on the forget set itself"),  # it never knew them
        ((9_900, 100, 0, 0), 10_000, False, "does not do clearly worse"),  # certain, and too small
        ((6, 4, 0, 0), 10, False, "does not do clearly worse"),  # large, and not certain
    ],
)
def test_planted_sets_are_judged_with_the_reason_in_words(counts, n_fitted, accepted, word):
    fitted = np.arange(sum(counts)) < n_fitted
    found = accept_perturbed_set(*planted(*counts), fitted)
    assert found.accepted is accepted
    assert word in " ".join(found.reasons)


def test_without_a_least_drop_the_test_alone_decides():
    before, after = planted(9_900, 100, 0, 0)
    assert accept_perturbed_set(before, after, np.ones(10_000), min_drop=0).accepted


def test_a_perturbation_that_does_nothing_is_accepted_no_more_often_than_the_level():
    rng = np.random.default_rng(0)
    accepted = [
        accept_perturbed_set(*rng.integers(2, size=(2, 60)), np.ones(60), level=0.05, min_drop=0).accepted
        for _ in range(2000)
    ]
    assert np.mean(accepted) <= 0.06


# ---- bad input, before training ----


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"c": 0.0}, "c is 0.0 where pixels go from 0 to 1"),
        ({"c": 8}, "such as 8/255"),
        ({"c": float("nan")}, "c is nan"),
        ({"label_weight": -1.0}, "label_weight is -1.0"),
        ({"residual_share": 2.0}, "residual_share is 2.0"),
        ({"num_train_epochs": 0}, "num_train_epochs is 0"),
        ({"learning_rate": 0.0}, "learning_rate is 0.0"),
        ({"betas": (0.5, 1.0)}, "betas holds 1.0"),
        ({"seed": -1}, "seed is -1"),
    ],
)
def test_bad_settings_are_refused(settings, message):
    with pytest.raises(InputError, match=message):
        SPDGANConfig(**settings)


def test_images_without_a_default_c_need_one():
    with pytest.raises(InputError, match="4 channels and c is not given"):
        SPDGANConfig().c_for(4)


LABELS = {"labels": torch.tensor([0, 1])}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"forget_dataset": TensorDataset({"features": torch.zeros(2, 3), **LABELS})}, "text and tables"),
        ({"retain_dataset": TensorDataset({"input_ids": torch.zeros(2, 3), **LABELS})}, "retain_dataset has the col"),
        ({"forget_dataset": [1, 2]}, "forget_dataset is list"),
        ({"retain_dataset": TensorDataset({"pixel_values": torch.zeros(2, 3, 8, 8), **LABELS})}, r"\[3, 8, 8\]"),
        ({"space": PixelSpace((0.5,) * 3, (0.5,) * 3)}, "forget_dataset: .* 3 channels"),
        ({"space": PixelSpace((0.5,), (0.5,))}, r"outside \[0, 1\]"),
        ({"space": FeatureSpace()}, "inputs are features"),
        ({"space": None}, "neither is given"),
        ({"processor": object()}, "both are given"),
    ],
)
def test_bad_input_is_refused_before_training(train, change, message):
    with pytest.raises(InputError, match=message):
        train(**change)


def test_empty_or_overlapping_sets_are_refused(train, few):
    for name in few:
        with pytest.raises(InputError, match=f"{name} is empty"):
            train(**{name: few[name].subset([])})
    with pytest.raises(InputError, match="share 32 rows"):
        train(retain_dataset=few["forget_dataset"])


def test_a_classifier_of_other_images_or_other_labels_is_refused(train, few):
    with pytest.raises(InputError, match=r"retain_classifier does not take images of \[1, 8, 8\]"):
        train(retain_classifier=new_model(0, num_channels=3))
    pixels = few["forget_dataset"].column("pixel_values")
    unknown = TensorDataset({"pixel_values": pixels, "labels": torch.full((32,), 10)})
    with pytest.raises(InputError, match="labels go from 10 to 10"):
        train(forget_dataset=unknown)


def test_a_run_that_diverges_says_so_and_leaves_no_checkpoint(train, tmp_path):
    with pytest.raises(InputError, match="diverged in epoch"):
        train(replace(TINY, learning_rate=1e30), output_dir=tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("settings", "message"),
    [({"level": 1.0}, "level is"), ({"min_drop": 1.0}, "min_drop"), ({"min_accuracy_fitted": 0.0}, "min_accuracy")],
)
def test_bad_levels_are_refused_also_before_anything_is_trained(images, settings, message):
    def never(*_):
        raise AssertionError("trained")

    with pytest.raises(InputError, match=message):
        accept_perturbed_set([1], [0], [1], **settings)
    with pytest.raises(InputError, match=message):
        measure_unlearning_degree(images["forget"], images["retain"], fit=never, forget=never, **settings)


def test_the_acceptance_takes_0_and_1_of_the_same_examples():
    with pytest.raises(InputError, match="correct_perturbed has 1 rows for 2 examples"):
        accept_perturbed_set([1, 1], [0], [1, 1])
    with pytest.raises(InputError, match=r"correct_fitted holds 0\.5"):
        accept_perturbed_set([1], [0], [0.5])


def test_unlearners_share_a_model_trained_with_the_perturbed_set_and_each_gets_a_copy(images):
    given = []

    def spoil(model, *sets):
        given.append(torch.cat([parameter.detach().flatten() for parameter in model.parameters()]))
        for parameter in model.parameters():
            parameter.data.zero_()
        return model

    retain = images["retain"].with_augmentation(lambda pixels: pixels)
    training = train_with_perturbed_set(images["forget"], retain, fit=fit, space=SPACE, config=CONFIG)
    first, second, nothing = (training.degree(forget) for forget in (spoil, spoil, lambda model, *sets: model))
    assert torch.equal(given[0], given[1])
    assert first.figures == second.figures
    assert first.figures["unlearning_degree"] > 0.5
    assert nothing.figures["unlearning_degree"] == 0
    assert "unlearning" not in training.seconds
    # It is augmented while it is forgotten, as it was in training; what is handed out is the perturbed set itself.
    assert training.forget_dataset.augmentation is retain.augmentation
    assert nothing.perturbed_dataset.augmentation is None


def test_a_recipe_that_returns_no_model_is_told_so(images):
    with pytest.raises(InputError, match="fit returned NoneType"):
        measure_unlearning_degree(
            images["forget"], images["retain"], fit=lambda dataset: None, forget=fit, space=SPACE
        )
