"""A reference differs from the target in data, seed and place, and in nothing else."""

from __future__ import annotations

import copy
import importlib
import sys

import numpy as np
import pytest
import torch
from peft import LoraConfig, get_peft_model
from small_training import RESNET
from transformers import TrainerCallback, ViTImageProcessor

from hf_privacy.data import RandomFlipCrop, TensorDataset, random_flip
from hf_privacy.defenses import PrivacyTrainer
from hf_privacy.errors import InputError
from hf_privacy.models import load_model
from hf_privacy.references import plan_references, recipe_hash, reference_run, reference_trainer, require_cloneable


class SquaredLossTrainer(PrivacyTrainer):
    """A stand-in for a defence."""

    defense_name = "squared"

    def training_loss(self, model, inputs):
        outputs = self.forward_without_labels(model, inputs)
        return outputs["logits"].square().mean(), outputs


class CountingCallback(TrainerCallback):
    """Counts steps: state that a reference must not inherit."""

    def __init__(self, every: int = 1) -> None:
        self.every = every
        self.steps = 0

    def on_step_end(self, args, state, control, **kwargs) -> None:
        self.steps += 1


def lora_init(alpha: int = 8, dropout: float = 0.0, modules: tuple[str, ...] = ("layers.0",)):
    def init():
        model = load_model(
            "hf_privacy_tabular_mlp",
            task="tabular-classification",
            num_labels=3,
            from_scratch=True,
            model_kwargs={"input_size": 6, "hidden_sizes": [8, 8]},
            seed=0,
        )
        config = LoraConfig(r=2, lora_alpha=alpha, lora_dropout=dropout, target_modules=list(modules))
        return get_peft_model(model, config)

    return init


def image_data(n_rows: int = 30) -> TensorDataset:
    generator = torch.Generator().manual_seed(0)
    return TensorDataset(
        {
            "pixel_values": torch.randn(n_rows, 1, 8, 8, generator=generator),
            "labels": torch.randint(3, (n_rows,), generator=generator),
        }
    )


def image_init() -> torch.nn.Module:
    sizes = RESNET["kwargs"]
    return load_model(
        "resnet", task="image-classification", num_labels=3, from_scratch=True, model_kwargs=sizes, seed=0
    )


def image_lora_init() -> torch.nn.Module:
    return get_peft_model(image_init(), LoraConfig(r=2, target_modules=["convolution"]))


# ---- the clone ----


def test_a_reference_has_the_targets_class_data_seed_and_folder_of_its_own(make_trainer, dataset, tmp_path):
    target = make_trainer(trainer_class=SquaredLossTrainer)
    rows = dataset.subset([1, 2, 3])
    clone = reference_trainer(target, rows, seed=11, output_dir=tmp_path / "reference")
    assert type(clone) is SquaredLossTrainer
    assert clone.train_dataset is rows
    assert clone.args.seed == 11
    assert clone.args.output_dir == str(tmp_path / "reference")


def test_every_argument_that_shapes_the_weights_is_the_targets(make_trainer, dataset, tmp_path):
    target = make_trainer(
        learning_rate=0.123,
        weight_decay=0.01,
        lr_scheduler_type="cosine",
        warmup_steps=3,
        optim="sgd",
        momentum=0.5,
        label_smoothing_factor=0.1,
        gradient_accumulation_steps=2,
        max_grad_norm=0.7,
    )
    clone = reference_trainer(target, dataset, seed=11, output_dir=tmp_path / "reference")
    ours, theirs = target.args.to_dict(), clone.args.to_dict()
    different = {name for name in ours if ours[name] != theirs[name]}
    assert different <= {"output_dir", "seed", "data_seed", "eval_strategy", "logging_strategy", "report_to"}


def test_the_targets_arguments_are_left_as_they_were(make_trainer, dataset, tmp_path):
    target = make_trainer(data_seed=5)
    before = copy.deepcopy(target.args.to_dict())
    reference_trainer(target, dataset, seed=11, output_dir=tmp_path / "reference")
    assert target.args.to_dict() == before


def test_references_evaluate_log_and_push_nothing(make_trainer, dataset, tmp_path):
    target = make_trainer(logging_strategy="steps", logging_steps=1)
    clone = reference_trainer(target, dataset, seed=1, output_dir=tmp_path / "reference")
    clone.train()
    assert [entry for entry in clone.state.log_history if "loss" in entry] == []
    assert not clone.args.push_to_hub
    assert clone.args.eval_strategy == "no"


def test_a_data_seed_of_the_target_does_not_order_every_references_examples_alike(make_trainer, dataset, tmp_path):
    target = make_trainer(data_seed=5)
    orders = []
    for seed in (1, 2):
        clone = reference_trainer(target, dataset, seed=seed, output_dir=tmp_path / "reference")
        orders.append(torch.cat([batch["labels"] for batch in clone.get_train_dataloader()]).tolist())
    assert orders[0] != orders[1]


def test_references_start_from_initial_weights_of_their_own_seed(make_trainer, dataset, tmp_path):
    target = make_trainer()
    starts = [
        reference_trainer(target, dataset, seed=seed, output_dir=tmp_path).model.classifier.weight.detach().clone()
        for seed in (1, 1, 2)
    ]
    assert torch.equal(starts[0], starts[1])
    assert not torch.equal(starts[0], starts[2])


def test_a_reference_has_the_targets_adapter(make_trainer, dataset, tmp_path):
    target = make_trainer(model_init=lora_init(alpha=4))
    clone = reference_trainer(target, dataset, seed=1, output_dir=tmp_path)
    assert clone.model.peft_config["default"].to_dict() == target.model.peft_config["default"].to_dict()
    trainable = [
        [name for name, parameter in trainer.model.named_parameters() if parameter.requires_grad]
        for trainer in (target, clone)
    ]
    assert trainable[0] == trainable[1]
    assert all("lora" in name for name in trainable[0])


def test_a_reference_has_the_targets_processor(make_trainer, dataset, tmp_path):
    processor = ViTImageProcessor(size={"height": 8, "width": 8})
    target = make_trainer(processing_class=processor)
    assert reference_trainer(target, dataset, seed=1, output_dir=tmp_path).processing_class is processor


def test_callbacks_are_copies_in_the_state_before_training(make_trainer, dataset, tmp_path):
    callback = CountingCallback()
    target = make_trainer(callbacks=[callback])
    target.train()
    assert callback.steps > 0
    clone = reference_trainer(target, dataset, seed=1, output_dir=tmp_path)
    (copied,) = [found for found in clone.callback_handler.callbacks if isinstance(found, CountingCallback)]
    assert copied is not callback
    assert copied.steps == 0
    # And a second reference is not handed what the first one counted.
    clone.train()
    again = reference_trainer(target, dataset, seed=1, output_dir=tmp_path)
    (other,) = [found for found in again.callback_handler.callbacks if isinstance(found, CountingCallback)]
    assert other.steps == 0


def test_the_pool_is_trained_on_with_the_targets_augmentation_and_audited_without(make_trainer, split, tmp_path):
    data = image_data(80)
    target = make_trainer(
        train_dataset=data.subset(split.members).with_augmentation(random_flip), model_init=image_init
    )
    run = reference_run(target, data, split, tmp_path / "store", n_models=4)
    assert run.train_pool.augmentation is random_flip
    assert run.audit_dataset.augmentation is None
    assert len(run.train_pool) == 60
    assert len(run.audit_dataset) == 80


def test_pool_columns_are_the_splits_pool_then_its_population(make_trainer, dataset, split, tmp_path):
    run = reference_run(make_trainer(), dataset, split, tmp_path / "store", n_models=4)
    rows = np.concatenate([split.pool, split.population])
    assert torch.equal(run.audit_dataset.column("features"), dataset.column("features")[rows])
    assert torch.equal(run.train_pool.column("features"), dataset.column("features")[split.pool])


# ---- what references cannot be made of ----


def test_a_trainer_built_from_a_model_is_refused(make_trainer):
    trainer = make_trainer()
    built = PrivacyTrainer(model=trainer.model, args=trainer.args, train_dataset=trainer.train_dataset)
    with pytest.raises(InputError, match="build it with model_init"):
        require_cloneable(built)


def test_a_trainer_without_tensors_to_take_subsets_of_is_refused(make_trainer):
    with pytest.raises(InputError, match="train_dataset is list"):
        require_cloneable(make_trainer(train_dataset=[{"features": torch.zeros(6), "labels": 0}]))


def test_a_trainer_that_picks_its_best_checkpoint_by_held_out_examples_is_refused(make_trainer):
    trainer = make_trainer()
    trainer.args.load_best_model_at_end = True
    with pytest.raises(InputError, match="load_best_model_at_end is set"):
        require_cloneable(trainer)


def test_a_trainer_on_several_processes_is_refused(make_trainer, monkeypatch):
    trainer = make_trainer()
    monkeypatch.setattr(type(trainer.args), "world_size", property(lambda self: 2))
    with pytest.raises(InputError, match="runs on 2 processes"):
        require_cloneable(trainer)


# ---- the recipe's hash ----


@pytest.fixture
def plan():
    return plan_references(np.arange(60) % 3, n_models=4)


@pytest.fixture
def hash_of(plan):
    def compute(trainer, *, plan=plan, dataset_fingerprint="d", pool_hash="p"):
        return recipe_hash(trainer, plan, dataset_fingerprint=dataset_fingerprint, pool_hash=pool_hash)

    return compute


def test_the_same_recipe_has_the_same_hash(make_trainer, hash_of):
    assert hash_of(make_trainer()) == hash_of(make_trainer())


@pytest.mark.parametrize(
    "change",
    [
        {"learning_rate": 0.051},
        {"num_train_epochs": 3},
        {"per_device_train_batch_size": 5},
        {"gradient_accumulation_steps": 2},
        {"optim": "sgd"},
        {"momentum": 0.5},
        {"weight_decay": 0.1},
        {"label_smoothing_factor": 0.1},
        {"lr_scheduler_type": "cosine"},
        {"max_grad_norm": 0.5},
        {"model_kwargs": {"hidden_sizes": [9]}},
        # Neither shows in the initial weights.
        {"model_kwargs": {"dropout": 0.5}},
        {"model_kwargs": {"activation": "tanh"}},
        {"trainer_class": SquaredLossTrainer},
        {"callbacks": [CountingCallback()]},
        {"processing_class": ViTImageProcessor()},
    ],
    ids=lambda change: next(iter(change)),
)
def test_what_shapes_the_weights_changes_the_hash(make_trainer, hash_of, change):
    assert hash_of(make_trainer(**change)) != hash_of(make_trainer())


def test_another_normalisation_changes_the_hash(make_trainer, hash_of):
    """A radius in pixels is another one in what the model sees."""
    means = ([0.5] * 3, [0.5] * 3, [0.4] * 3)
    hashes = {hash_of(make_trainer(processing_class=ViTImageProcessor(image_mean=mean))) for mean in means}
    assert len(hashes) == 2


def test_a_callbacks_settings_change_the_hash(make_trainer, hash_of):
    hashes = {hash_of(make_trainer(callbacks=[CountingCallback(every)])) for every in (1, 1, 2)}
    assert len(hashes) == 2


def test_the_source_of_ones_own_classes_is_part_of_the_hash_and_the_place_of_ours_is_not(
    make_trainer, hash_of, tmp_path, monkeypatch
):
    monkeypatch.syspath_prepend(tmp_path)
    text = (
        "from transformers import TrainerCallback\nfrom hf_privacy import PrivacyTrainer\n"
        "class Mine(PrivacyTrainer):\n    pass\nclass Watch(TrainerCallback):\n    pass\n"
    )

    def hashes(changed):
        (tmp_path / "own_defence.py").write_text(text + changed)
        importlib.invalidate_caches()
        monkeypatch.delitem(sys.modules, "own_defence", raising=False)
        own = importlib.import_module("own_defence")
        return hash_of(make_trainer(trainer_class=own.Mine)), hash_of(make_trainer(callbacks=[own.Watch()]))

    before, same, after = hashes(""), hashes(""), hashes("# another loss\n")
    assert before == same
    assert before[0] != after[0]
    assert before[1] != after[1]
    plain = hash_of(make_trainer())
    monkeypatch.setattr(PrivacyTrainer, "__module__", "hf_privacy.defenses.elsewhere")
    assert hash_of(make_trainer()) == plain


def test_the_adapters_settings_change_the_hash(make_trainer, hash_of):
    settings = [
        {},
        {"alpha": 16},  # scales the update; no weight shows it
        {"dropout": 0.5},
        {"modules": ("layers.1",)},
        {"modules": ("layers.0", "layers.1")},
    ]
    assert len({hash_of(make_trainer(model_init=lora_init(**chosen))) for chosen in settings}) == len(settings)


def test_augmentation_changes_the_hash(make_trainer, hash_of):
    chosen = [None, random_flip, RandomFlipCrop(), RandomFlipCrop(padding=2)]

    def hash_with(one):
        return hash_of(make_trainer(train_dataset=image_data().with_augmentation(one), model_init=image_init))

    hashes = [hash_with(one) for one in chosen]
    assert len(set(hashes)) == len(chosen)
    assert hash_with(RandomFlipCrop()) == hashes[2]


def test_dataset_pool_and_plan_change_the_hash(make_trainer, hash_of):
    trainer = make_trainer()
    labels = np.arange(60) % 3
    others = [
        hash_of(trainer),
        hash_of(trainer, dataset_fingerprint="other"),
        hash_of(trainer, pool_hash="other"),
        hash_of(trainer, plan=plan_references(labels, n_models=4, seed=1)),
        hash_of(trainer, plan=plan_references(labels, n_models=4, fraction=0.25)),
        hash_of(trainer, plan=plan_references(labels, n_models=8, fraction=0.25)),
    ]
    assert len(set(others)) == len(others)


def test_a_plan_that_continues_another_has_its_hash(make_trainer, hash_of):
    trainer = make_trainer()
    labels = np.arange(60) % 3
    fewer, more = plan_references(labels, n_models=4), plan_references(labels, n_models=7)
    assert np.array_equal(more.membership[:4], fewer.membership)
    assert hash_of(trainer, plan=fewer) == hash_of(trainer, plan=more)


@pytest.mark.parametrize(
    "change",
    [
        {"output_dir": "elsewhere"},
        {"seed": 99},
        {"data_seed": 99},
        {"logging_strategy": "steps", "logging_steps": 7},
        {"save_strategy": "epoch"},
        {"per_device_eval_batch_size": 3},
        {"hub_model_id": "someone/model"},
        {"max_auc": 0.6},
        {"run_name": "a name"},
    ],
    ids=lambda change: next(iter(change)),
)
def test_what_leaves_the_weights_alone_leaves_the_hash_alone(make_trainer, hash_of, change, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert hash_of(make_trainer(**change)) == hash_of(make_trainer())


def test_the_hash_leaves_torchs_random_state_alone(make_trainer, hash_of):
    trainer = make_trainer()
    torch.manual_seed(3)
    expected = torch.rand(2)
    torch.manual_seed(3)
    hash_of(trainer)
    assert torch.equal(torch.rand(2), expected)


def test_the_hash_does_not_depend_on_what_training_did_to_the_target(make_trainer, hash_of):
    trainer = make_trainer(callbacks=[CountingCallback()])
    before = hash_of(trainer)
    trainer.train()
    assert hash_of(trainer) == before


def test_versions_of_the_libraries_a_model_is_of_change_its_hash_and_others_do_not(make_trainer, hash_of, monkeypatch):
    plain, adapted = (lambda: make_trainer()), (lambda: make_trainer(model_init=lora_init()))
    before = hash_of(plain()), hash_of(adapted())
    monkeypatch.setattr("hf_privacy.references.clone.minor_version", lambda package: "0.0")
    assert hash_of(plain()) == before[0]
    assert hash_of(adapted()) != before[1]


def test_no_memory_address_enters_the_hash(make_trainer, plan, monkeypatch):
    hashed = []
    real = __import__("json").dumps

    def spy(value, **options):
        text = real(value, **options)
        hashed.append(text)
        return text

    monkeypatch.setattr("hf_privacy.references.clone.json.dumps", spy)
    trainer = make_trainer(
        callbacks=[CountingCallback()],
        train_dataset=image_data().with_augmentation(random_flip),
        model_init=image_lora_init,
    )
    recipe_hash(trainer, plan, dataset_fingerprint="d", pool_hash="p")
    (text,) = [text for text in hashed if "initial_weights" in text]
    assert " at 0x" not in text
    assert "object at" not in text
