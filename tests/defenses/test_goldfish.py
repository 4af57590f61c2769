"""The goldfish loss: which tokens are left out, held to a loop typed anew, and what is made of those that stay."""

from __future__ import annotations

import hashlib
import subprocess
import sys

import pytest
import torch
from tiny_language import language_model, token_rows
from torch.nn import functional as F

from hf_privacy.defenses import GoldfishConfig, GoldfishTrainer
from hf_privacy.defenses.goldfish.hashing import context_hashes, kept, row_hashes

PRIME, HASHES = 2**31 - 1, 2**31


@pytest.fixture
def make_trainer(make_args):
    """Give a function: ``make_trainer(k=2)``."""

    def make(*, model=None, data=None, **arguments):
        model = language_model("llama", spread=0.05) if model is None else model
        args = make_args(GoldfishConfig, **arguments)
        data = token_rows() if data is None else data
        return GoldfishTrainer(model, args, train_dataset=data, eval_dataset=token_rows(seed=1))

    return make


def naive_hash(window, *, width, seed):
    """Of Python's whole numbers, which never overflow."""
    digest = hashlib.sha256(f"goldfish {seed}".encode()).digest()
    factor = 2**16 + int.from_bytes(digest[:8], "big") % (PRIME - 2**16)
    value = int.from_bytes(digest[8:16], "big") % PRIME
    for number in [0] * (width - len(window)) + [number + 1 for number in window]:
        value = (value * factor + number) % PRIME
    for multiplier in (0x2C1B3C6D, 0x297A2D39):
        value = ((value ^ (value >> 15)) * multiplier) % HASHES
    return value ^ (value >> 15)


def naive_kept(batch, *, k, width, seed):
    """By row, the places of the scored tokens that stay."""
    found = []
    for ids, mask, labels in zip(*(batch[n].tolist() for n in ("input_ids", "attention_mask", "labels")), strict=True):
        ids = ids[: sum(mask)]
        scored = [place for place in range(1, len(ids)) if labels[place] != -100]
        hashes = {p: naive_hash(ids[max(0, p - width) : p], width=width, seed=seed) for p in scored}
        stays = [place for place in scored if hashes[place] >= HASHES / k]
        found.append(stays or [max(scored, key=hashes.get)])
    return found


# ---- which tokens ----


@pytest.mark.parametrize("seed", [0, 7])
@pytest.mark.parametrize(("k", "width"), [(4, 13), (2, 3), (3, 1), (2, 40)])
def test_exactly_the_tokens_stay_that_a_naive_loop_keeps(k, width, seed, make_trainer):
    batch = token_rows(lengths=[30, 4, 21, 2, 17, 25, 11, 3]).__getitems__(range(8))
    flat = make_trainer(k=k, context_width=width, hash_seed=seed).kept_tokens(batch)
    wanted = naive_kept(batch, k=k, width=width, seed=seed)
    scored = batch["labels"][:, 1:] != -100
    found = torch.zeros(scored.shape, dtype=torch.bool)
    found[scored] = flat
    assert [(row.nonzero().flatten() + 1).tolist() for row in found] == wanted
    assert not flat.all()


@pytest.mark.parametrize("k", [2, 4, 8])
def test_one_token_in_k_is_left_out_also_where_rows_begin(k):
    ids = torch.randint(0, 50_000, (4000, 40), generator=torch.Generator().manual_seed(1))
    hashes = context_hashes(ids, None, width=13, seed=0)[:, 1:]
    left_out = ~kept(hashes, torch.ones_like(hashes, dtype=torch.bool), k=k)
    # Five standard errors of a share of 4,000 draws.
    assert ((left_out.float().mean(0) - 1 / k).abs() < 5 * (1 / k * (1 - 1 / k) / 4000) ** 0.5).all()


def test_the_token_itself_and_what_follows_have_no_part_in_it_and_the_prompt_has(make_trainer):
    ids = torch.randint(3, 60, (1, 30), generator=torch.Generator().manual_seed(2))
    hashes = context_hashes(ids, None, width=5, seed=0)
    other = ids.clone()
    other[0, 20] = (other[0, 20] + 1) % 60
    changed = (context_hashes(other, None, width=5, seed=0) != hashes)[0].nonzero().flatten().tolist()
    assert changed == [21, 22, 23, 24, 25]
    # The prompt's tokens are no labels, and count all the same.
    mask = torch.ones_like(ids)
    batch = {"input_ids": ids, "attention_mask": mask, "labels": torch.where(torch.arange(30) < 20, -100, ids)}
    prompt = {**batch, "input_ids": other.clone()}
    prompt["input_ids"][0, :20] = torch.randint(3, 60, (20,), generator=torch.Generator().manual_seed(5))
    trainer = make_trainer(k=2, context_width=5)
    assert not torch.equal(trainer.kept_tokens(batch), trainer.kept_tokens(prompt))


def test_peers_mistake_a_zero_in_the_context_leaves_windows_apart():
    # A product of token numbers is 0 for every window that holds a 0, and one for any order of the same numbers.
    ids = torch.randint(0, 2, (1, 400), generator=torch.Generator().manual_seed(3))
    hashes = context_hashes(ids, None, width=6, seed=0)[0, 6:]
    windows = {tuple(ids[0, place - 6 : place].tolist()): int(hashes[place - 6]) for place in range(6, 400)}
    assert len(set(windows.values())) == len(windows) > 50
    short = context_hashes(torch.tensor([[0, 0, 5], [5, 0, 5]]), None, width=6, seed=0)
    assert len(set(short[:, 1:].flatten().tolist())) == 4  # one 0 before it, two, a 5, a 5 and a 0


def test_a_passage_that_comes_again_loses_the_same_tokens_wherever_it_stands():
    generator = torch.Generator().manual_seed(4)
    passage = torch.randint(3, 60, (25,), generator=generator)
    first = torch.cat([torch.randint(3, 60, (9,), generator=generator), passage])[None]
    second = torch.cat([torch.randint(3, 60, (17,), generator=generator), passage])[None]
    found = [context_hashes(ids, None, width=5, seed=0)[0, -20:] for ids in (first, second)]
    assert torch.equal(*found)


def test_padding_is_nothing_on_either_side():
    ids = torch.tensor([[9, 4, 7, 5]])
    alone = context_hashes(ids, torch.ones_like(ids), width=3, seed=0)
    for pad in (0, 8):
        left = torch.cat([torch.full((1, 3), pad), ids], dim=1)
        mask = torch.tensor([[0, 0, 0, 1, 1, 1, 1]])
        assert torch.equal(context_hashes(left, mask, width=3, seed=0)[:, 3:], alone)
        right = context_hashes(torch.cat([ids, torch.full((1, 3), pad)], dim=1), mask.flip(1), width=3, seed=0)
        assert torch.equal(right[:, :4], alone)


def test_another_process_leaves_out_the_same_tokens():
    program = (
        "import torch; from hf_privacy.defenses.goldfish.hashing import context_hashes, row_hashes;"
        "ids = torch.arange(40).reshape(2, 20) * 977;"
        "print(context_hashes(ids, None, width=13, seed=5).tolist(), row_hashes(ids, None, draw=2, seed=5).tolist())"
    )
    command = [sys.executable, "-c", program]
    there = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    ids = torch.arange(40).reshape(2, 20) * 977
    here = context_hashes(ids, None, width=13, seed=5).tolist(), row_hashes(ids, None, draw=2, seed=5).tolist()
    assert there.strip() == f"{here[0]} {here[1]}"
    # The same on every machine: figures found once.
    assert here[0][0][-3:] == HERE


HERE = [719535415, 302045310, 1158913642]


def test_a_row_that_would_lose_everything_keeps_one_token(make_trainer):
    rows = token_rows(lengths=[2] * 64, seed=6)  # one scored token each
    trainer = make_trainer(k=2, data=rows)
    batch = rows.__getitems__(range(64))
    assert trainer.kept_tokens(batch).all()
    loss, _ = trainer.training_loss(trainer.model.train(), batch)
    assert torch.isfinite(loss)


# ---- the control ----


def test_the_control_leaves_out_the_same_share_and_others_in_each_epoch(make_trainer):
    rows = token_rows(lengths=[30] * 400, seed=8)
    trainer = make_trainer(k=4, drop="random", data=rows)
    batch = rows.__getitems__(range(400))
    found = []
    for epoch in (0, 0.5, 1, 2):
        trainer.state.epoch = epoch
        found.append(trainer.kept_tokens(batch))
    assert torch.equal(found[0], found[1])
    n = len(found[0])
    for stays in (found[0], found[2], found[3]):
        assert abs(stays.float().mean() - 0.75) < 5 * (0.25 * 0.75 / n) ** 0.5
    # Independent from epoch to epoch: both stay nine times in sixteen.
    assert abs((found[0] & found[2]).float().mean() - 0.5625) < 0.03


def test_the_control_is_the_same_whatever_the_batch_and_another_in_each_row():
    rows = token_rows(lengths=[20, 7, 20, 13], seed=9)
    whole = rows.__getitems__(range(4))
    hashes = row_hashes(whole["input_ids"], whole["attention_mask"], draw=3, seed=0)
    for row, length in enumerate([20, 7, 20, 13]):
        alone = rows.__getitems__([row])
        found = row_hashes(alone["input_ids"], alone["attention_mask"], draw=3, seed=0)
        assert torch.equal(found[0, :length], hashes[row, :length])
    assert len(hashes[:, :7].unique()) == 28


# ---- the loss ----


@pytest.mark.parametrize("drop", ["hash", "random"])
def test_the_loss_is_the_mean_over_rows_of_the_mean_over_what_stays(drop, make_trainer):
    trainer = make_trainer(k=2, context_width=3, drop=drop)
    batch = trainer.train_dataset.__getitems__(range(8))
    stays = trainer.kept_tokens(batch)
    wanted, start = [], 0
    for row in range(8):
        length = int(batch["attention_mask"][row].sum())
        logits = trainer.model(input_ids=batch["input_ids"][row : row + 1, :length]).logits[0, :-1]
        targets = batch["labels"][row, 1:length]
        losses = F.cross_entropy(logits[targets >= 0], targets[targets >= 0], reduction="none")
        wanted.append(losses[stays[start : start + len(losses)]].mean())
        start += len(losses)
    loss, _ = trainer.training_loss(trainer.model, batch)
    torch.testing.assert_close(loss, torch.stack(wanted).mean())


def test_evaluation_counts_every_token(make_trainer):
    trainer = make_trainer(k=2)
    batch = token_rows(seed=1).__getitems__(range(8))
    with torch.no_grad():
        wanted = trainer.task.mean_loss(trainer.task.forward(trainer.model, batch), batch, average="example")
    assert trainer.evaluate()["eval_loss"] == pytest.approx(float(wanted), rel=1e-5)


def test_a_left_out_token_is_never_learnt(make_trainer):
    """A text of one row, trained on to the end: its tokens that stay are known, those left out are not."""
    rows = token_rows(lengths=[30], prompt=1, seed=11)
    trainer = make_trainer(
        k=3, context_width=4, data=rows, max_steps=150, learning_rate=0.01, per_device_train_batch_size=1
    )
    batch = rows.__getitems__([0])
    stays = trainer.kept_tokens(batch)
    trainer.train()
    with torch.no_grad():
        losses = trainer.task.token_losses(trainer.task.forward(trainer.model.eval(), batch), batch)
    assert losses[stays].mean() < 0.5
    assert losses[~stays].mean() > 2.0
