"""Whole training steps on buffers that stay where they are, so that a GPU can be told of a step once and repeat it.

A step of a small network is hundreds of kernels of a few microseconds; to name each of them again at every step takes
the host longer than they take. A CUDA graph names them once. It repeats what it saw, with the same shapes and at the
same addresses: batches are copied to where the first one lay, and there is a graph for each shape and for each phase
of the loss.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable
from typing import Any

import torch

Batch = dict[str, torch.Tensor]
Step = Callable[[Batch], torch.Tensor]
Replay = Callable[[], torch.Tensor]

# Steps of a kind that are taken one by one first: they make the optimizer's state, and choose the device's kernels.
WARM_UP = 3
# Kinds that are recorded; each keeps its activations.
MOST = 8


class StaticSteps:
    """Takes steps, those of a kind by repeating one that was recorded.

    Parameters
    ----------
    step : callable
        ``step(batch)``: forward, backward and optimizer of one batch on its device; gives the loss, a scalar.
    record : callable
        ``record(step, batch)`` gives a function that repeats the step on that batch's tensors as they are then, and
        takes no step itself. What it cannot record it refuses with a RuntimeError: from then on steps are taken one
        by one.

    Examples
    --------
    >>> total = torch.zeros(())
    >>> steps = StaticSteps(lambda batch: total.add_(batch["x"].sum()), record=by_hand)
    >>> [float(steps({"x": torch.ones(2)})) for _ in range(5)], steps.n_repeated
    ([2.0, 4.0, 6.0, 8.0, 10.0], 2)
    """

    def __init__(self, step: Step, *, record: Callable[[Step, Batch], Replay]) -> None:
        self._step, self._record = step, record
        self._seen: Counter[Hashable] = Counter()
        self._recorded: dict[Hashable, tuple[Batch, Replay]] = {}
        self._refused = False
        self.n_repeated = 0

    def __call__(self, batch: Batch, phase: Hashable = 0) -> torch.Tensor:
        """One step; ``phase`` is what its computation depends on beside weights and batch."""
        kind = (phase, tuple((name, values.shape, values.dtype) for name, values in batch.items()))
        if kind not in self._recorded and not self._try_to_record(kind, batch):
            return self._step(batch)
        buffers, replay = self._recorded[kind]
        for name, values in batch.items():
            buffers[name].copy_(values, non_blocking=True)
        self.n_repeated += 1
        return replay()

    def _try_to_record(self, kind: Hashable, batch: Batch) -> bool:
        self._seen[kind] += 1
        if self._refused or self._seen[kind] <= WARM_UP or len(self._recorded) >= MOST:
            return False
        buffers = {name: values.clone() for name, values in batch.items()}
        try:
            self._recorded[kind] = (buffers, self._record(self._step, buffers))
        except RuntimeError:
            self._refused = True
        return not self._refused


def by_hand(step: Step, buffers: Batch) -> Replay:
    """A step on the buffers that is taken anew each time: where there are no graphs."""
    return lambda: step(buffers)


def as_graph(step: Step, buffers: Batch) -> Replay:
    """A step as a CUDA graph, on the stream that is current."""
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph, stream=torch.cuda.current_stream()):
        loss = step(buffers)

    def replay() -> torch.Tensor:
        graph.replay()
        return loss

    return replay


def make_recordable(optimizer: torch.optim.Optimizer, device: torch.device) -> None:
    """Let an optimizer without any state yet read its learning rate, and count its steps, on the device."""
    for group in optimizer.param_groups:
        if not isinstance(group["lr"], torch.Tensor):
            group["lr"] = torch.tensor(float(group["lr"]), device=device)
        if "capturable" in group:
            group["capturable"] = True


def why_not_recordable(trainer: Any, optimizer: torch.optim.Optimizer) -> str | None:
    """Why a trainer's steps are not repeated as they were recorded; None where they are."""
    args = trainer.args
    saves = getattr(args.save_strategy, "value", args.save_strategy) != "no"
    reasons = {
        "there is no GPU": args.device.type != "cuda",
        "gradients are accumulated": args.gradient_accumulation_steps > 1,
        "checkpoints are written, whose optimizer another device must read": saves,
        "it goes on from a checkpoint": bool(optimizer.state),
        "its batches are ragged": not trainer.task.has_classes,
        f"{type(trainer).__name__} does not say what its loss depends on": trainer.loss_phase() is None,
    }
    return next((reason for reason, holds in reasons.items() if holds), None)
