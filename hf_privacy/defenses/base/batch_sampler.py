"""Batches that hold each training example exactly once an epoch, on one process or many."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import torch
from torch.utils.data import Sampler

from hf_privacy.errors import InputError


class MembershipBatchSampler(Sampler[list[int]]):
    """Shuffled batches, split over processes without repeating an example.

    The usual distributed samplers repeat examples so that all processes get equal batches (ten examples become
    sixteen draws), which makes "member once" mean something else for some members. Here one permutation, the same on
    every process, is cut into global batches of ``batch_size * world_size``; each process takes its share of each.
    The last global batch may be smaller and its shares may differ by one example: the trainer weighs each share by
    its size. When it would leave a process without an example, or with one (which BatchNorm cannot normalise),
    it joins the batch before it.

    Parameters
    ----------
    n_examples : int
        Number of training examples, at least ``world_size``.
    batch_size : int
        Examples per process and step.
    rank, world_size : int
        This process and the number of processes.
    seed : int
        Seed of the permutation, mixed with the epoch.
    drop_last : bool
        Leave out the last global batch when it is not full.

    Examples
    --------
    >>> shares = [list(MembershipBatchSampler(5, batch_size=2, rank=rank, world_size=2, seed=0)) for rank in (0, 1)]
    >>> sorted(index for share in shares for batch in share for index in batch)
    [0, 1, 2, 3, 4]
    """

    def __init__(
        self,
        n_examples: int,
        *,
        batch_size: int,
        rank: int = 0,
        world_size: int = 1,
        seed: int = 0,
        drop_last: bool = False,
    ) -> None:
        if n_examples < world_size:
            raise InputError(
                f"train_dataset has {n_examples} examples for {world_size} processes: every process needs at least one"
            )
        if drop_last and n_examples < batch_size * world_size:
            raise InputError(
                f"dataloader_drop_last would leave nothing: train_dataset has {n_examples} examples and a step takes "
                f"{batch_size * world_size}"
            )
        self.n_examples = n_examples
        self.global_batch_size = batch_size * world_size
        # Two examples a process, unless batches of one are what was asked for.
        self.smallest_batch = world_size * min(batch_size, 2)
        self.rank = rank
        self.world_size = world_size
        self.seed = seed
        self.drop_last = drop_last
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Choose the permutation: one for each epoch."""
        self.epoch = epoch

    def _bounds(self) -> list[int]:
        """Where the global batches begin and end, as positions in the permutation."""
        bounds = list(range(0, self.n_examples + 1, self.global_batch_size))
        remainder = self.n_examples - bounds[-1]
        if remainder and not self.drop_last:
            if remainder < self.smallest_batch and len(bounds) > 1:
                bounds[-1] = self.n_examples
            else:
                bounds.append(self.n_examples)
        return bounds

    def __len__(self) -> int:
        return len(self._bounds()) - 1

    def __iter__(self) -> Iterator[list[int]]:
        generator = torch.Generator().manual_seed(self.seed * 1_000_003 + self.epoch)
        order = torch.randperm(self.n_examples, generator=generator).tolist()
        bounds = self._bounds()
        for start, stop in pairwise(bounds):
            yield order[start:stop][self.rank :: self.world_size]
