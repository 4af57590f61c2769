"""The trainer's door: what it takes, what it refuses, and that it still fits the installed transformers."""

from __future__ import annotations

import inspect

import datasets
import pytest
import torch
from transformers import Trainer, TrainingArguments

from hf_privacy.data import TensorDataset
from hf_privacy.defenses import PrivacyTrainer
from hf_privacy.errors import InputError


def overridden() -> list[str]:
    ours = [kind for kind in PrivacyTrainer.__mro__ if kind.__module__.startswith("hf_privacy.")]
    return [
        name
        for kind in ours
        for name, value in vars(kind).items()
        if callable(value) or isinstance(value, staticmethod)
    ]


@pytest.mark.parametrize("name", [name for name in overridden() if hasattr(Trainer, name)])
def test_trap_12_every_overridden_method_can_be_called_as_the_stock_one(name):
    ours = inspect.signature(getattr(PrivacyTrainer, name)).parameters
    theirs = inspect.signature(getattr(Trainer, name)).parameters
    takes_more = any(parameter.kind is parameter.VAR_KEYWORD for parameter in ours.values())
    for parameter in theirs.values():
        if parameter.kind in (parameter.VAR_KEYWORD, parameter.VAR_POSITIONAL):
            continue
        if parameter.name not in ours:
            assert takes_more, f"{name} lacks {parameter.name}"
        elif parameter.default is not parameter.empty:
            assert ours[parameter.name].default is not parameter.empty, f"{name} demands {parameter.name}"
    positional = [p.name for p in ours.values() if p.kind is p.POSITIONAL_OR_KEYWORD]
    stock = [p.name for p in theirs.values() if p.kind is p.POSITIONAL_OR_KEYWORD]
    shared = min(len(positional), len(stock))
    assert positional[:shared] == stock[:shared], "positions are those of the stock method"
    own = {p.name for p in ours.values() if p.default is p.empty and p.kind not in (p.VAR_KEYWORD, p.VAR_POSITIONAL)}
    assert own <= set(theirs), "nothing more is demanded"


def test_the_methods_that_are_meant_to_override_do():
    # A method that transformers renames would be left standing beside the stock one, without effect.
    meant = {
        *("compute_loss", "get_batch_samples", "get_train_dataloader", "_get_collator_with_removed_columns"),
        *("get_optimizer_cls_and_kwargs", "floating_point_ops", "_save", "init_hf_repo", "create_model_card"),
        *("push_to_hub", "save_model", "_load_from_checkpoint", "_load_best_model"),
    }
    assert meant <= set(overridden())
    assert all(hasattr(Trainer, name) for name in meant)


def test_arguments_of_the_stock_trainer_are_refused(model_of, tmp_path):
    args = TrainingArguments(output_dir=str(tmp_path), use_cpu=True, report_to="none")
    with pytest.raises(InputError, match="args is TrainingArguments: pass a PrivacyConfig"):
        PrivacyTrainer(model_of("tabular"), args)


def test_missing_arguments_are_refused(model_of):
    with pytest.raises(InputError, match="args is NoneType: pass a PrivacyConfig"):
        PrivacyTrainer(model_of("tabular"))


def test_trap_2_a_loss_function_from_outside_is_refused(make_args, model_of):
    with pytest.raises(InputError, match="compute_loss_func is set: override training_loss"):
        PrivacyTrainer(model_of("tabular"), make_args(), compute_loss_func=lambda *_, **__: 0)


def test_several_gpus_in_one_process_are_refused(make_args, model_of, monkeypatch):
    args = make_args()
    monkeypatch.setattr(type(args), "n_gpu", property(lambda self: 2))
    with pytest.raises(InputError, match="2 GPUs are visible to one process"):
        PrivacyTrainer(model_of("tabular"), args)


def test_exactly_one_of_model_and_model_init_is_taken(make_args, model_of):
    with pytest.raises(InputError, match="exactly one of model and model_init"):
        PrivacyTrainer(args=make_args())
    with pytest.raises(InputError, match="exactly one of model and model_init"):
        PrivacyTrainer(model_of("tabular"), make_args(), model_init=lambda: model_of("tabular"))


def test_trap_7_an_iterable_dataset_is_refused(make_args, model_of):
    class Stream(torch.utils.data.IterableDataset):
        def __iter__(self):
            yield {"features": torch.zeros(4), "labels": 0}

    rows = datasets.Dataset.from_dict({"features": [[0.0] * 4], "labels": [0]})
    for stream in (Stream(), rows.to_iterable_dataset()):
        with pytest.raises(InputError, match="train_dataset is iterable"):
            PrivacyTrainer(model_of("tabular"), make_args(max_steps=1), train_dataset=stream).train()
        with pytest.raises(InputError, match="train_dataset is iterable"):
            PrivacyTrainer(model_of("tabular"), make_args(), train_dataset=stream).train()


@pytest.mark.parametrize("wanted", ["accuracy", "eval_f1"])
def test_a_metric_to_choose_by_that_nobody_computes_is_refused(wanted, make_args, model_of, data_of):
    choice = {"load_best_model_at_end": True, "save_strategy": "epoch", "eval_strategy": "epoch"}
    data = data_of("tabular")
    with pytest.raises(InputError, match=f"metric_for_best_model is '{wanted}' and nothing computes it"):
        PrivacyTrainer(
            model_of("tabular"), make_args(metric_for_best_model=wanted, **choice), None, data, eval_dataset=data
        )
    for there in ("loss", "eval_loss"):
        PrivacyTrainer(
            model_of("tabular"), make_args(metric_for_best_model=there, **choice), None, data, eval_dataset=data
        )


def test_splits_are_refused(make_args, model_of):
    rows = datasets.DatasetDict(train=datasets.Dataset.from_dict({"x": [1]}))
    with pytest.raises(InputError, match="train_dataset holds the splits train: pass one of them"):
        PrivacyTrainer(model_of("tabular"), make_args(), None, rows)


def test_data_that_the_model_cannot_take_are_refused_before_training(make_args, model_of, data_of):
    data = data_of("tabular")
    wide = TensorDataset({"features": torch.zeros(4, 99), "labels": torch.zeros(4, dtype=torch.long)})
    labels = TensorDataset({"features": data.column("features"), "labels": data.column("labels") + 99})
    for dataset, message in ((wide, "cannot take features of shape 99"), (labels, "labels go from")):
        with pytest.raises(InputError, match=message):
            PrivacyTrainer(model_of("tabular"), make_args(), None, dataset)


def test_a_missing_training_set_is_refused(make_args, model_of):
    with pytest.raises(InputError, match="train_dataset is missing"):
        PrivacyTrainer(model_of("tabular"), make_args()).train()


def test_trap_12_a_dataset_with_other_columns_trains_and_evaluates(make_args, model_of, data_of):
    data = data_of("tabular", 11)
    rows = datasets.Dataset.from_dict(
        {
            "comment": [f"row {number}" for number in range(11)],
            "features": data.column("features").tolist(),
            "label": data.column("labels").tolist(),
        }
    )
    args = make_args(num_train_epochs=2, per_device_train_batch_size=4)
    trainer = PrivacyTrainer(model_of("tabular"), args, train_dataset=rows, eval_dataset=rows)
    trainer.train()
    same = PrivacyTrainer(model_of("tabular"), args, train_dataset=data, eval_dataset=data)
    same.train()
    for ours, theirs in zip(trainer.model.parameters(), same.model.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs)
    assert trainer.evaluate()["eval_loss"] == pytest.approx(same.evaluate()["eval_loss"])


def test_a_plain_torch_dataset_of_dictionaries_with_other_keys_trains(make_args, model_of, data_of):
    data = data_of("tabular")
    rows = [
        {"features": row["features"], "labels": int(row["labels"]), "comment": "none"}
        for row in (data[index] for index in range(8))
    ]
    PrivacyTrainer(model_of("tabular"), make_args(num_train_epochs=1), train_dataset=rows).train()


def test_a_tensor_dataset_may_be_only_evaluated_on(make_args, model_of, data_of):
    data = data_of("tabular", 6)
    rows = datasets.Dataset.from_dict({"features": [[0.0] * 4] * 2, "labels": [0, 1]})
    for train_dataset in (None, rows):
        trainer = PrivacyTrainer(model_of("tabular"), make_args(), train_dataset=train_dataset, eval_dataset=data)
        assert "eval_loss" in trainer.evaluate()


@pytest.mark.parametrize("momentum", [0.0, 0.5, 0.9])
def test_momentum_reaches_plain_sgd(momentum, make_args, model_of, data_of):
    args = make_args(optim="sgd", momentum=momentum, max_steps=1)
    trainer = PrivacyTrainer(model_of("tabular"), args, train_dataset=data_of("tabular"))
    optimizer = trainer.create_optimizer()
    assert type(optimizer) is torch.optim.SGD
    assert {group["momentum"] for group in optimizer.param_groups} == {momentum}


@pytest.mark.parametrize("optim", ["adamw_torch", "adafactor", "rmsprop"])
def test_momentum_leaves_other_optimizers_as_they_are(optim, make_args):
    args = make_args(optim=optim, momentum=0.5)
    assert PrivacyTrainer.get_optimizer_cls_and_kwargs(args) == Trainer.get_optimizer_cls_and_kwargs(args)


def test_sgd_with_momentum_is_the_textbook_update(make_args, model_of, data_of):
    data, args = data_of("tabular"), make_args(optim="sgd", momentum=0.5, learning_rate=0.1, max_grad_norm=0.0)
    args.num_train_epochs = 2
    trained = model_of("tabular")
    PrivacyTrainer(trained, args, train_dataset=data).train()
    model, velocity = model_of("tabular"), {}
    for _ in range(2):
        loss = torch.nn.functional.cross_entropy(model(data.column("features")).logits, data.column("labels"))
        gradients = torch.autograd.grad(loss, list(model.parameters()))
        with torch.no_grad():
            for parameter, gradient in zip(model.parameters(), gradients, strict=True):
                velocity[parameter] = 0.5 * velocity.get(parameter, 0) + gradient
                parameter -= 0.1 * velocity[parameter]
    for ours, theirs in zip(trained.parameters(), model.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs)


def assert_one_step_moves_all(model, args, data, expected=lambda name: True):
    before = {name: parameter.detach().clone() for name, parameter in model.named_parameters()}
    trainable = {name for name, parameter in model.named_parameters() if parameter.requires_grad}
    PrivacyTrainer(model, args, train_dataset=data).train()
    moved = {name for name, parameter in model.named_parameters() if not torch.equal(parameter, before[name])}
    assert moved == {name for name in trainable if expected(name)}


# GPT-2 and BERT have embeddings of positions the batch does not reach; whole tensors move all the same.
@pytest.mark.parametrize("name", ["timm", "resnet", "vit", "convnext", "bert", "distilbert", "gpt2", "tabular"])
def test_one_step_moves_all_trainable_weights(name, make_args, model_of, data_of):
    args = make_args(max_steps=1, optim="sgd", learning_rate=1.0, max_grad_norm=0.0)
    # A bias on the keys shifts all scores of a query alike: its gradient is zero but for rounding.
    assert_one_step_moves_all(model_of(name), args, data_of(name))


@pytest.mark.filterwarnings("ignore:.*never moved")
@pytest.mark.parametrize("name", ["bert", "vit", "timm"])
def test_one_step_of_an_adapter_moves_b_and_the_head_and_nothing_frozen(name, make_args, lora_model_of, data_of):
    args = make_args(max_steps=1, optim="sgd", learning_rate=1.0, max_grad_norm=0.0)
    # A's gradient is a product with B, which starts at zero.
    assert_one_step_moves_all(lora_model_of(name), args, data_of(name), lambda name: "lora_A" not in name)
