"""Adversarial training: what is attacked and trained in which mode, for every kind of model, and what it refuses."""

from __future__ import annotations

import pytest
import torch
from sklearn.datasets import load_digits
from torch.nn import functional as F
from transformers import ViTImageProcessor

from hf_privacy.adversarial import PGD, EmbeddingSpace, FeatureSpace, PixelSpace, pgd
from hf_privacy.data import TensorDataset
from hf_privacy.defenses import AdversarialConfig, AdversarialTrainer, PrivacyConfig, PrivacyTrainer
from hf_privacy.errors import InputError
from hf_privacy.models import TabularMLPConfig, TabularMLPForClassification
from hf_privacy.references import reference_trainer

PROCESSOR = ViTImageProcessor(size={"height": 8, "width": 8}, image_mean=[0.4], image_std=[0.25])
TEXT = ("bert", "gpt2", "llama")
OBJECTIVES = ["pgd_at", "trades", "mart"]
SGD = {"optim": "sgd", "momentum": 0.0, "max_grad_norm": 0.0, "learning_rate": 0.5}


@pytest.fixture
def make_trainer(make_args, model_of, lora_model_of, data_of):
    """Give a function: ``make_trainer("timm", objective="trades")``; images are normalised pixels of 0–1."""

    def make(family="tabular", *, n=8, trainer_class=AdversarialTrainer, model=None, model_init=None, **arguments):
        name = family.removeprefix("lora-")
        if model is None and model_init is None:
            model = lora_model_of(name) if family.startswith("lora-") else model_of(name)
        is_image = name != "tabular" and name not in TEXT
        data = data_of(name, n)
        if is_image:
            pixels = data.column("pixel_values").sigmoid()
            data = TensorDataset({"pixel_values": (pixels - 0.4) / 0.25, "labels": data.column("labels")})
        return trainer_class(
            model,
            make_args(AdversarialConfig, **{**SGD, "epsilon": 0.05, **arguments}),
            train_dataset=data,
            processing_class=PROCESSOR if is_image else None,
            model_init=model_init,
        )

    return make


def weights(trainer):
    return {name: parameter.detach().clone() for name, parameter in trainer.model.named_parameters()}


# ---- what is trained ----


@pytest.mark.parametrize("family", ["tabular", "resnet", "bert"])
@pytest.mark.parametrize("objective", OBJECTIVES)
def test_with_epsilon_zero_the_loss_is_the_objectives_clean_form(objective, family, make_trainer):
    trainer = make_trainer(family, objective=objective, epsilon=0.0)
    batch = trainer.train_dataset.__getitems__(range(8))
    trainer.model.train()
    loss, _ = trainer.training_loss(trainer.model, batch)
    logits = trainer.forward_without_labels(trainer.model, batch)["logits"]
    expected = F.cross_entropy(logits, batch["labels"], reduction="none")
    if objective == "mart":
        probabilities = logits.softmax(1)
        rival = probabilities.scatter(1, batch["labels"][:, None], 0.0).amax(1)
        expected = expected - torch.log1p(-rival)
    assert float(loss.detach()) == pytest.approx(float(expected.mean().detach()), rel=1e-5)


@pytest.mark.parametrize("norm", ["linf", "l2"])
@pytest.mark.parametrize("objective", OBJECTIVES)
def test_images_move_within_epsilon_of_pixels_whatever_the_normalisation(objective, norm, make_trainer):
    epsilon = {"linf": 8 / 255, "l2": 0.5}[norm]
    trainer = make_trainer("timm", objective=objective, norm=norm, epsilon=epsilon)
    assert trainer.space == PixelSpace((0.4,), (0.25,))
    batch = trainer.train_dataset.__getitems__(range(8))
    adversarial = trainer.adversarial_points(trainer.model, batch)
    differences = (adversarial - (batch["pixel_values"] * 0.25 + 0.4)).flatten(1)
    sizes = differences.abs().amax(1) if norm == "linf" else differences.norm(dim=1)
    assert (sizes <= epsilon + 1e-6).all()
    assert (sizes > 0.5 * epsilon).all()
    assert float(adversarial.min()) >= 0
    assert float(adversarial.max()) <= 1


@pytest.mark.parametrize(("objective", "evaluated", "trained"), [("pgd_at", 3, 1), ("trades", 4, 2), ("mart", 3, 2)])
@pytest.mark.parametrize("awp_gamma", [0.0, 0.01])
def test_the_attack_runs_in_evaluation_mode_and_the_loss_in_training_mode(
    objective, evaluated, trained, awp_gamma, make_trainer
):
    trainer = make_trainer("resnet", objective=objective, n_steps=3, awp_gamma=awp_gamma, max_steps=1)
    modes, forward = [], trainer.model.forward

    def recorded(*args, **kwargs):
        modes.append(all(module.training for module in trainer.model.modules()))
        return forward(*args, **kwargs)

    trainer.model.forward = recorded
    trainer.train()
    # PGD-k costs k passes through the attack; TRADES one more for what it moves away from; AWP as many as the loss.
    assert modes == [False] * evaluated + [True] * trained * (2 if awp_gamma else 1)


@pytest.mark.parametrize(("objective", "passes"), [("pgd_at", 1), ("trades", 2), ("mart", 2)])
@pytest.mark.parametrize("awp_gamma", [0.0, 0.01])
def test_batchnorm_counts_the_passes_that_are_trained_on_and_no_other(objective, passes, awp_gamma, make_trainer):
    trainer = make_trainer("resnet", objective=objective, awp_gamma=awp_gamma, max_steps=3)
    trainer.train()
    counts = [int(b) for name, b in trainer.model.named_buffers() if name.endswith("num_batches_tracked")]
    assert counts
    assert set(counts) == {3 * passes}


@pytest.mark.parametrize("awp_gamma", [0.0, 0.01])
def test_frozen_batchnorm_stays_frozen(awp_gamma, make_trainer):
    trainer = make_trainer("resnet", objective="trades", awp_gamma=awp_gamma, max_steps=2)
    frozen = [module for module in trainer.model.modules() if isinstance(module, torch.nn.BatchNorm2d)]
    for module in frozen:
        module.eval()
        module.train = lambda mode=True, module=module: module
    buffers = {name: buffer.clone() for name, buffer in trainer.model.named_buffers()}
    trainer.train()
    assert not any(module.training for module in frozen)
    assert all(torch.equal(buffer, buffers[name]) for name, buffer in trainer.model.named_buffers())


@pytest.mark.filterwarnings("ignore:.*never moved")
@pytest.mark.parametrize("family", ["tabular", "timm", "resnet", "lora-vit", "bert", "lora-bert"])
@pytest.mark.parametrize("objective", OBJECTIVES)
def test_one_step_moves_every_trainable_tensor_and_no_frozen_one(objective, family, make_trainer):
    trainer = make_trainer(family, objective=objective, awp_gamma=0.01, max_steps=1)
    before = weights(trainer)
    # LoRA's A gets a gradient through B, which starts at zero. Word embeddings are trained through the attack.
    trainable = {n for n, p in trainer.model.named_parameters() if p.requires_grad and "lora_A" not in n}
    trainer.train()
    assert {n for n, p in trainer.model.named_parameters() if not torch.equal(p, before[n])} == trainable


def test_word_embeddings_get_the_gradient_of_the_attacked_words(make_trainer):
    trainer = make_trainer("bert", epsilon=0.0)
    batch = trainer.train_dataset.__getitems__(range(8))
    table = trainer.model.get_input_embeddings().weight
    (found,) = torch.autograd.grad(trainer.training_loss(trainer.model, batch)[0], table)
    clean = F.cross_entropy(trainer.forward_without_labels(trainer.model, batch)["logits"], batch["labels"])
    torch.testing.assert_close(found, torch.autograd.grad(clean, table)[0], rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize(("family", "space"), [("tabular", FeatureSpace()), ("bert", EmbeddingSpace())])
def test_tables_are_attacked_in_features_and_text_in_embeddings(family, space, make_trainer):
    assert type(make_trainer(family).space) is type(space)


# ---- steps ----


@pytest.mark.parametrize("objective", ["pgd_at", "mart"])
def test_trap_1_unequal_accumulated_batches_count_by_their_size(objective, make_trainer):
    def movement(batch_size, accumulation):
        trainer = make_trainer(
            n=17,
            objective=objective,
            random_start=False,
            num_train_epochs=1,
            per_device_train_batch_size=batch_size,
            gradient_accumulation_steps=accumulation,
        )
        before = weights(trainer)
        trainer.train()
        return torch.cat([(p.detach() - before[n]).flatten() for n, p in trainer.model.named_parameters()])

    # 17 examples: 3, 3, 3 | 3, 3, 2 against 9 | 8.
    whole, cut = movement(9, 1), movement(3, 3)
    assert whole.abs().max() > 1e-3
    torch.testing.assert_close(cut, whole, rtol=1e-3, atol=1e-6)


def test_trap_1_eight_examples_at_once_and_two_times_four_move_the_weights_alike(make_trainer):
    def trained(batch_size, accumulation):
        trainer = make_trainer(
            "timm",
            random_start=False,
            max_steps=1,
            per_device_train_batch_size=batch_size,
            gradient_accumulation_steps=accumulation,
        )
        trainer.train()
        return weights(trainer)

    whole, cut = trained(8, 1), trained(2, 4)
    for name in whole:
        torch.testing.assert_close(cut[name], whole[name], rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("awp_gamma", [0.0, 0.05])
def test_a_resumed_run_ends_with_the_weights_of_an_uninterrupted_one(awp_gamma, make_trainer, tmp_path):
    settings = {
        "objective": "trades",
        "awp_gamma": awp_gamma,
        "max_steps": 4,
        "per_device_train_batch_size": 4,
        "save_strategy": "steps",
        "save_steps": 3,
    }
    whole = make_trainer(**settings)
    whole.train()
    resumed = make_trainer(**settings)
    resumed.train(resume_from_checkpoint=str(tmp_path / "run" / "checkpoint-3"))
    for name, weight in weights(whole).items():
        assert torch.equal(resumed.model.get_parameter(name), weight)


def test_each_step_starts_the_attack_elsewhere(make_trainer):
    trainer = make_trainer()
    batch = trainer.train_dataset.__getitems__(range(8))
    first, second = (trainer.adversarial_points(trainer.model, batch) for _ in range(2))
    trainer.state.global_step = 1
    third = trainer.adversarial_points(trainer.model, batch)
    assert not torch.equal(first, second)
    assert not torch.equal(first, third)


def test_the_attack_is_float32_under_mixed_precision(make_trainer, monkeypatch):
    seen = []

    class Recording(AdversarialTrainer):
        def adversarial_points(self, model, inputs):
            seen.append(super().adversarial_points(model, inputs))
            return seen[-1]

    for bf16 in (False, True):
        trainer = make_trainer("resnet", trainer_class=Recording, max_steps=1, bf16=bf16)
        before = weights(trainer)
        trainer.train()
        assert any(not torch.equal(p, before[n]) for n, p in trainer.model.named_parameters())
    assert seen[1].dtype == torch.float32
    assert torch.equal(seen[0], seen[1])  # bfloat16 would have rounded the gradients' signs away


def test_a_compiled_model_takes_the_same_steps(make_trainer):
    def trained(**options):
        trainer = make_trainer(objective="trades", awp_gamma=0.05, max_steps=2, **options)
        trainer.train()
        return weights(trainer)

    plain, compiled = trained(), trained(torch_compile=True, torch_compile_backend="aot_eager")
    for name in plain:
        torch.testing.assert_close(compiled[name], plain[name], rtol=1e-4, atol=1e-6)


def test_trap_2_evaluation_is_the_plain_cross_entropy_on_clean_examples(make_trainer):
    trainer = make_trainer("timm", objective="mart", max_steps=1)
    trainer.train()
    data = trainer.train_dataset
    with torch.no_grad():
        expected = F.cross_entropy(trainer.model.eval()(data.column("pixel_values")).logits, data.column("labels"))
    assert trainer.evaluate(data)["eval_loss"] == pytest.approx(float(expected), rel=1e-5)


# ---- references, reports ----


def test_a_reference_is_attacked_in_the_targets_pixels(make_trainer, model_of, tmp_path):
    target = make_trainer(
        "timm", model_init=lambda: model_of("timm"), objective="trades", awp_gamma=0.01, num_train_epochs=1
    )
    clone = reference_trainer(target, target.train_dataset.subset(range(5)), seed=3, output_dir=tmp_path / "reference")
    assert clone.space == target.space == PixelSpace((0.4,), (0.25,))
    assert clone.attack == target.attack
    clone.train()


@pytest.mark.parametrize(("objective", "paper"), [("pgd_at", "1706.06083"), ("trades", "1901.08573"), ("mart", "rkl")])
def test_a_report_names_the_paper_of_the_objective_that_was_trained(objective, paper, make_trainer):
    described = make_trainer(objective=objective).describe_defense()
    assert described["name"] == "adversarial"
    assert described["parameters"]["objective"] == objective
    assert paper in described["paper"]["id"]


@pytest.mark.parametrize(
    ("arguments", "loss"),
    [
        ({"objective": "pgd_at"}, "cross_entropy"),
        ({"objective": "mart"}, "cross_entropy"),
        ({"objective": "trades"}, "kl"),
        ({"objective": "trades", "inner_divergence": "reverse_kl"}, "reverse_kl"),
    ],
)
def test_each_objective_is_attacked_by_its_own_loss(arguments, loss, make_trainer):
    assert make_trainer(**arguments).attack.loss == loss


# ---- what it is for ----


def test_adversarial_training_is_more_robust_than_standard_training(make_args):
    pixels, digits = load_digits(return_X_y=True)
    data = TensorDataset({"features": torch.tensor(pixels / 16, dtype=torch.float32), "labels": torch.tensor(digits)})
    members, others = data.subset(range(500)), data.subset(range(1000, 1400))
    settings = {"num_train_epochs": 12, "per_device_train_batch_size": 50, "learning_rate": 5e-3}
    config = TabularMLPConfig(input_size=64, hidden_sizes=[64], num_labels=10)

    def accuracies(trainer_class, config_class, **own):
        trainer = trainer_class(
            model_init=lambda: TabularMLPForClassification(config),
            args=make_args(config_class, **settings, **own),
            train_dataset=members,
        )
        trainer.train()
        batch = others.__getitems__(range(len(others)))
        points = pgd(
            trainer.model,
            batch,
            batch["labels"],
            space=FeatureSpace(),
            attack=PGD(0.15, n_steps=10),
            generator=torch.Generator().manual_seed(0),
        )
        with torch.no_grad():
            right = [trainer.model(x).logits.argmax(1) == batch["labels"] for x in (batch["features"], points)]
        return [float(answers.float().mean()) for answers in right]

    _, standard = accuracies(PrivacyTrainer, PrivacyConfig)
    for objective in OBJECTIVES:
        clean, robust = accuracies(AdversarialTrainer, AdversarialConfig, objective=objective, epsilon=0.15)
        assert robust > standard + 0.1, objective
        assert clean > 0.8, objective


# ---- what is refused ----


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"inner_divergence": "js"}, "inner_divergence is 'js': pass 'kl' or 'reverse_kl'"),
        ({"objective": "fgsm"}, "objective is 'fgsm': pass 'pgd_at' or 'trades' or 'mart'"),
        ({"epsilon": -0.1}, r"epsilon is -0.1: pass a number in \[0, ∞\)"),
        ({"epsilon": float("nan")}, "epsilon is nan"),
        ({"norm": "l1"}, "norm is 'l1': pass 'linf' or 'l2'"),
        ({"n_steps": 0}, "n_steps is 0: pass a whole number of at least 1"),
        ({"step_size": 0.0}, r"step_size is 0.0: pass a number in \(0, ∞\)"),
        ({"objective": "trades", "random_start": False}, "random_start is False: the divergence that TRADES attacks"),
        ({"beta": -1.0}, r"beta is -1.0: pass a number in \[0, ∞\)"),
        ({"awp_gamma": -0.01}, r"awp_gamma is -0.01: pass a number in \[0, 1\)"),
        ({"awp_warmup_epochs": -1}, "awp_warmup_epochs is -1"),
        ({"awp_warmup_epochs": 0.5}, "awp_warmup_epochs is 0.5: pass a whole number"),
        (
            {"label_smoothing_factor": 0.1},
            "label_smoothing_factor is 0.1: adversarial training sets",
        ),
        ({"ddp_broadcast_buffers": True}, "ddp_broadcast_buffers is set: it would write to the buffers between"),
    ],
    ids=str,
)
def test_an_argument_out_of_range_is_refused_in_one_sentence(given, message, make_args):
    with pytest.raises(InputError, match=message) as refused:
        make_args(AdversarialConfig, **given)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_epsilon_in_units_of_0_to_255_is_refused_before_training(norm, make_trainer):
    with pytest.raises(InputError, match=r"epsilon is 64 .*0–255 units"):
        make_trainer("timm", epsilon=64.0, norm=norm).train()


def test_a_processor_without_normalisation_facts_is_refused(make_trainer, make_args, model_of):
    with pytest.raises(InputError, match="processor"):
        AdversarialTrainer(
            model_of("timm"), make_args(AdversarialConfig), train_dataset=make_trainer("timm").train_dataset
        )


def test_images_of_another_normalisation_are_refused(make_trainer, make_args, model_of):
    data = make_trainer("timm").train_dataset
    other = ViTImageProcessor(size={"height": 8, "width": 8}, image_mean=[0.9], image_std=[0.9])
    with pytest.raises(InputError, match="pass the processor the images went through"):
        AdversarialTrainer(model_of("timm"), make_args(AdversarialConfig), train_dataset=data, processing_class=other)


def test_token_numbers_for_a_model_of_images_are_refused(make_args, model_of, data_of):
    with pytest.raises(InputError, match="cannot take input_ids of shape 8"):
        AdversarialTrainer(
            model_of("timm"), make_args(AdversarialConfig), train_dataset=data_of("bert"), processing_class=PROCESSOR
        )


def test_whole_numbers_as_features_are_refused(make_args, model_of):
    data = TensorDataset({"features": torch.ones(4, 4, dtype=torch.int64), "labels": torch.arange(4) % 3})
    with pytest.raises(InputError, match="pass floating point"):
        AdversarialTrainer(model_of("tabular"), make_args(AdversarialConfig), train_dataset=data)


def test_a_model_wrapped_for_per_sample_gradients_is_refused(make_trainer, model_of):
    opacus = pytest.importorskip("opacus")
    wrapped = opacus.GradSampleModule(model_of("tabular"))
    with pytest.raises(InputError, match="model is wrapped by opacus"):
        make_trainer(model=wrapped)


def test_sharded_weights_are_refused(make_args):
    with pytest.raises(InputError, match="the weights are sharded"):
        make_args(AdversarialConfig, fsdp="full_shard")
