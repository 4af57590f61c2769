"""`PrivacyConfig.eval_attack`: robust accuracy in `evaluate()`, for every trainer and kind of data."""

from __future__ import annotations

import json
import re
import sys
from dataclasses import replace
from pathlib import Path

import datasets
import pytest
import torch
from safetensors.torch import load_file
from torchrun import on_two_processes
from transformers import HfArgumentParser, TrainerCallback, ViTImageProcessor
from transformers.modeling_outputs import SequenceClassifierOutput

from hf_privacy.adversarial import PGD, AdversarialInputs, AutoAttack, EmbeddingSpace, FeatureSpace, PixelSpace
from hf_privacy.data import TensorDataset
from hf_privacy.defenses import (
    DPConfig,
    DPTrainer,
    HAMPConfig,
    HAMPTrainer,
    PrivacyConfig,
    PrivacyTrainer,
    RelaxLossConfig,
    RelaxLossTrainer,
)
from hf_privacy.errors import InputError
from hf_privacy.recipe.shaping import shaping_arguments
from hf_privacy.signals import adversarial_correct

PROCESSOR = ViTImageProcessor(size={"height": 8, "width": 8}, image_mean=[0.5], image_std=[0.25], do_convert_rgb=False)
NEW = {"eval_robust_accuracy", "eval_robust_examples"}


@pytest.fixture
def images():
    pixels = torch.rand(12, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    return TensorDataset({"pixel_values": (pixels - 0.5) / 0.25, "labels": torch.arange(12) % 3})


@pytest.fixture
def tabular_trainer(make_args, model_of, data_of):
    """Give a function that makes a trainer of the tiny MLP: ``tabular_trainer({"epsilon": 0.3}, max_steps=2)``."""

    def make(eval_attack, *, trainer_class=PrivacyTrainer, config_class=PrivacyConfig, eval_dataset=None, **arguments):
        options = {"callbacks": arguments.pop("callbacks")} if "callbacks" in arguments else {}
        args = make_args(config_class, eval_attack=eval_attack, **{"max_steps": 2, **arguments})
        evaluated = data_of("tabular", 20, seed=2) if eval_dataset is None else eval_dataset
        model = model_of("tabular")
        return trainer_class(model, args, train_dataset=data_of("tabular", 12), eval_dataset=evaluated, **options)

    return make


# ---- what evaluate says ----


def test_without_the_option_evaluation_is_the_stock_one(tabular_trainer):
    assert not [name for name in tabular_trainer(None).evaluate() if "robust" in name]


def test_evaluate_gives_the_accuracy_under_pgd_20_on_every_example(tabular_trainer, data_of):
    learned = data_of("tabular", 20, seed=2)
    trainer = tabular_trainer({"epsilon": 0.3}, eval_dataset=learned, max_steps=60, learning_rate=0.05)
    trainer.train_dataset = learned
    trainer.train()
    metrics = trainer.evaluate()
    attack = AdversarialInputs(FeatureSpace(), PGD(0.3, n_steps=20))
    correct = adversarial_correct(trainer.model, trainer.eval_dataset, attack=attack)
    assert metrics["eval_robust_accuracy"] == correct.mean()
    assert metrics["eval_robust_examples"] == 20
    assert "eval_autoattack_accuracy" not in metrics
    clean = adversarial_correct(trainer.model, trainer.eval_dataset, attack=AdversarialInputs(FeatureSpace(), PGD(0)))
    assert correct.sum() < clean.sum()


def test_images_are_attacked_in_pixels_and_by_autoattack(make_args, model_of, images):
    settings = {"epsilon": 0.02, "autoattack": True, "max_examples": 5}
    args = make_args(eval_attack=settings, per_device_eval_batch_size=4)
    trainer = PrivacyTrainer(model_of("vit"), args, eval_dataset=images, processing_class=PROCESSOR)
    assert trainer.eval_attacks["robust_accuracy"].space == PixelSpace((0.5,), (0.25,))
    whole = trainer.eval_attacks["autoattack_accuracy"]
    assert whole == AutoAttack(PixelSpace((0.5,), (0.25,)), 0.02)
    trainer.eval_attacks["autoattack_accuracy"] = replace(whole, attacks=["apgd-ce", "square"], n_queries=20)
    metrics = trainer.evaluate()
    assert metrics["eval_robust_examples"] == 5
    assert metrics["eval_autoattack_accuracy"] <= metrics["eval_robust_accuracy"] <= 1
    again = trainer.evaluate()  # the same five, from the same start
    names = ("eval_robust_accuracy", "eval_autoattack_accuracy")
    assert [again[name] for name in names] == [metrics[name] for name in names]


def test_texts_are_attacked_in_their_embeddings(make_args, model_of, data_of):
    trainer = PrivacyTrainer(model_of("bert"), make_args(eval_attack={"epsilon": 0.0}), eval_dataset=data_of("bert"))
    assert isinstance(trainer.eval_attacks["robust_accuracy"].space, EmbeddingSpace)
    logits = trainer.predict(trainer.eval_dataset).predictions
    clean = (torch.tensor(logits).argmax(dim=1) == trainer.eval_dataset.column("labels")).float().mean()
    assert trainer.evaluate()["eval_robust_accuracy"] == pytest.approx(float(clean))


def test_loggers_and_callbacks_see_the_metrics(tabular_trainer):
    seen = []

    class Watch(TrainerCallback):
        def on_evaluate(self, args, state, control, metrics, **kwargs):
            seen.append(metrics)

    trainer = tabular_trainer({"epsilon": 0.3}, callbacks=[Watch()], eval_strategy="steps", eval_steps=1)
    trainer.train()
    assert len(seen) == 2
    assert all(set(metrics) >= NEW for metrics in seen)
    logged = [entry for entry in trainer.state.log_history if "eval_robust_accuracy" in entry]
    assert [entry["eval_robust_accuracy"] for entry in logged] == [m["eval_robust_accuracy"] for m in seen]


def test_each_of_several_evaluation_sets_is_attacked(tabular_trainer, data_of):
    sets = {"seen": data_of("tabular", 5), "unseen": data_of("tabular", 7, seed=3)}
    metrics = tabular_trainer({"epsilon": 0.3}, eval_dataset=sets).evaluate()
    assert (metrics["eval_seen_robust_examples"], metrics["eval_unseen_robust_examples"]) == (5, 7)


def test_predictions_are_not_attacked(tabular_trainer):
    trainer = tabular_trainer({"epsilon": 0.3})
    assert not [name for name in trainer.predict(trainer.eval_dataset).metrics if "robust" in name]


def test_a_dataset_of_the_datasets_library_is_attacked_as_well(tabular_trainer, data_of):
    tensors = data_of("tabular", 9, seed=2)
    rows = {name: tensors.column(name).numpy() for name in tensors.column_names}
    plain = datasets.Dataset.from_dict(rows).with_format("torch")
    expected = tabular_trainer({"epsilon": 0.3}, eval_dataset=tensors).evaluate()
    trainer = tabular_trainer({"epsilon": 0.3})
    trainer.data_collator = torch.utils.data.default_collate
    found = trainer.evaluate(plain)
    assert {name: found[name] for name in NEW} == {name: expected[name] for name in NEW}


@pytest.mark.parametrize("disable_tqdm", [True, False])
def test_progress_is_shown_where_the_trainer_shows_its_own(disable_tqdm, tabular_trainer, monkeypatch):
    shown = []

    def recorded(*arguments, progress, **keywords):
        shown.append(progress)
        return adversarial_correct(*arguments, progress=False, **keywords)

    monkeypatch.setattr("hf_privacy.defenses.base.robust_evaluation.adversarial_correct", recorded)
    tabular_trainer({"epsilon": 0.3}, disable_tqdm=disable_tqdm).evaluate()
    assert shown == [not disable_tqdm]


@pytest.mark.parametrize(
    ("trainer_class", "config_class", "arguments"),
    [
        (RelaxLossTrainer, RelaxLossConfig, {"alpha": 0.5}),
        (HAMPTrainer, HAMPConfig, {}),
        (DPTrainer, DPConfig, {"noise_multiplier": 1.0, "target_delta": 1e-3}),
    ],
)
def test_every_defence_evaluates_with_the_attack(trainer_class, config_class, arguments, tabular_trainer):
    trainer = tabular_trainer(
        {"epsilon": 0.3}, trainer_class=trainer_class, config_class=config_class, eval_strategy="epoch", **arguments
    )
    trainer.train()
    assert set(trainer.evaluate()) >= NEW


# ---- what it leaves alone ----


@pytest.mark.parametrize("bf16", [False, True])
def test_a_run_with_attacks_trains_as_one_without(bf16, tabular_trainer):
    weights = []
    for eval_attack in (None, {"epsilon": 0.3}):
        trainer = tabular_trainer(eval_attack, max_steps=4, eval_strategy="steps", eval_steps=1, bf16=bf16)
        trainer.train()
        weights.append(trainer.model.state_dict())
    for name, tensor in weights[0].items():
        assert torch.equal(tensor, weights[1][name]), name


def test_reference_models_do_not_depend_on_how_the_target_is_evaluated():
    assert shaping_arguments({"eval_attack": {"epsilon": 0.1}}) == {}


# ---- settings ----


def test_a_command_line_gives_json_and_a_saved_dictionary_comes_back(tmp_path):
    line = f"--output_dir {tmp_path} --use_cpu true --eval_attack".split()
    (args,) = HfArgumentParser(PrivacyConfig).parse_args_into_dataclasses([*line, '{"epsilon": 0.03, "norm": "l2"}'])
    assert args.eval_attack == {
        "epsilon": 0.03,
        "norm": "l2",
        "n_steps": 20,
        "step_size": None,
        "loss": "cross_entropy",
        "autoattack": False,
        "max_examples": None,
        "seed": 0,
    }
    saved = {name: value for name, value in json.loads(args.to_json_string()).items() if name != "hub_token"}
    assert PrivacyConfig(**saved).eval_attack == args.eval_attack


@pytest.mark.parametrize(
    ("eval_attack", "message"),
    [
        ({}, "eval_attack's epsilon is None: pass a number in [0, ∞), such as 0.0314 for 8/255"),
        ("epsilon=0.03", "eval_attack is 'epsilon=0.03': pass a dictionary, on a command line as JSON"),
        ("[0.03]", "eval_attack is '[0.03]': pass a dictionary"),
        ({"eps": 0.03}, "eval_attack has the key 'eps': pass some of epsilon, norm, n_steps"),
        ({"epsilon": "8/255"}, "eval_attack's epsilon is '8/255': pass a number"),
        ({"epsilon": -0.03}, "epsilon is -0.03"),
        ({"epsilon": 0.03, "norm": "l1"}, "norm is 'l1'"),
        ({"epsilon": 0.03, "n_steps": 0}, "eval_attack's n_steps is 0"),
        ({"epsilon": 0.03, "n_steps": 2.5}, "eval_attack's n_steps is 2.5"),
        ({"epsilon": 0.03, "step_size": 0}, "step_size is 0"),
        ({"epsilon": 0.03, "loss": "mse"}, "loss is 'mse'"),
        ({"epsilon": 0.03, "autoattack": "standard"}, "eval_attack's autoattack is 'standard': pass True or False"),
        ({"epsilon": 0.03, "max_examples": 0}, "eval_attack's max_examples is 0"),
        ({"epsilon": 0.03, "seed": -1}, "eval_attack's seed is -1"),
    ],
    ids=str,
)
def test_bad_settings_are_refused_by_the_arguments_already(eval_attack, message, make_args):
    with pytest.raises(InputError, match=re.escape(message)) as refused:
        make_args(eval_attack=eval_attack)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("name", "settings", "processor", "message"),
    [
        ("vit", {"epsilon": 8}, PROCESSOR, "epsilon is 8 and pixels go from 0 to 1"),
        ("vit", {"epsilon": 0.03}, None, "processor is missing: an attack on pixels needs the image processor"),
        (
            "tabular",
            {"epsilon": 0.03, "autoattack": True},
            None,
            "space is FeatureSpace: AutoAttack moves pixels alone",
        ),
        (
            "bert",
            {"epsilon": 0.03, "autoattack": True},
            None,
            "space is EmbeddingSpace: AutoAttack moves pixels alone",
        ),
    ],
)
def test_what_cannot_be_attacked_is_refused_before_training(
    name, settings, processor, message, make_args, model_of, data_of
):
    with pytest.raises(InputError, match=re.escape(message)):
        PrivacyTrainer(
            model_of(name),
            make_args(eval_attack=settings),
            train_dataset=data_of(name),
            eval_dataset=data_of(name),
            processing_class=processor,
        )


def test_a_token_model_that_takes_no_embeddings_is_refused_before_training(make_args, model_of, data_of, monkeypatch):
    model = model_of("bert")

    def without_embeddings(input_ids, attention_mask=None):
        return SequenceClassifierOutput(logits=torch.zeros(len(input_ids), 3))

    monkeypatch.setattr(model, "forward", without_embeddings)
    with pytest.raises(InputError, match="which takes no word embeddings"):
        PrivacyTrainer(model, make_args(eval_attack={"epsilon": 0.1}), eval_dataset=data_of("bert"))


def test_a_missing_extra_is_named_before_training(make_args, model_of, images, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyautoattack", None)
    args = make_args(eval_attack={"epsilon": 0.03, "autoattack": True})
    with pytest.raises(InputError, match=r'AutoAttack needs pyautoattack .* pip install "hf-privacy\[robust\]"'):
        PrivacyTrainer(model_of("vit"), args, eval_dataset=images, processing_class=PROCESSOR)


def test_iterable_evaluation_data_is_refused_before_training(tabular_trainer):
    stream = datasets.IterableDataset.from_generator(lambda: iter([{"features": [0.0] * 4, "labels": 0}]))
    with pytest.raises(InputError, match="eval_dataset is iterable and eval_attack is set"):
        tabular_trainer({"epsilon": 0.3}, eval_dataset=stream)


# ---- two processes ----


def test_trap_7_two_processes_attack_each_example_once_and_agree_with_one(tmp_path, make_args, model_of, data_of):
    on_two_processes(Path(__file__).with_name("two_processes_robust.py"), tmp_path)
    ranks = [json.loads((tmp_path / f"rank{rank}.json").read_text()) for rank in (0, 1)]
    assert sorted(row for rank in ranks for batch in rank["rows"] for row in batch) == list(range(17))
    assert all(len(rank["rows"]) > 0 for rank in ranks)

    model = model_of("tabular")
    model.load_state_dict(load_file(tmp_path / "model" / "model.safetensors"))
    args = make_args(eval_attack={"epsilon": 0.3, "n_steps": 5}, per_device_eval_batch_size=4)
    alone = PrivacyTrainer(model, args, eval_dataset=data_of("tabular", 17)).evaluate()
    expected = {"robust_accuracy": alone["eval_robust_accuracy"], "robust_examples": 17}
    for rank in ranks:
        assert rank["direct"] == rank["logged"] == expected
