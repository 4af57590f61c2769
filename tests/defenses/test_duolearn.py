"""DuoLearn: which tokens are learnt and unlearnt, against a loop; and the reference they are held against."""

from __future__ import annotations

import pytest
import torch
from tiny_language import language_model, token_rows
from torch.nn import functional as F

from hf_privacy.defenses import DuoLearnConfig, DuoLearnTrainer, PrivacyTrainer
from hf_privacy.defenses.duolearn.reference import ReferenceLossCallback
from hf_privacy.defenses.duolearn.trainer import hard_and_memorized
from hf_privacy.errors import InputError
from hf_privacy.references import plan_references, recipe_hash, reference_trainer

VALIDATION = token_rows(seed=9)


def start():
    return language_model("llama", spread=0.1)


@pytest.fixture
def make_trainer(make_args):
    """Give a function: ``make_trainer(lora=True, alpha=0.5)``."""

    def make(*, lora=False, model_init=None, validation=VALIDATION, data=None, **arguments):
        model = None if model_init else language_model("llama", lora=lora, spread=0.1)
        args = make_args(DuoLearnConfig, **{"max_steps": 1, "learning_rate": 0.01, **arguments})
        data = token_rows() if data is None else data
        return DuoLearnTrainer(model, args, train_dataset=data, validation_dataset=validation, model_init=model_init)

    return make


def token_losses(model, dataset):
    """Of each scored token, row by row without padding."""
    found = []
    for row in range(len(dataset)):
        batch = dataset[row]
        length = int(batch["attention_mask"].sum())
        logits = model(input_ids=batch["input_ids"][None, :length]).logits[0, :-1]
        targets = batch["labels"][1:length]
        found.append(F.cross_entropy(logits[targets >= 0], targets[targets >= 0], reduction="none"))
    return torch.cat(found)


def naive(losses, before, *, hard_share=0.6, memorized_share=0.2, threshold=0.0, alpha=0.8):
    scores = [float(loss.detach() - base) for loss, base in zip(losses, before, strict=True)]
    ranked = sorted(range(len(scores)), key=scores.__getitem__)
    hard = ranked[len(scores) - int(hard_share * len(scores)) :]
    memorized = [token for token in ranked[: int(memorized_share * len(scores))] if scores[token] < threshold]
    loss = sum(losses[token] for token in hard) / len(hard)
    if memorized:
        loss = loss - alpha * sum(losses[token] for token in memorized) / len(memorized)
    return loss, hard, memorized


@pytest.mark.parametrize("lora", [False, True], ids=["full", "lora"])
@pytest.mark.parametrize("settings", [{}, {"alpha": 0.3, "hard_share": 0.5, "memorized_share": 0.5}], ids=str)
def test_the_loss_learns_the_hard_tokens_and_unlearns_the_memorized_ones(settings, lora, make_trainer):
    trainer = make_trainer(lora=lora, max_steps=3, **settings)
    trainer.train()
    batch = token_rows().__getitems__(range(8))
    before = token_losses(trainer.reference.model, token_rows())
    losses = token_losses(trainer.model.train(), token_rows())
    wanted, hard, memorized = naive(losses, before, **settings)
    assert len(hard) >= len(memorized) > 0
    weights = [parameter for parameter in trainer.model.parameters() if parameter.requires_grad]
    loss, _ = trainer.training_loss(trainer.model, batch)
    torch.testing.assert_close(loss, wanted, rtol=1e-4, atol=1e-5)
    for ours, theirs in zip(torch.autograd.grad(loss, weights), torch.autograd.grad(wanted, weights), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=1e-4)


def test_only_what_lies_below_the_threshold_is_unlearnt_and_nothing_where_nothing_does(make_trainer):
    scores = torch.tensor([0.5, -0.1, 3.0, -2.0, 1.0, 0.2, -0.4, 0.7, 2.0, 0.1])
    shares = {"hard_share": 0.6, "memorized_share": 0.3}
    hard, memorized = hard_and_memorized(scores, threshold=0.0, **shares)
    assert hard.nonzero().flatten().tolist() == [0, 2, 4, 5, 7, 8]
    assert memorized.nonzero().flatten().tolist() == [1, 3, 6]
    assert hard_and_memorized(scores, threshold=-0.4, **shares)[1].nonzero().flatten().tolist() == [3]
    trainer = make_trainer(threshold=-1e6)
    trainer.train()
    loss, _ = trainer.training_loss(trainer.model, token_rows().__getitems__(range(8)))
    assert torch.isfinite(loss)


# ---- the reference ----


@pytest.mark.parametrize("lora", [False, True], ids=["full", "lora"])
def test_the_reference_is_the_undefended_model_of_the_validation_rows(lora, make_trainer, make_args):
    trainer = make_trainer(lora=lora, max_steps=-1, num_train_epochs=4, reference_seed=5)
    began = {name: weight.detach().clone() for name, weight in trainer.model.named_parameters()}
    trainer.train()
    plain = PrivacyTrainer(
        language_model("llama", lora=lora, spread=0.1),
        make_args(num_train_epochs=4, learning_rate=0.01, seed=5),
        train_dataset=VALIDATION,
    )
    plain.train()
    ours = dict(trainer.reference.model.named_parameters())
    for name, weight in plain.model.named_parameters():
        torch.testing.assert_close(ours[name], weight.detach())
        assert not ours[name].requires_grad
    for name, weight in trainer.model.named_parameters():
        assert torch.equal(weight, began[name]) != weight.requires_grad  # the base's bits stay, the rest moved
        if lora:  # of which there is one
            assert (ours[name] is weight) == (not weight.requires_grad)
    with torch.no_grad():
        known, unknown = (token_losses(trainer.reference.model, rows).mean() for rows in (VALIDATION, token_rows()))
    assert known < unknown - 0.2  # by heart, not by chance


def test_its_training_takes_time_that_the_log_tells_of(make_trainer):
    trainer = make_trainer()
    trainer.train()
    (entry,) = [entry for entry in trainer.state.log_history if "reference_seconds" in entry]
    assert entry["reference_seconds"] > 0
    trainer.train()  # it is there already
    assert not [entry for entry in trainer.state.log_history if "reference_seconds" in entry]


def test_target_and_references_share_one_and_whoever_trained_it_draws_alike(make_trainer, tmp_path):
    def clone_of(trainer):
        return reference_trainer(trainer, token_rows(seed=4), seed=3, output_dir=tmp_path / "reference")

    target = make_trainer(model_init=start)
    target.train()
    clone = clone_of(target)
    clone.train()
    assert clone.reference.model is target.reference.model
    first = clone_of(make_trainer(model_init=start))  # in a worker's process, where no target is trained
    first.train()
    for ours, theirs in zip(clone.model.parameters(), first.model.parameters(), strict=True):
        assert torch.equal(ours, theirs)


def test_the_rows_and_the_weights_of_the_reference_are_part_of_the_recipe(make_trainer, tmp_path):
    plan = plan_references([0] * 8, n_models=2)

    def hash_of(**settings):
        trainer = make_trainer(model_init=start, **settings)
        return recipe_hash(trainer, plan, dataset_fingerprint="d", pool_hash="p")

    base = hash_of()
    assert hash_of() == base != hash_of(validation=token_rows(seed=8))
    assert hash_of(reference_seed=1) != base
    start().save_pretrained(tmp_path / "other")
    given = hash_of(reference_model=str(tmp_path / "other"))
    language_model("llama", seed=8, spread=0.1).save_pretrained(tmp_path / "other")
    assert hash_of(reference_model=str(tmp_path / "other")) != given != base


def test_a_saved_model_serves_in_place_of_one_that_is_trained(make_trainer, tmp_path):
    start().save_pretrained(tmp_path / "saved")
    trainer = make_trainer(reference_model=str(tmp_path / "saved"), validation=None)
    trainer.train()
    assert not [entry for entry in trainer.state.log_history if "reference_seconds" in entry]
    torch.testing.assert_close(
        token_losses(trainer.reference.model, token_rows()), token_losses(start(), token_rows()), rtol=1e-5, atol=1e-5
    )
    # A report says that it was given, and not where it lies.
    assert trainer.describe_defense()["parameters"]["reference_model"] == "given"
    assert make_trainer().describe_defense()["parameters"]["reference_model"] is None


def test_a_batch_of_its_own_chooses_among_its_own_tokens(make_trainer):
    assert DuoLearnTrainer.couples_rows
    trainer = make_trainer()
    trainer.train()
    whole, _ = trainer.training_loss(trainer.model, token_rows().__getitems__(range(8)))
    halves = [
        trainer.training_loss(trainer.model, token_rows().__getitems__(rows))[0] for rows in (range(4), range(4, 8))
    ]
    assert (whole - sum(halves) / 2).abs() > 1e-3


# ---- what is refused ----


@pytest.mark.parametrize("validation", [None, "empty", [1, 2]])
def test_without_a_reference_nor_rows_for_one_it_is_refused(validation, make_trainer):
    rows = VALIDATION.subset([]) if validation == "empty" else validation
    with pytest.raises(InputError, match="validation_dataset is missing, empty or no TensorDataset: pass rows apart"):
        make_trainer(validation=rows)


def test_a_reference_of_the_training_rows_themselves_is_refused(make_trainer):
    rows = token_rows()
    with pytest.raises(InputError, match="validation_dataset shares 3 rows with train_dataset"):
        make_trainer(data=rows.subset(range(5)), validation=rows.subset(range(2, 8)))


def test_a_folder_without_a_model_or_with_one_of_another_task_is_refused(make_trainer, model_of, tmp_path):
    with pytest.raises(InputError, match=r"reference_model is '.*none': pass the folder of a saved model"):
        make_trainer(reference_model=str(tmp_path / "none"))
    model_of("tabular").save_pretrained(tmp_path / "classifier")
    with pytest.raises(InputError, match="reference_model is for tabular-classification and the model for causal-lm"):
        make_trainer(reference_model=str(tmp_path / "classifier"))


def test_one_callback_is_held_by_trainer_and_clone(make_trainer):
    trainer = make_trainer()
    held = [c for c in trainer.callback_handler.callbacks if isinstance(c, ReferenceLossCallback)]
    assert held == [trainer.reference]
