"""Poisson batches: independent draws, shared out without repeats, accounted once."""

from __future__ import annotations

import pytest
import torch

from hf_privacy.data import TensorDataset, collate_batch
from hf_privacy.defenses.dp.poisson_sampler import PoissonBatchSampler
from hf_privacy.defenses.dp.secret_stream import SecretStream
from hf_privacy.errors import InputError


def test_each_example_is_drawn_independently_with_the_sample_rate():
    sampler = PoissonBatchSampler(50, sample_rate=0.2, stream=SecretStream(bytes(32)))
    steps = [batch for _ in range(800) for batch in sampler]  # 4,000 steps
    drawn = torch.zeros(len(steps), 50)
    for step, batch in enumerate(steps):
        drawn[step, batch] = 1
    rates = drawn.mean(0)
    assert (rates - 0.2).abs().max() < 4.5 * (0.2 * 0.8 / len(steps)) ** 0.5
    # The batch size is binomial, not fixed.
    assert drawn.sum(1).var() == pytest.approx(50 * 0.2 * 0.8, rel=0.15)
    # Two examples are together as often as chance has it.
    assert (drawn[:, 0] * drawn[:, 1]).mean() == pytest.approx(0.04, abs=0.015)


def test_parts_and_processes_share_a_batch_without_repeats():
    def batches(**shared_out):
        return list(PoissonBatchSampler(40, sample_rate=0.25, stream=SecretStream(bytes(32)), **shared_out))

    whole = [sorted(batch) for batch in batches()]
    shares = [batches(n_parts=3, rank=rank, world_size=2) for rank in (0, 1)]
    for step, batch in enumerate(whole):
        together = [i for share in shares for part in share[3 * step : 3 * step + 3] for i in part]
        assert sorted(together) == batch


def test_every_batch_is_accounted_once_however_many_parts_it_has():
    steps = []
    list(PoissonBatchSampler(40, sample_rate=0.25, n_parts=3, on_batch=lambda: steps.append(1)))
    assert len(steps) == 4


def test_skipped_steps_draw_nothing_and_are_not_accounted_again():
    steps = []
    sampler = PoissonBatchSampler(40, sample_rate=0.25, n_parts=2, n_skipped=3, on_batch=lambda: steps.append(1))
    first = list(sampler)
    assert first[:6] == [[]] * 6
    assert len(steps) == 1
    list(sampler)  # the next epoch is whole
    assert len(steps) == 5


def test_two_samplers_without_a_stream_draw_differently():
    assert list(PoissonBatchSampler(200, sample_rate=0.5)) != list(PoissonBatchSampler(200, sample_rate=0.5))


def test_trap_8_an_empty_batch_is_tensors_of_length_zero():
    dataset = TensorDataset({"features": torch.randn(4, 2), "labels": torch.arange(4)})
    batch = collate_batch(dataset.__getitems__([]))
    assert batch["features"].shape == (0, 2)


@pytest.mark.parametrize("rate", [0.0, 1.5])
def test_a_batch_larger_than_the_training_set_is_refused(rate):
    with pytest.raises(InputError, match="must not be larger than the training set of 10 examples"):
        PoissonBatchSampler(10, sample_rate=rate)
