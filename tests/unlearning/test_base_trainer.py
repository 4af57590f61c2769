"""What every unlearner inherits: a snapshot, a stop rule, resuming, and checks before anything moves."""

from __future__ import annotations

import copy
import time
import warnings

import numpy as np
import pytest
import torch
from tiny_language import language_model, token_rows
from torch.nn import functional as F

from hf_privacy.errors import InputError
from hf_privacy.models import base_of
from hf_privacy.signals import compute_signals
from hf_privacy.unlearning import GradientAscentConfig, GradientAscentTrainer, UnlearningConfig, UnlearningTrainer

FORGETTING = {"learning_rate": 0.2, "num_train_epochs": 60}


class Difference(UnlearningTrainer):
    """Down on the retain set, up on the forget set."""

    unlearning_name = "difference"

    def unlearning_loss(self, model, forget, retain):
        keep = F.cross_entropy(self.logits_of(model, retain), retain["labels"])
        return keep - 0.5 * F.cross_entropy(self.logits_of(model, forget), forget["labels"])


class Halved(UnlearningTrainer):
    """Halves the last layer; no epochs."""

    unlearning_name = "halved"

    def edit(self):
        with torch.no_grad():
            self.model.classifier.weight.mul_(0.5)


def weights(model) -> torch.Tensor:
    return torch.cat([parameter.detach().flatten() for parameter in model.parameters()])


def loss_on(model, dataset) -> float:
    return float(compute_signals(model, dataset)["loss"].mean())


def test_the_difference_of_losses_forgets_the_forget_set_and_keeps_the_rest(originals, sets, make_args):
    lost, kept_more = [], []
    for original in originals:
        args = make_args(UnlearningConfig, stop_rule="heldout_loss", **FORGETTING)
        trainer = Difference(copy.deepcopy(original), args, **sets)
        trainer.unlearn()
        lost.append(loss_on(trainer.model, sets["forget_dataset"]) - loss_on(original, sets["forget_dataset"]))
        kept, forgotten = (
            compute_signals(trainer.model, sets[f"{name}_dataset"])["correct"].mean() for name in ("retain", "forget")
        )
        kept_more.append(kept - forgotten)
    assert np.median(lost) > 0.5
    assert np.median(kept_more) > 0


def test_the_snapshot_stays_what_the_model_was(trained, sets, make_args):
    original = weights(trained).clone()
    trainer = Difference(trained, make_args(UnlearningConfig, num_train_epochs=2), **sets)
    trainer.unlearn()
    assert not torch.equal(weights(trainer.model), original)
    kept = trainer.original_model()
    assert torch.equal(weights(kept), original)
    assert not kept.training
    assert not any(parameter.requires_grad for parameter in kept.parameters())


def test_zero_epochs_make_the_edit_alone(trained, sets, make_args):
    original = trained.classifier.weight.detach().clone()
    trainer = Halved(trained, make_args(UnlearningConfig, num_train_epochs=0), **sets)
    trainer.unlearn()
    assert torch.equal(trainer.model.classifier.weight, original * 0.5)


def test_the_time_is_told_by_part_and_a_part_within_another_counts_once(trained, sets, make_args):
    class Slow(Halved):
        def prepare(self):
            time.sleep(0.05)
            with self.timed("shadows"):
                time.sleep(0.1)

    timing = Slow(trained, make_args(UnlearningConfig, num_train_epochs=0), **sets).unlearn()
    assert timing["shadows"] >= 0.1
    assert 0.05 <= timing["scoring"] < 0.1
    assert timing["total"] >= timing["scoring"] + timing["shadows"] + timing["training"] - 1e-3


def test_the_stop_rule_stops_at_the_loss_of_unseen_examples(trained, sets, make_args):
    ruled = Difference(trained, make_args(UnlearningConfig, stop_rule="heldout_loss", **FORGETTING), **sets)
    ruled.unlearn()
    assert 0 < ruled.state.global_step < 60
    looks = [entry for entry in ruled.state.log_history if "forget_loss" in entry]
    assert looks[-1]["forget_loss"] >= looks[-1]["heldout_loss"]
    assert all(look["forget_loss"] < look["heldout_loss"] for look in looks[:-1])


def test_accumulated_halves_give_the_step_of_the_whole_batch(trained, sets, make_args):
    import copy

    def after(**arguments):
        args = make_args(UnlearningConfig, max_steps=1, learning_rate=0.1, momentum=0.0, **arguments)
        trainer = Difference(copy.deepcopy(trained), args, **sets)
        trainer.unlearn()
        return weights(trainer.model)

    whole = after(per_device_train_batch_size=24)
    halves = after(per_device_train_batch_size=12, gradient_accumulation_steps=2)
    torch.testing.assert_close(whole, halves, rtol=1e-5, atol=1e-6)


def test_a_model_that_never_saw_the_forget_set_is_warned_of_with_the_figures(trained, sets, make_args):
    swapped = {
        "forget_dataset": sets["heldout_dataset"].subset(range(100)),
        "retain_dataset": sets["retain_dataset"],
        "heldout_dataset": sets["forget_dataset"],
    }
    with pytest.warns(UserWarning, match=r"no better on the forget set .* loss \d"):
        Halved(trained, make_args(UnlearningConfig, num_train_epochs=0), **swapped).unlearn()


def test_a_model_that_learnt_the_forget_set_is_not_warned_of(trained, sets, make_args):
    trainer = Halved(trained, make_args(UnlearningConfig, num_train_epochs=0), **sets)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        trainer.unlearn()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"forget_dataset": None}, "forget_dataset is NoneType: pass a TensorDataset"),
        ({"heldout_dataset": None}, "heldout_dataset is missing: stop_rule 'heldout_loss'"),
    ],
)
def test_missing_sets_are_refused(trained, sets, make_args, changes, message):
    args = make_args(UnlearningConfig, stop_rule="heldout_loss")
    with pytest.raises(InputError, match=message):
        Difference(trained, args, **{**sets, **changes})


def test_an_empty_forget_set_is_refused(trained, sets, make_args):
    empty = sets["forget_dataset"].subset([])
    with pytest.raises(InputError, match="forget_dataset is empty"):
        Difference(trained, make_args(UnlearningConfig), **{**sets, "forget_dataset": empty})


@pytest.mark.parametrize("pair", [("forget_dataset", "retain_dataset"), ("heldout_dataset", "retain_dataset")])
def test_sets_that_share_rows_are_refused(trained, digits, sets, make_args, pair):
    shared = {**sets, pair[0]: digits.subset([0, 30, 31])}
    if pair[0] == "heldout_dataset":
        shared["heldout_dataset"] = digits.subset([30, 31, 300])
    with pytest.raises(InputError, match="share 2 rows"):
        Difference(trained, make_args(UnlearningConfig), **shared)


def test_the_original_checkpoint_is_never_overwritten(trained, sets, make_args, tmp_path):
    from hf_privacy.models import load_saved_model

    trained.save_pretrained(tmp_path / "original")
    model = load_saved_model(tmp_path / "original")
    with pytest.raises(InputError, match="the folder the model was loaded from"):
        Difference(model, make_args(UnlearningConfig, output_dir=str(tmp_path / "original")), **sets)


# ---- language models ----


def test_a_language_model_that_was_not_trained_on_the_rows_is_refused_beside_what_its_base_says(make_args):
    """Rows that are easier for the base too are no sign of training: what counts is how far fine-tuning took them."""
    model = language_model("llama", lora=True)
    rows = token_rows((9, 4, 12, 6, 7, 5, 11, 10) * 4)
    with base_of(model) as base:
        before = compute_signals(base, rows)["loss"][0]
    order = np.argsort(compute_signals(model, rows)["loss"][0] - before)  # the first are those that were learnt

    def trainer(forget, heldout, **arguments):
        return GradientAscentTrainer(
            copy.deepcopy(model),
            make_args(GradientAscentConfig, num_train_epochs=1, **arguments),
            rows.subset(forget),
            rows.subset(order[8:-8]),
            rows.subset(heldout),
        )

    learnt, other = order[:8], order[-8:]
    with pytest.raises(InputError, match="does no better on the forget set than on the held-out set") as refused:
        trainer(other, learnt).unlearn()
    assert "\n" not in str(refused.value)
    trainer(other, learnt, check_evidence=False).unlearn()
    trainer(learnt, other).unlearn()
