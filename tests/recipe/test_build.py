"""A recipe becomes data, split, model and trainer, for every task; what cannot become one is said first."""

from __future__ import annotations

import json
from pathlib import Path

import datasets
import numpy as np
import pytest
import torch
from peft import PeftModel
from safetensors.numpy import load_file, save_file
from small_training import RESNET

from hf_privacy.data import MembershipSplit, RandomFlipCrop, dataset_fingerprint, make_split, random_flip
from hf_privacy.errors import InputError
from hf_privacy.recipe import Recipe, prepare, training_arguments

VIT = {
    "img_size": 8,
    "patch_size": 4,
    "embed_dim": 8,
    "depth": 1,
    "num_heads": 2,
    "in_chans": 1,
}
TIMM = {"name_or_path": "timm:vit_tiny_patch16_224", "from_scratch": True, "kwargs": VIT}


def digits_recipe(tmp_path: Path, model: dict, **data) -> Recipe:
    return Recipe.from_dict(
        {
            "task": "image-classification",
            "output_dir": str(tmp_path / "run"),
            "model": model,
            "data": {"name_or_path": "digits", "max_examples": 60, "near_repeats": False, **data},
            "training": {"num_train_epochs": 1, "per_device_train_batch_size": 10, "use_cpu": True},
        }
    )


def text_recipe(tmp_path: Path, source: str, model: dict, **data) -> Recipe:
    return Recipe.from_dict(
        {
            "task": "text-classification",
            "output_dir": str(tmp_path / "run"),
            "model": model,
            "data": {"name_or_path": source, "input_column": "sentence", **data},
            "training": {"num_train_epochs": 1, "per_device_train_batch_size": 10, "use_cpu": True},
        }
    )


# ---- the tasks ----


@pytest.mark.parametrize("model", [RESNET, TIMM], ids=["transformers", "timm"])
def test_digits_train_with_a_model_from_scratch(tmp_path, model):
    experiment = prepare(digits_recipe(tmp_path, model))
    assert len(experiment.classes) == 10
    assert experiment.dataset.column("pixel_values").shape == (60, 1, 8, 8)
    trainer = experiment.trainer()
    assert trainer.train_dataset.column("labels").tolist() == (
        experiment.dataset.column("labels")[experiment.split.members].tolist()
    )
    assert trainer.train().global_step == 3
    assert trainer.model.config.id2label == {number: str(number) for number in range(10)}


def test_images_are_resized_when_the_recipe_says_so(tmp_path):
    experiment = prepare(digits_recipe(tmp_path, RESNET, image_size=12))
    assert experiment.dataset.column("pixel_values").shape == (60, 1, 12, 12)


@pytest.mark.parametrize(("name", "kind"), [("flip", type(random_flip)), ("flip_crop", RandomFlipCrop)])
def test_augmentation_is_for_training_and_not_for_the_audit(tmp_path, name, kind):
    experiment = prepare(digits_recipe(tmp_path, RESNET, augmentation=name))
    assert isinstance(experiment.trainer().train_dataset.augmentation, kind)
    assert experiment.dataset.augmentation is None
    assert experiment.trainer().eval_dataset.augmentation is None


def test_text_trains_with_a_pretrained_encoder_and_its_tokenizer(tmp_path, text_file, tiny_bert):
    experiment = prepare(text_recipe(tmp_path, text_file, {"name_or_path": tiny_bert}, max_length=6))
    assert experiment.dataset.column("input_ids").shape == (40, 6)
    trainer = experiment.trainer()
    assert trainer.processing_class is experiment.processor
    encoder = trainer.model.bert.embeddings.word_embeddings.weight
    start = load_file(Path(tiny_bert, "model.safetensors"))["embeddings.word_embeddings.weight"]
    assert torch.equal(encoder.detach(), torch.from_numpy(start))
    assert trainer.train().global_step == 2


def test_text_trains_with_lora(tmp_path, text_file, tiny_bert):
    lora = {"r": 2, "target_modules": ["query", "value"]}
    experiment = prepare(text_recipe(tmp_path, text_file, {"name_or_path": tiny_bert, "lora": lora}))
    trainer = experiment.trainer()
    assert isinstance(trainer.model, PeftModel)
    trainer.train()
    trainer.save_model(_internal_call=True)
    saved = json.loads((tmp_path / "run" / "adapter_config.json").read_text())
    assert saved["target_modules"] == ["query", "value"] or set(saved["target_modules"]) == {"query", "value"}


def test_a_table_trains_an_mlp_of_its_width(make_recipe):
    experiment = prepare(make_recipe())
    trainer = experiment.trainer()
    assert trainer.model.config.input_size == 5
    assert trainer.model.config.num_labels == 3
    trainer.train()


def test_labels_without_names_are_called_by_their_numbers(make_recipe):
    assert prepare(make_recipe()).classes == ["0", "1", "2"]


# ---- rows and split ----


def test_the_split_follows_the_recipe(make_recipe):
    recipe = make_recipe(data={"member_fraction": 0.25, "population_fraction": 0.5, "split_seed": 3})
    split = prepare(recipe).split
    assert (len(split.members), len(split.non_members), len(split.population)) == (10, 30, 40)
    assert split.stratified
    assert prepare(recipe).split.hash == split.hash
    assert prepare(recipe.override({"data.split_seed": "4"})).split.hash != split.hash


def test_max_examples_is_a_stratified_random_subset_fixed_by_the_seed(make_recipe):
    recipe = make_recipe(data={"max_examples": 30})
    one, same = prepare(recipe), prepare(recipe)
    assert len(one.dataset) == 30
    assert np.bincount(one.dataset.column("labels").numpy()).tolist() == [10, 10, 10]
    assert one.split.dataset_fingerprint == same.split.dataset_fingerprint
    assert one.split.n_examples == 30
    assert not np.array_equal(one.dataset.column("features"), prepare(make_recipe()).dataset.column("features")[:30])


def test_max_examples_above_the_rows_takes_them_all(make_recipe):
    assert len(prepare(make_recipe(data={"max_examples": 10**6})).dataset) == 80


def test_repeats_are_reported_or_dropped(make_recipe, tmp_path):
    rng = np.random.default_rng(0)
    features = rng.normal(size=(40, 5)).tolist()
    labels = (np.arange(40) % 2).tolist()
    path = tmp_path / "repeats.parquet"
    datasets.Dataset.from_dict({"features": features + features[:10], "label": labels + labels[:10]}).to_parquet(path)
    reported = prepare(make_recipe(str(path)))
    assert len(reported.dataset) == 50
    assert sum(reported.repeats.exact_across.values()) > 0
    dropped = prepare(make_recipe(str(path), data={"repeats": "drop"}))
    assert len(dropped.dataset) == 40
    assert sum(dropped.repeats.exact_across.values()) == 0


def test_a_worker_need_not_look_for_repeats(make_recipe):
    assert prepare(make_recipe(), with_repeats=False).repeats is None


def test_a_split_file_is_used_as_it_is(make_recipe, table_file, tmp_path):
    rows = datasets.Dataset.from_parquet(table_file).select_columns(["features", "label"])
    split = make_split(rows, members=[0, 2, 4], non_members=[1, 3])
    split.save(tmp_path / "split.safetensors")
    experiment = prepare(make_recipe(data={"split_file": str(tmp_path / "split.safetensors")}))
    assert experiment.split.hash == split.hash
    assert len(experiment.trainer().train_dataset) == 3


def test_a_split_of_another_dataset_is_refused(make_recipe, table_file, tmp_path):
    rows = datasets.Dataset.from_parquet(table_file).select_columns(["features", "label"])
    other = rows.select(range(79))
    make_split(other, members=[0], non_members=[1]).save(tmp_path / "split.safetensors")
    with pytest.raises(InputError, match="the split is of another dataset"):
        prepare(make_recipe(data={"split_file": str(tmp_path / "split.safetensors")}))


def test_a_split_file_whose_members_are_also_non_members_is_refused(make_recipe, table_file, tmp_path):
    rows = datasets.Dataset.from_parquet(table_file).select_columns(["features", "label"])
    path = tmp_path / "split.safetensors"
    MembershipSplit([0, 1], [2], [], n_examples=80, dataset_fingerprint=dataset_fingerprint(rows)).save(path)
    from safetensors import safe_open

    with safe_open(path, framework="np") as file:
        metadata, parts = file.metadata(), {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    parts["non_members"] = np.array([1, 2])
    save_file(parts, path, metadata=metadata)
    with pytest.raises(InputError, match="1 of the members are also in non_members"):
        prepare(make_recipe(data={"split_file": str(path)}))


# ---- what is refused ----


@pytest.mark.parametrize(
    ("sections", "message"),
    [
        ({"data": {"input_column": "featurs"}}, "input_column is 'featurs' .*did you mean 'features'"),
        ({"data": {"label_column": "class"}}, "label_column is 'class'"),
        ({"data": {"label_column": "features"}}, "label_column 'features' holds"),
        ({"data": {"member_fraction": 0.001}}, "the split has no members"),
        ({"data": {"member_fraction": 0.999}}, "the split has no non-members"),
        ({"data": {"member_fraction": 1.5}}, "member_fraction is 1.5"),
        ({"data": {"max_examples": 1}}, "max_examples is 1: pass at least 2"),
        ({"data": {"dataset_split": "validation"}}, "validation"),
        ({"model": {"name_or_path": "hf_privacy_tabular_mpl"}}, "did you mean hf_privacy_tabular_mlp"),
        ({"model": {"kwargs": {"hidden": [8]}}}, "model_kwargs has 'hidden'"),
        ({"model": {"name_or_path": "resnet", "kwargs": {}}}, "no tabular-classification model|model_kwargs has"),
        ({"model": {"name_or_path": "bert-base-uncased", "from_scratch": False, "kwargs": {}}}, "neither reachable"),
        ({"training": {"learning_rte": 0.1}}, "unknown key 'learning_rte' in section 'training': .*learning_rate"),
        ({"training": {"learning_rate": "high"}}, "section 'training' key 'learning_rate' is 'high': pass float"),
        ({"training": {"num_train_epochs": "ten"}}, "'num_train_epochs' is 'ten': pass float"),
        ({"training": {"per_device_train_batch_size": 2.5}}, "'per_device_train_batch_size' is 2.5: pass int"),
        ({"training": {"per_device_train_batch_size": 0}}, "per_device_train_batch_size is 0"),
        ({"training": {"learning_rate": 0}}, "training.learning_rate is 0"),
        ({"training": {"num_train_epochs": 0}}, "training.num_train_epochs is 0"),
        ({"training": {"output_dir": "x"}}, "set output_dir at the recipe's top level"),
        ({"training": {"optim": "sgdd"}}, "section 'training' is refused: .*sgdd"),
        ({"training": {"momentum": 2.0}}, "momentum is 2.0"),
        ({"training": {"hub_strategy": "checkpoint"}}, "checkpoint pushes would publish"),
        ({"model": {"name_or_path": ""}}, "model.name_or_path is not set"),
        ({"data": {"name_or_path": ""}}, "data.name_or_path is not set"),
        ({"data": {"augmentation": "flip"}}, "only images are augmented"),
        ({"defense": "relax"}, "unknown key 'relax' in defense"),
    ],
    ids=str,
)
def test_a_recipe_that_cannot_run_is_refused_in_one_sentence(make_recipe, tmp_path, sections, message):
    with pytest.raises(InputError, match=message) as refused:
        prepare(make_recipe(**sections)).trainer()
    assert "\n" not in str(refused.value)
    assert not (tmp_path / "run").exists()


def test_a_hidden_label_of_named_classes_is_refused(make_recipe, tmp_path):
    features = datasets.Features(
        {"features": datasets.List(datasets.Value("float32")), "label": datasets.ClassLabel(names=["a", "b"])}
    )
    rows = datasets.Dataset.from_dict({"features": [[0.0], [1.0]] * 5, "label": [0, -1] * 5}, features=features)
    rows.to_parquet(tmp_path / "labels.parquet")
    with pytest.raises(InputError, match="5 negative labels"):
        prepare(make_recipe(str(tmp_path / "labels.parquet")))


def test_training_arguments_write_no_checkpoints_and_report_nowhere_unless_asked(make_recipe, tmp_path):
    args = training_arguments(make_recipe(), tmp_path)
    assert args.save_strategy == "no"
    assert args.report_to in ([], ["none"])
    assert training_arguments(make_recipe(training={"save_strategy": "epoch"}), tmp_path).save_strategy == "epoch"
