"""Every task of the table: its rows become tensors that its models take, and each example has a loss of its own."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import datasets
import numpy as np
import pytest
import torch
from small_training import RESNET
from torch.nn import functional as F
from transformers import BertConfig, BertModel, BertTokenizerFast

from hf_privacy.data import load_digits_dataset
from hf_privacy.defenses import PrivacyConfig, PrivacyTrainer
from hf_privacy.errors import InputError
from hf_privacy.models.architectures import MODELS_OF, auto_class_for
from hf_privacy.recipe import Recipe
from hf_privacy.recipe.sections import ModelSection
from hf_privacy.signals import QUERY_NAMES, compute_signals
from hf_privacy.tasks import CLASSIFICATION, TASKS, Task, task_named, task_of

N = 8


def images(folder: Path) -> tuple[datasets.Dataset, dict, dict]:
    sizes = RESNET["kwargs"]
    rows = load_digits_dataset().select(range(N))
    return rows, {"input_columns": ["image"]}, {"name_or_path": "resnet", "from_scratch": True, "kwargs": sizes}


def texts(folder: Path) -> tuple[datasets.Dataset, dict, dict]:
    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "good", "bad", "film"]
    words = {word: number for number, word in enumerate(vocabulary)}
    sizes = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 8}
    BertModel(BertConfig(vocab_size=len(words), max_position_embeddings=16, **sizes)).save_pretrained(folder)
    BertTokenizerFast(vocab=words).save_pretrained(folder)
    sentences = ["good film " * (1 + row % 3) + "bad" for row in range(N)]
    rows = datasets.Dataset.from_dict({"text": sentences, "label": [row % 2 for row in range(N)]})
    return rows, {"input_columns": ["text"]}, {"name_or_path": str(folder), "from_scratch": False, "kwargs": {}}


def tables(folder: Path) -> tuple[datasets.Dataset, dict, dict]:
    rows = datasets.Dataset.from_dict(
        {"a": [row / 8 for row in range(N)], "b": [1.0 - row for row in range(N)], "label": [0, 1, 2, 0] * 2}
    )
    model = {"name_or_path": "hf_privacy_tabular_mlp", "from_scratch": True, "kwargs": {"hidden_sizes": [8]}}
    return rows, {"input_columns": ["a", "b"]}, model


# A new task of classification needs a case of its own; language models are tested beside this, in test_causal_lm.py.
CASES = {"image-classification": images, "text-classification": texts, "tabular-classification": tables}


@pytest.fixture(scope="module", params=CLASSIFICATION)
def case(request, tmp_path_factory) -> SimpleNamespace:
    """The task, and what it makes of a few rows and a tiny model."""
    task: Task = TASKS[request.param]
    rows, data, model = CASES[request.param](tmp_path_factory.mktemp("model"))
    data = SimpleNamespace(label_column="label", image_size=None, max_length=16, **data)
    classes = [f"class {number}" for number in range(len(set(rows["label"])))]
    torch.manual_seed(0)
    prepared = task.prepare(rows, model=ModelSection(**model), data=data, classes=classes)
    batch = prepared.dataset.__getitems__(range(N))
    inputs = {name: column for name, column in batch.items() if name != "labels"}
    net = prepared.model.eval()
    return SimpleNamespace(
        task=task, rows=rows, data=data, prepared=prepared, net=net, inputs=inputs, batch=batch, classes=classes
    )


def test_the_table_of_tasks_and_that_of_their_models_name_the_same():
    assert list(TASKS) == list(MODELS_OF)
    assert list(CLASSIFICATION) == list(CASES)
    assert [task.name for task in TASKS.values()] == list(TASKS)
    with pytest.raises(InputError, match=r"task is 'image': pass one of image-classification, text-classification"):
        task_named("image")


def test_rows_become_tensors_that_the_model_takes(case):
    assert len(case.prepared.dataset) == N
    assert case.prepared.dataset.column("labels").tolist() == case.rows["label"]
    assert case.net(**case.inputs)["logits"].shape == (N, len(case.classes))
    assert list(case.net.config.id2label.values()) == case.classes
    again = case.task.encode(
        case.rows, case.prepared.processor, columns=case.data.input_columns, label_column="label", model=case.net
    ).__getitems__(range(N))
    assert all(torch.equal(again[name], column) for name, column in case.batch.items())


def test_the_models_are_those_of_the_tasks_auto_class(case):
    made = case.prepared.model_init()
    assert made is not case.prepared.model
    assert type(made) is type(case.net)
    assert type(auto_class_for(case.task.name).from_config(case.net.config)) is type(made)
    assert task_of(made) is case.task
    assert task_of(torch.compile(made)) is case.task


def test_the_losses_are_those_of_one_example_at_a_time_and_their_mean_is_the_models_own(case):
    outputs = case.net(**case.inputs)
    losses = case.task.example_losses(outputs, case.batch)
    assert losses.shape == (N,)
    assert losses.requires_grad
    for row in range(N):
        alone = {name: column[row : row + 1] for name, column in case.batch.items()}
        torch.testing.assert_close(case.net(**alone)["loss"], losses[row], rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(losses.mean(), case.net(**case.batch)["loss"])
    smoothed = case.task.example_losses(outputs, case.batch, label_smoothing=0.2).mean()
    torch.testing.assert_close(smoothed, F.cross_entropy(outputs["logits"], case.batch["labels"], label_smoothing=0.2))


def test_losses_are_of_float32_at_least(case):
    logits = case.net(**case.inputs)["logits"]
    for given, expected in ((torch.bfloat16, torch.float32), (torch.float64, torch.float64)):
        assert case.task.example_losses({"logits": logits.to(given)}, case.batch).dtype == expected


def test_a_trainer_given_only_a_model_trains_and_evaluates_on_the_losses_of_its_task(case, tmp_path):
    args = PrivacyConfig(str(tmp_path), use_cpu=True, report_to="none", save_strategy="no", disable_tqdm=True)
    trainer = PrivacyTrainer(
        case.prepared.model_init(), args, train_dataset=case.prepared.dataset, eval_dataset=case.prepared.dataset
    )
    trainer.model.eval()  # without dropout
    outputs = trainer.model(**case.inputs)
    expected = case.task.example_losses(outputs, case.batch).mean()
    torch.testing.assert_close(trainer.training_loss(trainer.model, case.batch)[0], expected)
    assert trainer.evaluate()["eval_loss"] == pytest.approx(expected.item(), rel=1e-4)


def test_the_signals_are_of_each_example_and_tell_its_loss_and_the_utility(case):
    outputs = case.net(**case.inputs)
    signals = case.task.signals(outputs, case.batch)
    assert tuple(signals) == case.task.signal_names
    for values in signals.values():
        assert values.shape == (N,)
        assert values.dtype == torch.float64
        assert not values.requires_grad
    torch.testing.assert_close(signals["loss"].float(), case.task.example_losses(outputs, case.batch).detach())
    extracted = compute_signals(case.net, case.prepared.dataset)
    for name, values in signals.items():
        np.testing.assert_allclose(extracted[name][0], values.numpy(), rtol=1e-4, atol=1e-5)
    right = (outputs["logits"].argmax(-1) == case.batch["labels"]).double().mean()
    assert case.task.utility(extracted) == {"accuracy": float(right)}


def test_queries_and_augmentations_are_what_the_task_allows(case):
    assert case.task.queries[0] == "identity"
    assert set(case.task.queries) <= set(QUERY_NAMES)
    for name in case.task.augmentations:
        view = case.prepared.dataset.with_augmentation(case.task.augmentation(name))
        assert view.__getitems__([0, 1])["pixel_values"].shape == case.batch["pixel_values"][:2].shape
    for name in {name for task in TASKS.values() for name in task.augmentations} - set(case.task.augmentations):
        with pytest.raises(InputError, match="only images are augmented"):
            case.task.augmentation(name)


def test_a_recipe_refuses_more_columns_than_an_example_of_its_task_has(case):
    if case.task.most_columns is None:
        pytest.skip("a table has any number of columns")
    columns = [f"column {number}" for number in range(case.task.most_columns + 1)]
    with pytest.raises(InputError, match=f"pass one column{case.task.columns_hint}$"):
        Recipe.from_dict({"task": case.task.name, "data": {"input_column": columns}})


def test_a_module_that_transformers_does_not_know_is_a_classifier_of_features():
    outputs, batch = {"logits": torch.eye(2)}, {"labels": torch.tensor([0, 0])}
    task = task_of(torch.nn.Linear(2, 2))
    assert task.column == "features"
    losses = task.example_losses(outputs, batch)
    torch.testing.assert_close(losses, F.cross_entropy(torch.eye(2), batch["labels"], reduction="none"))
