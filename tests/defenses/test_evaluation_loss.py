"""Trap 2: a defended training loss never reaches the evaluation."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from hf_privacy.defenses import PrivacyTrainer


class Confused(PrivacyTrainer):
    """A defence that trains on something else entirely."""

    def training_loss(self, model, inputs):
        outputs = self.forward_without_labels(model, inputs)
        return -7 * outputs["logits"].sum(), outputs


def by_hand(model, dataset) -> float:
    with torch.no_grad():
        logits = model.eval()(dataset.column("features")).logits
    return float(F.cross_entropy(logits, dataset.column("labels")))


@pytest.mark.parametrize(
    ("trainer_class", "smoothing"), [(PrivacyTrainer, 0.0), (PrivacyTrainer, 0.3), (Confused, 0.0), (Confused, 0.3)]
)
def test_trap_2_the_evaluation_loss_is_the_plain_cross_entropy(trainer_class, smoothing, make_args, model_of, data_of):
    model, dataset = model_of("tabular"), data_of("tabular", 7)  # 7 examples in batches of 4: the last is short
    args = make_args(label_smoothing_factor=smoothing, per_device_eval_batch_size=4)
    trainer = trainer_class(model, args, eval_dataset=dataset)
    expected = by_hand(model, dataset)
    assert trainer.evaluate()["eval_loss"] == pytest.approx(expected, rel=1e-6)
    assert trainer.predict(dataset).metrics["test_loss"] == pytest.approx(expected, rel=1e-6)


def test_trap_2_evaluations_between_training_steps_are_plain_too(make_args, model_of, data_of):
    dataset = data_of("tabular", 7)
    args = make_args(eval_strategy="epoch", num_train_epochs=1, label_smoothing_factor=0.3)
    model = model_of("tabular")
    trainer = Confused(model, args, train_dataset=dataset, eval_dataset=dataset)
    trainer.train()
    (logged,) = [entry["eval_loss"] for entry in trainer.state.log_history if "eval_loss" in entry]
    assert logged == pytest.approx(by_hand(model, dataset), rel=1e-6)


def test_training_minimises_the_smoothed_loss_when_smoothing_is_set(make_args, model_of, data_of):
    model, dataset = model_of("tabular"), data_of("tabular")
    trainer = PrivacyTrainer(model, make_args(label_smoothing_factor=0.3), train_dataset=dataset)
    batch = dataset.__getitems__(range(8))
    loss, outputs = trainer.compute_loss(model.train(), batch, return_outputs=True)
    torch.testing.assert_close(loss, F.cross_entropy(outputs.logits, batch["labels"], label_smoothing=0.3))
    plain = trainer.compute_loss(model.eval(), batch)
    torch.testing.assert_close(plain, F.cross_entropy(outputs.logits, batch["labels"]))


def test_training_steps_use_the_overridden_loss(make_args, model_of, data_of):
    trainer = Confused(model_of("tabular"), make_args(max_steps=1), train_dataset=data_of("tabular"))
    start = trainer.model.classifier.bias.detach().clone()
    trainer.train()
    assert (trainer.model.classifier.bias > start).all()  # the confused loss pushes all logits up


@pytest.mark.parametrize("name", ["bert", "vit", "timm"])
def test_trap_2_holds_for_text_and_image_models(name, make_args, model_of, data_of):
    model, dataset = model_of(name), data_of(name, 6)
    args = make_args(label_smoothing_factor=0.3, per_device_eval_batch_size=6)
    evaluated = Confused(model, args, eval_dataset=dataset).evaluate()["eval_loss"]
    batch = dataset.__getitems__(range(6))
    labels = batch.pop("labels")
    with torch.no_grad():
        assert evaluated == pytest.approx(float(F.cross_entropy(model.eval()(**batch).logits, labels)), rel=1e-5)
