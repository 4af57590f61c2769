"""Poisson sampling: the draw that the privacy accountant's theorem is about."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from torch.utils.data import Sampler

from hf_privacy.defenses.dp.secret_stream import SecretStream
from hf_privacy.errors import InputError


class PoissonBatchSampler(Sampler[list[int]]):
    """Each example is in each step's batch with probability ``sample_rate``, independently of all else.

    Shuffled batches accounted as if they were drawn so have another, larger ε; this sampler is the only one the
    DP trainer knows, and it tells the accountant of every batch it hands out. The number of examples of a step varies
    around ``sample_rate * n_examples`` and may be zero. The step's batch is cut into ``n_parts`` micro-batches, for
    gradient accumulation, and into a share for each process.

    The draw is secret: ε would not hold against someone who knows which steps an example was in. It comes from a
    stream of its own, apart from the noise's.

    Parameters
    ----------
    n_examples : int
    sample_rate : float
        In (0, 1].
    n_parts : int
        Micro-batches a step.
    rank, world_size : int
    stream : SecretStream, optional
        Of one key on all processes, so that they draw the same batches; by default a new one.
    on_batch : callable, optional
        Called once for each step's batch, before it is handed out.
    n_skipped : int
        Steps that a resumed training skips at the start of its first epoch: they hand out empty parts, draw nothing
        and are not accounted again.
    of : str
        What is drawn, for the message: "group", or anything else for examples.

    Raises
    ------
    InputError
        If the rate lies outside (0, 1].

    Examples
    --------
    >>> sampler = PoissonBatchSampler(1000, sample_rate=0.1, n_parts=2)
    >>> len(sampler), len(list(sampler))
    (20, 20)
    """

    def __init__(
        self,
        n_examples: int,
        *,
        sample_rate: float,
        n_parts: int = 1,
        rank: int = 0,
        world_size: int = 1,
        stream: SecretStream | None = None,
        on_batch: Callable[[], None] | None = None,
        n_skipped: int = 0,
        of: str = "example",
    ) -> None:
        if not 0 < sample_rate <= 1:
            raise InputError(
                f"the sample rate is {sample_rate:.4g}: a step's batch must not be larger than the training set of "
                f"{n_examples:,} {'groups' if of == 'group' else 'examples'}"
            )
        self.n_examples = n_examples
        self.sample_rate = sample_rate
        self.n_parts = n_parts
        self.rank = rank
        self.world_size = world_size
        self.on_batch = on_batch
        self.n_skipped = n_skipped
        self._stream = SecretStream() if stream is None else stream

    def __len__(self) -> int:
        """Micro-batches in an epoch, an epoch being as many steps as its examples fill on average."""
        return round(1 / self.sample_rate) * self.n_parts

    def __iter__(self) -> Iterator[list[int]]:
        n_skipped, self.n_skipped = self.n_skipped, 0
        for step in range(len(self) // self.n_parts):
            if step < n_skipped:
                yield from ([] for _ in range(self.n_parts))
                continue
            if self.on_batch is not None:
                self.on_batch()
            drawn = self._stream.uniform(self.n_examples) < self.sample_rate
            share = drawn.nonzero().flatten()[self.rank :: self.world_size]
            for part in range(self.n_parts):
                yield share[part :: self.n_parts].tolist()
