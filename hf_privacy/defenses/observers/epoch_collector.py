"""What the callbacks that watch single examples share: when they look, and that training does not notice."""

from __future__ import annotations

import random
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, ClassVar

import numpy as np
import torch
from accelerate.state import AcceleratorState
from accelerate.utils import broadcast_object_list
from transformers import TrainerCallback

from hf_privacy.arguments import check_whole
from hf_privacy.data import TensorDataset
from hf_privacy.defenses.base.config import PrivacyConfig
from hf_privacy.defenses.observers.dynamics_store import DynamicsStore
from hf_privacy.errors import InputError


class EpochCollector(TrainerCallback):
    """Computes values of every example of a dataset after each ``every_n_epochs``-th epoch, and after the last.

    The part that `TrainingDynamicsCallback` and `CurvatureCallback` share. It watches and does nothing else: the
    weights a run ends with are the same to the last bit with it and without. Reference models go without it.

    Parameters
    ----------
    dataset : TensorDataset, optional
        The training set by default; an augmentation is left out.
    every_n_epochs : int
    batch_size : int
        Examples per pass; values do not depend on it.
    """

    stream: ClassVar[str]

    def __init__(self, dataset: TensorDataset | None, *, every_n_epochs: int, batch_size: int) -> None:
        if dataset is not None and not isinstance(dataset, TensorDataset):
            raise InputError(
                f"dataset is {type(dataset).__name__}: pass a TensorDataset, as hf_privacy.data.encode_images, "
                "encode_text, encode_features and encode_language make, or none for the training set"
            )
        if dataset is not None and len(dataset) == 0:
            raise InputError("dataset is empty: pass at least one example")
        for name, value in (("every_n_epochs", every_n_epochs), ("batch_size", batch_size)):
            check_whole(name, value, at_least=1)
        self.dataset = dataset
        self.every_n_epochs = every_n_epochs
        self.batch_size = batch_size
        self._rows: TensorDataset | None = None
        self._recorded: set[int] = set()

    def values_of(self, model: torch.nn.Module, dataset: TensorDataset, state: AcceleratorState) -> dict[str, Any]:
        """Arrays [N] of `dataset` in its order, complete in every process; what a callback adds to this class."""
        raise NotImplementedError

    def settings(self) -> dict[str, Any]:
        """Plain values that the numbers depend on."""
        return {}

    # ---- when it looks ----

    def on_train_begin(self, args, state, control, *, model, train_dataloader, **kwargs) -> None:
        if args.push_to_hub:
            _refuse_stock_push(args)
        self._rows = self._dataset(train_dataloader)
        # What cannot be computed is said before any training, not after an epoch.
        probe = self._values(model, self._rows.subset([0]))
        tensors = {name: "U8" if values.dtype == np.bool_ else "F64" for name, values in probe.items()}
        self._recorded = set(self._begin(args, state, tensors))
        # A run killed between the checkpoint at the end of an epoch and this epoch's values.
        if state.global_step > 0 and self._is_due(state, control) and state.global_step not in self._recorded:
            self._collect(args, state, model)
        if state.is_world_process_zero:
            self._warn_of_gaps(args, state)

    def on_epoch_end(self, args, state, control, *, model, **kwargs) -> None:
        # A finished run that is resumed within its last epoch ends that epoch without a step.
        if self._is_due(state, control) and state.global_step not in self._recorded:
            self._collect(args, state, model)

    def on_push_begin(self, args, state, control, **kwargs) -> None:
        if DynamicsStore(args.output_dir).exists:
            _refuse_stock_push(args)

    def _is_due(self, state: Any, control: Any) -> bool:
        if state.global_step >= state.max_steps or control.should_training_stop:
            return True
        epochs = _whole(state.epoch)
        return epochs is not None and epochs % self.every_n_epochs == 0

    def _collect(self, args: Any, state: Any, model: torch.nn.Module) -> None:
        started = time.perf_counter()
        values = self._values(model, self._rows)
        seconds = time.perf_counter() - started
        epoch = float(_whole(state.epoch) or state.epoch)
        if state.is_world_process_zero:
            DynamicsStore(args.output_dir).write(
                self.stream, values, step=state.global_step, epoch=epoch, seconds=seconds
            )
            seconds = time.perf_counter() - started
        self._recorded.add(state.global_step)
        name = "dynamics_seconds" if self.stream == "signals" else f"{self.stream}_seconds"
        state.log_history.append({name: round(seconds, 4), "epoch": state.epoch, "step": state.global_step})

    def _values(self, model: torch.nn.Module, dataset: TensorDataset) -> dict[str, np.ndarray]:
        state = AcceleratorState()
        with random_states_kept(state.device):
            return self.values_of(model, dataset, state)

    # ---- what it looks at, and what is there already ----

    def _dataset(self, train_dataloader: Any) -> TensorDataset:
        dataset = self.dataset if self.dataset is not None else train_dataloader.dataset
        if not isinstance(dataset, TensorDataset):
            raise InputError(
                f"the training set is {type(dataset).__name__}: pass dataset=, a TensorDataset as "
                "hf_privacy.data.encode_images, encode_text, encode_features and encode_language make"
            )
        if "labels" not in dataset.column_names:
            raise InputError(f"dataset has the columns {sorted(dataset.column_names)}: pass one with labels")
        return dataset

    def _begin(self, args: Any, state: Any, tensors: dict[str, str]) -> list[int]:
        """Steps that the store holds: settled by the first process, whose folder it is, and told to the others."""
        told: list[Any] = [None, None]
        if state.is_world_process_zero:
            store = DynamicsStore(args.output_dir)
            try:
                told[0] = store.begin(
                    self.stream,
                    dataset=self._rows,
                    settings=self.settings(),
                    tensors=tensors,
                    step=state.global_step,
                    keep=self._steps_to_keep(store, state),
                )
            except InputError as error:
                told[1] = str(error)
        broadcast_object_list(told)
        if told[1] is not None:
            raise InputError(told[1])
        return told[0]

    def _steps_to_keep(self, store: DynamicsStore, state: Any) -> list[int]:
        """Those of the checkpoint's past in which a run of today's settings would have looked."""
        entries = store.metadata()["streams"].get(self.stream, {"entries": []})["entries"] if store.exists else []
        return [
            entry["step"]
            for entry in entries
            if entry["step"] <= state.global_step
            and (
                entry["step"] == state.max_steps
                or (entry["epoch"] == int(entry["epoch"]) and int(entry["epoch"]) % self.every_n_epochs == 0)
            )
        ]

    def _warn_of_gaps(self, args: Any, state: Any) -> None:
        entries = DynamicsStore(args.output_dir).metadata()["streams"][self.stream]["entries"]
        past = range(self.every_n_epochs, int((state.epoch or 0) + 1e-6) + 1, self.every_n_epochs)
        missing = sorted(set(past) - {entry["epoch"] for entry in entries})
        if missing:
            shown = ", ".join(str(epoch) for epoch in missing[:5]) + (", …" if len(missing) > 5 else "")
            warnings.warn(
                f"the {self.stream} of {len(missing)} epochs before the checkpoint ({shown}) were not collected, and "
                "stay missing: to have them, train from the start",
                stacklevel=2,
            )


@contextmanager
def random_states_kept(device: torch.device) -> Iterator[None]:
    """Every random generator that training draws from (Python's, NumPy's, torch's on CPU and `device`) as it was.

    Examples
    --------
    >>> _ = torch.manual_seed(0)
    >>> with random_states_kept(torch.device("cpu")):
    ...     drawn = torch.rand(1)
    >>> torch.equal(torch.rand(1), drawn)
    True
    """
    python, numpy, cpu = random.getstate(), np.random.get_state(), torch.get_rng_state()
    accelerator = None if device.type == "cpu" else torch.get_device_module(device)
    on_device = None if accelerator is None else accelerator.get_rng_state()
    try:
        yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy)
        torch.set_rng_state(cpu)
        if accelerator is not None:
            accelerator.set_rng_state(on_device)


def _whole(epoch: float) -> int | None:
    """The number of epochs done if the last one was done to its end."""
    return round(epoch) if abs(epoch - round(epoch)) < 1e-6 and round(epoch) > 0 else None


def _refuse_stock_push(args: Any) -> None:
    # The trainers of this package push by a list of names; the stock Trainer uploads the folder, this one included.
    if not isinstance(args, PrivacyConfig):
        raise InputError(
            "the stock Trainer pushes its whole folder, and with it the training dynamics of single examples in "
            "private/: train with PrivacyTrainer, or push the saved model with hf_privacy.reports.push_folder"
        )
