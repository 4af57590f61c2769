"""Differential privacy of language models: every row's own gradient, whatever it is beside; rows, or whole groups."""

from __future__ import annotations

import numpy as np
import pytest
import small_training
import torch
from peft import LoraConfig, get_peft_model
from tiny_language import LANGUAGE_MODELS, language_model, token_rows

from hf_privacy.defenses import PrivacyTrainer
from hf_privacy.defenses.dp.config import DPConfig
from hf_privacy.defenses.dp.per_sample_gradients import UNIT, clipped_gradients
from hf_privacy.defenses.dp.trainer import DPTrainer
from hf_privacy.errors import InputError
from hf_privacy.tasks import task_named

pytest.importorskip("opacus")
MAX_NORM = 0.7
LENGTHS = (9, 4, 12, 3, 7, 5)


def losses(call, batch):
    return task_named("causal-lm").separate_losses(call, batch)


def positioned(batch):
    ids = batch["input_ids"]
    return {**batch, "position_ids": torch.arange(ids.shape[1]).expand_as(ids)}


def by_hand(model, batch, groups=None):
    """One backward pass a row without its padding; the mean of each group, clipped, summed: typed anew."""
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    of_rows = []
    for row in range(len(batch["labels"])):
        length = int(batch["attention_mask"][row].sum())
        ids, labels = batch["input_ids"][row : row + 1, :length], batch["labels"][row, 1:length]
        log_p = model(input_ids=ids).logits[0, :-1].double().log_softmax(-1)
        places = (labels != -100).nonzero().flatten()
        loss = -log_p[places, labels[places]].mean()
        of_rows.append([gradient.double() for gradient in torch.autograd.grad(loss, parameters)])
    groups = range(len(of_rows)) if groups is None else groups
    total = [torch.zeros_like(parameter, dtype=torch.float64) for parameter in parameters]
    for group in sorted(set(groups)):
        own = [rows for rows, number in zip(of_rows, groups, strict=True) if number == group]
        mean = [torch.stack(each).mean(dim=0) for each in zip(*own, strict=True)]
        norm = torch.cat([each.flatten() for each in mean]).norm()
        for sums, each in zip(total, mean, strict=True):
            sums += each * min(1.0, MAX_NORM / float(norm))
    return total


def assert_is(found, expected):
    for gradient, wanted in zip(found, expected, strict=True):
        # Float32's rounding, of one processor or another; a wrong row or place is off by a hundredth and more.
        torch.testing.assert_close(gradient.double(), wanted, rtol=2e-3, atol=3e-4)


def private_model(kind, lora):
    model = language_model(kind, lora=lora, spread=0.15).train()
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    return model


@pytest.mark.parametrize("lora", [False, True], ids=["full", "lora"])
@pytest.mark.parametrize("kind", LANGUAGE_MODELS)
@pytest.mark.parametrize("way", ["bookkeeping", "functional"])
def test_each_way_clips_each_rows_own_gradient(way, kind, lora):
    model, batch = private_model(kind, lora), token_rows(LENGTHS).__getitems__(range(len(LENGTHS)))
    with clipped_gradients(model, way, max_norm=MAX_NORM, losses=losses) as clipped_sum:
        batch = positioned(batch)
        clipped_sum.check(batch)
        found, each = clipped_sum(batch)
    assert_is(found, by_hand(model, batch))
    torch.testing.assert_close(
        each, task_named("causal-lm").example_losses(model(batch["input_ids"]), batch).detach(), rtol=1e-4, atol=1e-4
    )


@pytest.mark.parametrize("way", ["bookkeeping", "functional", "loop"])
@pytest.mark.parametrize(("kind", "lora"), [("gpt2", False), ("qwen2", False), ("llama", True)])
def test_a_groups_mean_is_clipped_as_one(way, kind, lora):
    model, groups = private_model(kind, lora), [0, 1, 0, 2, 0, 1]
    batch = positioned(token_rows(LENGTHS).__getitems__(range(len(LENGTHS))))
    with clipped_gradients(model, way, max_norm=MAX_NORM, losses=losses) as clipped_sum:
        clipped_sum.check({**batch, UNIT: torch.tensor(groups)})
        found, each = clipped_sum({**batch, UNIT: torch.tensor(groups)})
    assert len(each) == (3 if way != "bookkeeping" else 6)
    assert_is(found, by_hand(model, batch, groups))


@pytest.mark.parametrize("way", ["bookkeeping", "functional", "loop"])
def test_a_rows_gradient_does_not_hang_on_how_long_its_batch_mates_are(way):
    model, rows = private_model("llama", True), token_rows((5, 5, 12))
    with clipped_gradients(model, way, max_norm=MAX_NORM, losses=losses) as clipped_sum:
        alone, _ = clipped_sum(rows.__getitems__([0]))
        short, long = clipped_sum(rows.__getitems__([0, 1]))[0], clipped_sum(rows.__getitems__([0, 2]))[0]
        others = clipped_sum(rows.__getitems__([1]))[0], clipped_sum(rows.__getitems__([2]))[0]
    for both, other in ((short, others[0]), (long, others[1])):
        assert_is([whole - rest for whole, rest in zip(both, other, strict=True)], [own.double() for own in alone])


@pytest.mark.parametrize("lora", [False, True], ids=["full", "lora"])
@pytest.mark.parametrize("way", ["bookkeeping", "functional", "hooks"])
def test_no_row_exceeds_the_bound_under_autocast(way, lora):
    """Norms and sums that were rounded to half precision let a row have half a percent more."""
    model, rows = language_model("llama", lora=lora).train(), token_rows(LENGTHS)
    with clipped_gradients(model, way, max_norm=0.1, losses=losses) as clipped_sum:
        for row in range(len(LENGTHS)):
            with torch.autocast("cpu", torch.bfloat16):
                found, _ = clipped_sum(rows.__getitems__([row]))
            assert torch.stack([gradient.double().norm() for gradient in found]).norm() <= 0.1


@pytest.mark.parametrize("kind", ["linear", "table"])
def test_a_row_whose_tokens_cancel_each_other_is_clipped_all_the_same(kind):
    """Its norm, by inner products of pairs of tokens, is lost in their rounding: 0, for some."""
    torch.manual_seed(0)
    model = torch.nn.Embedding(3, 64) if kind == "table" else torch.nn.Linear(64, 64, bias=False)
    first, weight = torch.randn(24, 1, 64), 1e3 * torch.randn(64)

    def of_rows(call, batch):
        found = call(batch["given"])
        return (found * weight * batch["signs"]).sum(dim=(1, 2))

    for row in first:
        # Gradients of the two tokens that differ in the fifth digit.
        given = (
            torch.zeros(1, 2, dtype=torch.int64) if kind == "table" else torch.stack([row, -row * (1 + 3e-5)], dim=1)
        )
        signs = (
            torch.tensor([1.0, -1.0 - 3e-5 * float(row.abs().mean())])[None, :, None]
            if kind == "table"
            else torch.ones(1)
        )
        batch = {"given": given, "signs": signs, "labels": torch.zeros(1)}
        with clipped_gradients(model, "bookkeeping", max_norm=0.01, losses=of_rows) as clipped_sum:
            (found,), _ = clipped_sum(batch)
        assert 0 < float(found.double().norm()) <= 0.01


def test_ghost_clipping_in_half_precision_is_refused():
    model, batch = language_model("llama").train(), token_rows(LENGTHS).__getitems__(range(len(LENGTHS)))
    with (
        pytest.raises(InputError, match=r"'ghost' cannot follow .*in half precision its norms are rounded.*'auto'"),
        torch.autocast("cpu", torch.bfloat16),
        clipped_gradients(model, "ghost", max_norm=0.1, losses=losses) as clipped_sum,
    ):
        clipped_sum(batch)


def test_a_layer_used_twice_is_one_weight():
    class Twice(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = torch.nn.Linear(4, 4)

        def forward(self, given):
            return self.layer(torch.tanh(self.layer(given)))

    torch.manual_seed(0)
    model, given = Twice(), torch.randn(3, 5, 4)

    def of_rows(call, batch):
        return call(batch["given"]).square().mean(dim=(1, 2))

    batch = {"given": given, "labels": torch.zeros(3)}
    with clipped_gradients(model, "bookkeeping", max_norm=0.05, losses=of_rows) as clipped_sum:
        found, _ = clipped_sum(batch)
    with clipped_gradients(model, "loop", max_norm=0.05, losses=of_rows) as clipped_sum:
        expected, _ = clipped_sum(batch)
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-6)


# ---- in training ----


@pytest.fixture
def make_trainer(tmp_path):
    def make(kind="llama", *, lora=True, rows=None, model=None, **arguments):
        settings = {
            **small_training.QUIET, "output_dir": str(tmp_path / "run"), "optim": "sgd", "learning_rate": 0.1,
            "accountant": "rdp", "per_device_train_batch_size": 4, "noise_multiplier": 1.0, **arguments,
        }  # fmt: skip
        rows = token_rows(LENGTHS * 2) if rows is None else rows
        return DPTrainer(model or private_model(kind, lora), DPConfig(**settings), train_dataset=rows)

    return make


def test_without_noise_a_step_of_all_groups_is_that_of_their_clipped_means(make_trainer):
    groups = np.array([7, 3, 7, 7, 3, 9])
    rows = token_rows(LENGTHS).with_groups(groups)
    settings = {"noise_multiplier": 0.0, "max_grad_norm": MAX_NORM, "max_steps": 1, "privacy_unit": "group"}
    model = private_model("llama", True)
    wanted = by_hand(model, rows.__getitems__(range(6)), groups.tolist())
    before = [parameter.detach().clone() for parameter in model.parameters() if parameter.requires_grad]
    trainer = make_trainer(
        model=model, rows=rows, per_device_train_batch_size=3, lr_scheduler_type="constant", **settings
    )
    trainer.train()
    after = [parameter.detach() for parameter in trainer.model.parameters() if parameter.requires_grad]
    for old, new, gradient in zip(before, after, wanted, strict=True):
        torch.testing.assert_close(new.double(), old.double() - 0.1 * gradient / 3, rtol=1e-4, atol=1e-6)


def test_the_guarantee_is_said_of_groups(make_trainer):
    rows = token_rows(LENGTHS * 2).with_groups(np.repeat(np.arange(4), 3))
    trainer = make_trainer(rows=rows, privacy_unit="group", per_device_train_batch_size=2, num_train_epochs=2)
    assert (trainer.n_units, trainer.sample_rate, trainer.target_delta) == (4, 0.5, 0.1 / 4)
    trainer.train()
    assert trainer.ledger.n_steps == 4
    assert trainer.privacy_spent()["unit"] == "group"
    by_row = make_trainer(rows=rows, per_device_train_batch_size=6, num_train_epochs=2)
    assert by_row.privacy_spent()["unit"] == "row"


def test_a_larger_group_is_refused_or_drawn_from_afresh(make_trainer):
    rows = token_rows(LENGTHS * 2).with_groups(np.array([0] * 8 + [1] * 4))
    settings = {"rows": rows, "privacy_unit": "group", "max_rows_per_group": 5, "per_device_train_batch_size": 2}
    with pytest.raises(
        InputError, match=r"1 of 2 groups have more rows than max_rows_per_group, 5 \(up to 8\): set larger"
    ):
        make_trainer(**settings)
    trainer = make_trainer(**settings, larger_groups="draw")
    drawn = trainer.units.as_dataset()
    batches = [drawn.__getitems__([0, 1]) for _ in range(6)]
    assert {tuple(torch.bincount(batch[UNIT]).tolist()) for batch in batches} == {(5, 4)}
    assert len({batch["input_ids"][:5].sum().item() for batch in batches}) > 1
    assert drawn.__getitems__([])[UNIT].tolist() == []


def test_groups_are_asked_for_where_there_are_none(make_trainer):
    with pytest.raises(InputError, match="privacy_unit is 'group' and the training rows have no groups: name data"):
        make_trainer(privacy_unit="group")
    with pytest.raises(InputError, match="max_rows_per_group is 2 and privacy_unit is 'row': set it to 'group'"):
        make_trainer(max_rows_per_group=2)


def test_the_mean_over_tokens_is_refused(make_trainer):
    with pytest.raises(InputError, match="loss_average is 'token': DPTrainer is defined on each example's loss"):
        make_trainer(loss_average="token")


def test_a_loss_that_couples_rows_is_refused(tmp_path):
    class Coupling(DPTrainer):
        couples_rows = True

    with pytest.raises(InputError, match="Coupling says that it couples_rows: the loss of one row depends on others"):
        Coupling(
            private_model("llama", True), DPConfig(str(tmp_path), noise_multiplier=1.0), train_dataset=token_rows()
        )
    assert not DPTrainer.couples_rows
    assert not PrivacyTrainer.couples_rows


def test_a_base_in_half_precision_trains_an_adapter_in_full(make_trainer):
    base = language_model("llama", spread=0.05).to(torch.bfloat16)
    model = get_peft_model(base, LoraConfig(target_modules="all-linear", r=2, task_type="CAUSAL_LM"))
    trainer = make_trainer(model=model, max_steps=3)
    trainer.train()
    for name, parameter in trainer.model.named_parameters():
        assert parameter.dtype == (torch.float32 if parameter.requires_grad else torch.bfloat16), name
    assert trainer._clipped_sum is None


def test_two_by_four_is_eight_and_every_row_counts_once(make_trainer):
    settings = {"noise_multiplier": 0.0, "max_grad_norm": MAX_NORM, "max_steps": 2}
    start = private_model("gpt2", False).state_dict()

    def trained(**more):
        model = private_model("gpt2", False)
        model.load_state_dict(start)
        trainer = make_trainer(model=model, rows=token_rows(LENGTHS), **settings, **more)
        trainer.train()
        return torch.cat([parameter.detach().flatten() for parameter in trainer.model.parameters()])

    one = trained(per_device_train_batch_size=6)
    three = trained(per_device_train_batch_size=2, gradient_accumulation_steps=3)
    torch.testing.assert_close(one, three, rtol=1e-4, atol=1e-6)
