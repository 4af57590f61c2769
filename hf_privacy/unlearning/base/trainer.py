"""The trainer all unlearners stand on."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from peft import PeftModel
from torch.utils.data import DataLoader
from transformers import TrainerCallback
from transformers.trainer_utils import TrainOutput

from hf_privacy.data import TensorDataset, collate_batch
from hf_privacy.defenses import PrivacyConfig, PrivacyTrainer
from hf_privacy.defenses.base.config import own_arguments
from hf_privacy.errors import InputError
from hf_privacy.models import bare_model, base_of, beside
from hf_privacy.signals import SignalStore, check_fit, compute_signals
from hf_privacy.tasks import CLASSIFICATION
from hf_privacy.unlearning.base.config import UnlearningConfig
from hf_privacy.unlearning.base.paired_data import PairedBatchSampler, PairedDataset
from hf_privacy.unlearning.base.stop_rule import HeldoutLossStopCallback

Batch = dict[str, torch.Tensor]


class UnlearningTrainer(PrivacyTrainer):
    """A `PrivacyTrainer` that starts from a trained model and makes it forget some of its training examples.

    A method overrides at most three things: `prepare` (scores, masks, teachers, once), `edit` (a change of the weights
    made once) and `unlearning_loss` (what the epochs minimise). The original weights are kept in memory as they were;
    nothing is written where the model came from.

    Parameters
    ----------
    model : torch.nn.Module
        The trained model; it is changed in place.
    args : UnlearningConfig
    forget_dataset, retain_dataset : TensorDataset
        Together the training set.
    heldout_dataset : TensorDataset, optional
        Never trained on. Some methods and the stop rule need it.
    processing_class, callbacks, **others
        As in `PrivacyTrainer`.

    Attributes
    ----------
    timing : dict of str to float
        Seconds spent: "scoring" (in `prepare`), "shadows" (whatever trained other models), "training" (edit and
        epochs), "total".
    original_state : dict of str to tensor
        Weights that may be trained and buffers before anything was changed, on the CPU.
    after_edit : dict of str to float, or None
        For a method that edits the weights and then trains: accuracy on each set after the edit alone, so that what
        the epochs add can be told from what they repair.

    Raises
    ------
    InputError
        For sets that are missing, empty, not encoded alike or share rows, a held-out set where one is needed, or an
        ``output_dir`` that is the folder the model was loaded from.
    """

    config_class: ClassVar[type[PrivacyConfig]] = UnlearningConfig
    unlearning_name: ClassVar[str] = ""
    tasks: ClassVar[tuple[str, ...]] = CLASSIFICATION
    # The sets whose batches `unlearning_loss` reads, and the one whose single pass is an epoch.
    uses: ClassVar[tuple[str, ...]] = ("forget", "retain")
    anchor: ClassVar[str] = "forget"
    needs_heldout: ClassVar[bool] = False

    args: UnlearningConfig

    def __init__(
        self,
        model: torch.nn.Module | None = None,
        args: UnlearningConfig | None = None,
        forget_dataset: TensorDataset | None = None,
        retain_dataset: TensorDataset | None = None,
        heldout_dataset: TensorDataset | None = None,
        *,
        callbacks: list[TrainerCallback] | None = None,
        **kwargs: Any,
    ) -> None:
        if not isinstance(args, self.config_class):
            raise InputError(f"args is {type(args).__name__}: pass a {self.config_class.__name__}")
        _check_sets(forget_dataset, retain_dataset, heldout_dataset)
        if heldout_dataset is None and (self.needs_heldout or args.stop_rule == "heldout_loss"):
            reason = "stop_rule 'heldout_loss'" if args.stop_rule == "heldout_loss" else type(self).__name__
            raise InputError(f"heldout_dataset is missing: {reason} compares with examples never trained on")
        if model is not None:
            _check_output_dir(model, args.output_dir)
        anchor = args.anchor or self.anchor
        if anchor not in self.uses:
            raise InputError(f"anchor is {anchor!r} and {type(self).__name__} trains on {self.uses[0]} alone")
        self.forget_dataset = forget_dataset
        self.retain_dataset = retain_dataset
        self.heldout_dataset = heldout_dataset
        self.timing: dict[str, float] = {"scoring": 0.0, "shadows": 0.0, "training": 0.0, "total": 0.0}
        self.after_edit: dict[str, float] | None = None
        callbacks = list(callbacks or [])
        if args.stop_rule == "heldout_loss":
            callbacks.append(
                HeldoutLossStopCallback(forget_dataset, heldout_dataset, every_n_steps=args.stop_every_n_steps)
            )
        paired = PairedDataset(
            forget_dataset if "forget" in self.uses else None,
            retain_dataset if "retain" in self.uses else None,
            anchor=anchor,
        )
        if model is not None:
            self.attach_to(model, args)
        super().__init__(model, args, collate_batch, paired, callbacks=callbacks, **kwargs)
        if self.second_phase is not None:
            name = type(self.second_phase).__name__
            raise InputError(f"{name} is passed to an unlearner: it belongs to training a model")
        for dataset in (forget_dataset, retain_dataset):
            check_fit(self.model, dataset)
        named = self.model.named_parameters(remove_duplicate=False)  # tied weights have two names
        frozen = {name for name, parameter in named if not parameter.requires_grad}
        self.original_state = {
            name: tensor.detach().to("cpu", copy=True)
            for name, tensor in self.model.state_dict().items()
            if name not in frozen  # an adapter's base stays as it is
        }

    def attach_to(self, model: torch.nn.Module, args: UnlearningConfig) -> None:
        """Add to the model what is trained on top of it, if anything, once arguments and sets are checked."""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """Give an unlearner from outside that does not say its name that of its class: it is no longer its base."""
        super().__init_subclass__(**kwargs)
        if "unlearning_name" not in vars(cls) and not cls.__module__.startswith("hf_privacy."):
            cls.unlearning_name = cls.__name__

    @classmethod
    def arguments_of_references(
        cls,
        args: Any,
        store: SignalStore | None,
        labels: np.ndarray,
        *,
        n_classes: int,
        dataset: TensorDataset | None = None,
        model: torch.nn.Module | None = None,
    ) -> dict[str, Any]:
        """What else the constructor is to be given, made from an audit's reference models; for most methods nothing.

        Parameters
        ----------
        args : UnlearningConfig
        store : SignalStore, optional
            The signals of the reference models; None where there are none.
        labels : int64[N], or [N, L] of a language model
            Class of each of the store's examples; or the labels of its tokens.
        n_classes : int
            0 of a language model.
        dataset : TensorDataset, optional
            Of a language model: the store's examples.
        model : torch.nn.Module, optional
            Of a language model: the one to unlearn, before it is changed.

        Raises
        ------
        InputError
            Where ``args`` need reference models and there are none.
        """
        return {}

    # ---- what a method overrides ----

    def prepare(self) -> None:
        """Score, mask, build teachers: once, before anything is changed. Timed as "scoring"."""

    def edit(self) -> None:
        """Change the weights once, before the epochs."""

    def unlearning_loss(self, model: torch.nn.Module, forget: Batch, retain: Batch) -> torch.Tensor:
        """The loss to minimise on one pair of batches.

        Parameters
        ----------
        model : torch.nn.Module
            In training mode, possibly wrapped for distributed training.
        forget, retain : dict of tensor or None
            On the device, with "labels"; None where ``uses`` leaves the set out.

        Returns
        -------
        tensor, scalar
            A mean over examples.
        """
        raise NotImplementedError(f"{type(self).__name__} has no epochs: set num_train_epochs to 0")

    # ---- running it ----

    def unlearn(self, resume_from_checkpoint: str | bool | None = None) -> dict[str, float]:
        """Forget, and return the seconds it took, by part.

        Parameters
        ----------
        resume_from_checkpoint : str or bool, optional
            As in `transformers.Trainer.train`; the trainer must be built on the original model again.
        """
        self.train(resume_from_checkpoint)
        return dict(self.timing)

    def train(self, resume_from_checkpoint: str | bool | None = None, **kwargs: Any) -> TrainOutput:
        """`prepare`, `edit`, then the epochs; see `unlearn`."""
        started = time.perf_counter()
        has_epochs = self.args.num_train_epochs > 0 or self.args.max_steps > 0
        edits = type(self).edit is not UnlearningTrainer.edit
        if not has_epochs and not edits:
            raise InputError(
                f"num_train_epochs is {self.args.num_train_epochs:g} and {type(self).__name__} forgets by training "
                "alone: pass a number of epochs"
            )
        if self.args.check_evidence and self.heldout_dataset is not None:
            self._look_for_evidence()
        with self.timed("scoring"):
            self.prepare()
        scored = time.perf_counter()
        other = self.timing["shadows"]
        self.edit()
        edited = time.perf_counter()
        if has_epochs and edits:
            self.after_edit = self._accuracies()
        looked = time.perf_counter() - edited
        output = super().train(resume_from_checkpoint, **kwargs) if has_epochs else TrainOutput(0, 0.0, {})
        ended = time.perf_counter() - looked  # looking is not forgetting
        self.timing["training"] = ended - scored - (self.timing["shadows"] - other)
        self.timing["total"] = ended - started
        return output

    @contextmanager
    def timed(self, part: str) -> Iterator[None]:
        """Add the seconds spent inside to one part of `timing`; a part inside another counts once, as itself."""
        started, before = time.perf_counter(), dict(self.timing)
        yield
        inner = sum(self.timing[name] - before[name] for name in self.timing)
        self.timing[part] += time.perf_counter() - started - inner

    def original_model(self) -> torch.nn.Module:
        """The model before anything was changed, adapter included: without gradients, in evaluation mode.

        A copy on the same device, which shares what is frozen: of an adapter's base there is one in memory.
        """
        model = beside(self.accelerator.unwrap_model(self.model))
        model.load_state_dict(self.original_state, strict=False)
        return model.requires_grad_(False).eval()

    def located(self, batch: dict[str, Any]) -> dict[str, Any]:
        """As in `PrivacyTrainer`, of both sets' batches."""
        both = {name: batch[name] for name in ("forget", "retain")}
        return {**batch, **{name: each and self.task.located(each) for name, each in both.items()}}

    def training_loss(self, model: torch.nn.Module, inputs: dict[str, Any]) -> tuple[torch.Tensor, Any]:
        """The unlearning loss of one pair of batches."""
        return self.unlearning_loss(model, inputs["forget"], inputs["retain"]), None

    def logits_of(self, model: torch.nn.Module, batch: Batch) -> torch.Tensor:
        """Logits [B, C] in float32."""
        return self.forward_without_labels(model, batch)["logits"].float()

    def mean_loss(self, model: torch.nn.Module, batch: Batch) -> torch.Tensor:
        """Mean of the task's losses of the examples of a batch."""
        return self.task.example_losses(self.forward_without_labels(model, batch), batch).mean()

    def describe_unlearning(self) -> dict[str, Any]:
        """Name, parameters and paper of the method, as in the report's ``unlearning``."""
        paper = None if self.paper is None else {"title": self.paper["title"], "id": self.paper["id"]}
        shared = ("learning_rate", "num_train_epochs", "stop_rule", *self.paper_defaults)
        return {
            "name": self.unlearning_name,
            "parameters": own_arguments(self.args, base=UnlearningConfig, also=shared),
            "paper": paper,
        }

    def batches_of(self, dataset: TensorDataset) -> Iterator[Batch]:
        """All of a set in order, without augmentation, in batches of the training's size: for scores."""
        if dataset.augmentation is not None:
            dataset = dataset.with_augmentation(None)
        for start in range(0, len(dataset), self._train_batch_size):
            yield dataset.__getitems__(range(start, min(start + self._train_batch_size, len(dataset))))

    def trainable(self) -> list[str]:
        """Names of the parameters that training moves: under LoRA, the adapter's."""
        return [name for name, parameter in self.model.named_parameters() if parameter.requires_grad]

    def get_train_dataloader(self) -> DataLoader:
        """Paired batches, this process's share of them."""
        dataset = self.train_dataset
        sampler = PairedBatchSampler(
            len(dataset),
            dataset.n_partners,
            partner_ratio=self.args.partner_ratio,
            batch_size=self._train_batch_size,
            rank=self.args.process_index,
            world_size=self.args.world_size,
            seed=self._data_seed,
            drop_last=self.args.dataloader_drop_last,
        )
        self._epoch_callback.batch_sampler = sampler
        return DataLoader(
            dataset,
            batch_sampler=sampler,
            collate_fn=self.data_collator,
            num_workers=self.args.dataloader_num_workers,
            pin_memory=self.args.dataloader_pin_memory and self.args.device.type == "cuda",
            persistent_workers=self.args.dataloader_persistent_workers,
        )

    def _get_collator_with_removed_columns(self, data_collator: Callable, description: str | None = None) -> Callable:
        return data_collator

    def _accuracies(self) -> dict[str, float]:
        sets = {"forget": self.forget_dataset, "retain": self.retain_dataset, "heldout": self.heldout_dataset}
        return {
            f"{name}_{worth}": value
            for name, dataset in sets.items()
            if dataset is not None
            for worth, value in self.task.utility(compute_signals(self.model, dataset)).items()
        }

    def _look_for_evidence(self) -> None:
        """Warn where a classifier, and refuse where a language model, was never trained on what it is to forget."""
        sets = (self.forget_dataset, self.heldout_dataset)
        forget, heldout = (compute_signals(self.model, dataset) for dataset in sets)
        accuracy = forget["correct"].mean(), heldout["correct"].mean()
        loss = forget["loss"].mean(), heldout["loss"].mean()
        if not self.task.has_classes and isinstance(bare_model(self.model), PeftModel):
            # What fine-tuning made of each: texts differ in how hard they are, and the base knows that.
            with base_of(self.model) as base:
                before = [compute_signals(base, dataset)["loss"].mean() for dataset in sets]
            learnt = loss[0] - before[0] < loss[1] - before[1]
        else:
            learnt = accuracy[0] > accuracy[1] or loss[0] < loss[1]
        if learnt:
            return
        said = (
            "the model does no better on the forget set than on the held-out set (accuracy "
            f"{accuracy[0]:.1%} and {accuracy[1]:.1%}, loss {loss[0]:.3f} and {loss[1]:.3f})"
        )
        if self.task.has_classes:
            warnings.warn(f"{said}: it may not have been trained on it", stacklevel=3)
        else:
            raise InputError(
                f"{said}, beside what its base says of them: it was not trained on these rows; pass rows that it was "
                "trained on, or check_evidence=False where you know that it was"
            )


def _check_sets(forget: Any, retain: Any, heldout: Any) -> None:
    for name, dataset in (("forget_dataset", forget), ("retain_dataset", retain), ("heldout_dataset", heldout)):
        if dataset is None and name == "heldout_dataset":
            continue
        if not isinstance(dataset, TensorDataset):
            raise InputError(f"{name} is {type(dataset).__name__}: pass a TensorDataset")
        if len(dataset) == 0:
            raise InputError(f"{name} is empty: an unlearner needs examples to forget and examples to keep")
        if set(dataset.column_names) != set(forget.column_names):
            raise InputError(
                f"{name} has the columns {sorted(dataset.column_names)} and forget_dataset "
                f"{sorted(forget.column_names)}: encode them alike"
            )
    pairs = [("forget_dataset", forget, "retain_dataset", retain)]
    if heldout is not None:
        pairs += [
            ("heldout_dataset", heldout, name, d)
            for name, d in (("forget_dataset", forget), ("retain_dataset", retain))
        ]
    for one, first, other, second in pairs:
        shared = first.shared_rows(second)
        if shared:
            raise InputError(f"{one} and {other} share {shared} rows: give each example to one set only")


def _check_output_dir(model: torch.nn.Module, output_dir: str | Path | None) -> None:
    source = getattr(model.config, "_name_or_path", "") or ""
    if output_dir and source and Path(source).is_dir() and Path(source).resolve() == Path(output_dir).resolve():
        raise InputError(
            f"output_dir is the folder the model was loaded from ({Path(source).name}): choose another, so that the "
            "original checkpoint stays"
        )
