"""Paired batches: each example of the anchor once an epoch, company from the other set, disjoint shares."""

from __future__ import annotations

from collections import Counter

import pytest

from hf_privacy.unlearning import PairedBatchSampler, PairedDataset


@pytest.mark.parametrize("ratio", [0.5, 1.0, 3.0])
def test_the_anchor_is_drawn_once_and_the_partner_in_its_ratio(ratio):
    rows = list(PairedBatchSampler(20, 100, partner_ratio=ratio, batch_size=4))
    assert sorted(row for batch in rows for row in batch.anchor) == list(range(20))
    assert [len(batch.partner) for batch in rows] == [4 * ratio] * 5
    assert max(Counter(row for batch in rows for row in batch.partner).values()) == 1


def test_a_small_partner_begins_again():
    rows = list(PairedBatchSampler(20, 5, batch_size=4))
    assert set(Counter(row for batch in rows for row in batch.partner).values()) == {4}


def test_another_epoch_brings_other_partners_and_the_same_epoch_the_same():
    sampler = PairedBatchSampler(4, 100, batch_size=4)
    first, again = (list(sampler) for _ in range(2))
    sampler.set_epoch(1)
    assert first == again
    assert next(iter(sampler)).partner != first[0].partner


def test_processes_share_both_sets_without_overlap():
    whole = [(set(b.anchor), set(b.partner)) for b in PairedBatchSampler(20, 100, batch_size=4)]
    shares = [list(PairedBatchSampler(20, 100, batch_size=2, rank=rank, world_size=2)) for rank in (0, 1)]
    for (anchor, partner), one, other in zip(whole, *shares, strict=True):
        assert set(one.anchor) | set(other.anchor) == anchor
        assert set(one.partner) | set(other.partner) == partner
        assert len(one.anchor) + len(other.anchor) == len(anchor)


def test_every_process_has_two_partners_however_small_the_ratio_and_each_batch_others():
    for rank in (0, 1):
        rows = list(PairedBatchSampler(8, 16, partner_ratio=0.01, batch_size=2, rank=rank, world_size=2))
        assert [len(batch.partner) for batch in rows] == [2, 2]
        assert len({row for batch in rows for row in batch.partner}) == 4


def test_a_small_last_batch_has_partners_enough_for_batchnorm():
    rows = list(PairedBatchSampler(900, 100, partner_ratio=0.05, batch_size=64))
    assert len(rows[-1].anchor) == 4
    assert len(rows[-1].partner) == 2
    assert {len(batch.partner) for batch in rows[:-1]} == {3, 4}


def test_a_set_of_one_keeps_company_with_itself():
    (batch,) = PairedBatchSampler(4, 1, partner_ratio=0.01, batch_size=4)
    assert batch.partner == [0, 0]


def test_a_set_that_is_not_used_is_none(sets):
    dataset = PairedDataset(sets["forget_dataset"], None, anchor="forget")
    (batch,) = [dataset.__getitems__(rows) for rows in PairedBatchSampler(25, dataset.n_partners, batch_size=25)]
    assert batch["retain"] is None
    assert len(batch["labels"]) == len(batch["forget"]["labels"]) == 25
