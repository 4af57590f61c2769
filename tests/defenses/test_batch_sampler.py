"""Trap 7: an epoch draws each example once, on any number of processes."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hf_privacy.defenses import MembershipBatchSampler
from hf_privacy.errors import InputError


def shares(n, batch_size, world_size, *, seed=0, epoch=0, drop_last=False) -> list[list[list[int]]]:
    """The batches of each rank."""
    samplers = [
        MembershipBatchSampler(
            n, batch_size=batch_size, rank=rank, world_size=world_size, seed=seed, drop_last=drop_last
        )
        for rank in range(world_size)
    ]
    for sampler in samplers:
        sampler.set_epoch(epoch)
    batches = [list(sampler) for sampler in samplers]
    assert [len(sampler) for sampler in samplers] == [len(own) for own in batches]
    return batches


CUTS = {
    "n": st.integers(1, 200),
    "batch_size": st.integers(1, 17),
    "world_size": st.integers(1, 6),
    "seed": st.integers(0, 2**32 - 1),
    "epoch": st.integers(0, 5),
}


@settings(max_examples=150, deadline=None, derandomize=True)
@given(**CUTS)
def test_trap_7_each_example_is_drawn_exactly_once_an_epoch(n, batch_size, world_size, seed, epoch):
    n = max(n, world_size)
    batches = shares(n, batch_size, world_size, seed=seed, epoch=epoch)
    assert sorted(index for own in batches for batch in own for index in batch) == list(range(n))
    assert len({len(own) for own in batches}) == 1, "every process takes the same number of steps"
    for step in zip(*batches, strict=True):
        sizes = [len(share) for share in step]
        assert min(sizes) >= 1
        assert max(sizes) - min(sizes) <= 1
    full = [len(share) for own in batches for share in own[:-1]]
    assert set(full) <= {batch_size}
    assert all(len(own[-1]) <= batch_size + 2 for own in batches), "a last batch that was joined has two more"


@settings(max_examples=100, deadline=None, derandomize=True)
@given(**CUTS)
def test_no_process_gets_a_single_example_which_batch_norm_refuses(n, batch_size, world_size, seed, epoch):
    n, batch_size = max(n, 2 * world_size), max(batch_size, 2)
    batches = shares(n, batch_size, world_size, seed=seed, epoch=epoch)
    assert min(len(batch) for own in batches for batch in own) >= 2


@settings(max_examples=100, deadline=None, derandomize=True)
@given(**CUTS)
def test_drop_last_leaves_out_less_than_a_step_and_repeats_nothing(n, batch_size, world_size, seed, epoch):
    n = max(n, batch_size * world_size)
    batches = shares(n, batch_size, world_size, seed=seed, epoch=epoch, drop_last=True)
    assert all(len(batch) == batch_size for own in batches for batch in own)
    drawn = [index for own in batches for batch in own for index in batch]
    assert len(set(drawn)) == len(drawn)
    assert 0 <= n - len(drawn) < batch_size * world_size


def test_ranks_cut_one_permutation_so_that_two_processes_equal_one_with_twice_the_batch():
    (alone,) = shares(19, 6, 1, seed=3, epoch=2)
    together = shares(19, 3, 2, seed=3, epoch=2)
    # 19 = 6 + 6 + 6 + 1: the single one left joins the step before it.
    assert [len(batch) for batch in alone] == [6, 6, 7]
    assert [sorted(a + b) for a, b in zip(*together, strict=True)] == [sorted(batch) for batch in alone]


def test_epochs_and_seeds_differ_and_repeat_themselves():
    orders = {(seed, epoch): shares(30, 30, 1, seed=seed, epoch=epoch)[0][0] for seed in (0, 1) for epoch in (0, 1)}
    assert len({tuple(order) for order in orders.values()}) == 4
    assert orders[1, 1] == shares(30, 30, 1, seed=1, epoch=1)[0][0]


def test_epochs_of_neighbouring_seeds_are_not_each_other():
    # With seed + epoch, the second epoch of one model would be the first of the next.
    assert shares(30, 30, 1, seed=0, epoch=1) != shares(30, 30, 1, seed=1, epoch=0)


def test_a_process_without_an_example_is_refused():
    with pytest.raises(InputError, match="train_dataset has 1 examples for 2 processes"):
        MembershipBatchSampler(1, batch_size=4, world_size=2)


def test_drop_last_that_would_leave_nothing_is_refused():
    with pytest.raises(InputError, match="dataloader_drop_last would leave nothing: train_dataset has 7 examples"):
        MembershipBatchSampler(7, batch_size=4, world_size=2, drop_last=True)
