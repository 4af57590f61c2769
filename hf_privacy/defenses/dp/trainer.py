"""DP-SGD: clipped per-example gradients, Poisson batches, noise, and a ledger that is never behind."""

from __future__ import annotations

import secrets
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch.utils.data import DataLoader
from transformers import TrainerCallback
from transformers.trainer import TRAINER_STATE_NAME, TrainerState

from hf_privacy.data import TensorDataset
from hf_privacy.defenses.base.config import PrivacyConfig
from hf_privacy.defenses.base.trainer import PrivacyTrainer
from hf_privacy.defenses.dp.accounting import (
    PrivacyLedger,
    Step,
    merged,
    noise_multiplier_for,
    steps_within,
)
from hf_privacy.defenses.dp.config import DPConfig
from hf_privacy.defenses.dp.journal import JOURNAL_FILE, ReleaseJournal
from hf_privacy.defenses.dp.per_sample_gradients import (
    ClippedSum,
    check_private,
    clipped_gradients,
    units_in,
)
from hf_privacy.defenses.dp.poisson_sampler import PoissonBatchSampler
from hf_privacy.defenses.dp.privacy_units import PrivacyUnits, refuse_packing, units_of
from hf_privacy.defenses.dp.secret_stream import KEY_BYTES, SecretStream, drawn_together
from hf_privacy.errors import InputError
from hf_privacy.signals.invariance import extremes
from hf_privacy.tasks import TASKS


class _BudgetCallback(TrainerCallback):
    """Ends training at the last step the budget allows."""

    def __init__(self) -> None:
        self.last_step: int | None = None

    def on_step_end(self, args, state, control, **kwargs) -> None:
        if self.last_step is not None and state.global_step >= self.last_step:
            control.should_training_stop = True


class DPTrainer(PrivacyTrainer):
    """`PrivacyTrainer` with (ε, δ)-differential privacy for each training example, or each group of them.

    Each step draws a Poisson batch, clips every example's gradient to ``max_grad_norm``, sums, adds Gaussian noise of
    ``noise_multiplier * max_grad_norm`` and divides by the expected batch size. A batch without examples takes its
    noisy step too. Sampling and noise come from two ciphers with keys of 256 bits (`SecretStream`) that are never
    saved: two runs differ even under one ``seed``, and nobody can draw the noise again to subtract it.

    Every step whose weights were ever saved, evaluated or handed back counts: going back to an older checkpoint and
    training on spends what was released before as well (`ReleaseJournal`, in ``output_dir/private``). A training from
    the start is a mechanism of its own; who gives away the models of several adds their ε up.

    With ``privacy_unit="group"`` read "group" for "example": a step draws groups, and clips the mean of the gradients
    of a group's rows. A row of tokens has the mean loss of its own scored tokens, whatever is in its batch.

    The guarantee is for adding or removing one example, and covers everything computed from the weights afterwards. It
    does not cover what looks at the members again: the training loss in the logs, an audit's figures, hyper-parameters
    chosen by them.

    Parameters
    ----------
    args : DPConfig
    **others
        As in `PrivacyTrainer`; ``train_dataset`` must have a length, and weights shared between processes stay equal.

    Raises
    ------
    InputError
        Before training: a model with BatchNorm or with a mixture of experts' auxiliary loss, packed rows, a loss that
        couples rows, groups that are larger than their cap or not there, no budget left, a checkpoint without its
        ledger or journal or outside ``output_dir``, a batch larger than the training set.

    References
    ----------
    Abadi et al. (2016), "Deep learning with differential privacy", CCS, arXiv 1607.00133; accountants and per-sample
    gradients by Opacus (arXiv 2109.12298). Of groups: Charles et al. (2024), "Fine-tuning large language models with
    user-level differential privacy", arXiv 2407.07737 (their ULS).
    """

    config_class: ClassVar[type[PrivacyConfig]] = DPConfig
    defense_name: ClassVar[str] = "dp"
    tasks: ClassVar[tuple[str, ...]] = tuple(TASKS)
    paper: ClassVar[dict[str, str] | None] = {
        "title": "Deep Learning with Differential Privacy",
        "id": "arXiv:1607.00133",
        "citation": "Martín Abadi, Andy Chu, Ian Goodfellow, H. Brendan McMahan, Ilya Mironov, Kunal Talwar and Li "
        "Zhang. Deep Learning with Differential Privacy. CCS 2016.",
    }
    paper_defaults: ClassVar[dict[str, Any]] = {"target_epsilon": 8.0, "target_delta": 1e-5, "max_grad_norm": 4.0}
    search_space: ClassVar[dict[str, list[Any]]] = {
        "target_epsilon": [1.0, 3.0, 8.0],
        "max_grad_norm": [0.1, 0.5, 1.0, 4.0],
    }
    is_private: ClassVar[bool] = True
    # Per-sample gradients are taken through the plain model.
    compiles: ClassVar[bool] = False
    takes_sharded_weights: ClassVar[bool] = False

    args: DPConfig

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._budget = _BudgetCallback()
        super().__init__(*args, **kwargs)
        self.add_callback(self._budget)
        self.ledger = PrivacyLedger(self.args.accountant)
        self._attempt = PrivacyLedger(self.args.accountant)
        self._journal = ReleaseJournal(self.args.output_dir, self.ledger.training)
        self._noise: SecretStream | None = None
        self._sampling: SecretStream | None = None
        self._sums: list[torch.Tensor | None] | None = None
        self._planned: tuple[int, float] | None = None
        self._multiplier: float | None = None  # the planned one, while a training goes on
        self._resumed_at = 0
        self._checked: list[int] | None = None  # the trainable weights with which the sum was checked
        self._clipped_sum: ClippedSum | None = None
        if self.couples_rows:
            raise InputError(
                f"{type(self).__name__} says that it couples_rows: the loss of one row depends on others, so no row's "
                "influence is bounded and no ε would hold; train it without differential privacy"
            )
        refuse_packing(self.args, self.train_dataset, self.data_collator)
        if self.model is not None:
            check_private(self.model)
        # Noise is for what the loss does not reach too: a tensor that the optimizer does not hold would take none.
        self._weight_motion.every = self.args.noise_multiplier != 0
        self.units: PrivacyUnits | None = None
        if self.train_dataset is not None:
            self.units = units_of(self.train_dataset, self.args)
            self.plan()
        for reason in self._unaccounted():
            warnings.warn(reason, stacklevel=2)

    def _unaccounted(self) -> list[str]:
        """What callbacks do with members that no noise hides and the ledger does not count: then no ε holds."""
        reasons = [getattr(callback, "unaccounted", None) for callback in self.callback_handler.callbacks]
        return [reason for reason in reasons if reason]

    # ---- the budget ----

    @property
    def target_delta(self) -> float:
        """δ: the config's, or one tenth of one over the number of training examples or groups."""
        return self.args.target_delta if self.args.target_delta is not None else 0.1 / self.n_units

    @property
    def n_units(self) -> int:
        """How many examples, or groups, the training set has."""
        assert self.units is not None
        return len(self.units)

    @property
    def sample_rate(self) -> float:
        """Probability that an example, or a group, is in a step's batch."""
        args = self.args
        expected = args.per_device_train_batch_size * args.gradient_accumulation_steps * args.world_size
        return expected / self.n_units

    def planned_steps(self) -> int:
        """Steps of the whole training, with those of a second phase where one follows."""
        steps_per_epoch = max(1, round(1 / min(self.sample_rate, 1.0)))
        steps = self.args.max_steps
        if steps <= 0:
            steps = int(-(-self.args.num_train_epochs * steps_per_epoch // 1))
        return self.steps_of_both_phases(steps, steps_per_epoch)

    def plan(self) -> float:
        """The noise multiplier: the config's, or the least one that keeps the whole training within the budget."""
        if self._multiplier is not None:
            return self._multiplier
        n_steps = self.planned_steps()
        if self._planned is None or self._planned[0] != n_steps:
            # Refuses a batch larger than the training set.
            PoissonBatchSampler(self.n_units, sample_rate=self.sample_rate, of=self.args.privacy_unit)
            noise_multiplier = self.args.noise_multiplier
            if noise_multiplier is None:
                noise_multiplier = noise_multiplier_for(
                    self.args.accountant,
                    target_epsilon=self.args.target_epsilon,
                    sample_rate=self.sample_rate,
                    n_steps=n_steps,
                    delta=self.target_delta,
                )
            self._planned = (n_steps, noise_multiplier)
        return self._planned[1]

    def privacy_spent(self) -> dict[str, Any] | None:
        """ε of the steps taken so far, or of the planned training before the first; None where it is infinite.

        None as well where a callback looks at the members: the ledger counts the steps, and no noise hides that look.
        """
        if self._unaccounted():
            return None
        ledger = self.ledger
        if ledger.n_steps == 0:
            ledger = PrivacyLedger(self.args.accountant)
            if steps := self._allowed_steps(self.planned_steps()):
                ledger.record(noise_multiplier=self.plan(), sample_rate=self.sample_rate, count=steps)
        return self._spent(ledger)

    def privacy_spent_by(self, folder: str | Path) -> dict[str, Any] | None:
        """ε of the model saved in ``folder``, by the ledger saved with it.

        Raises
        ------
        InputError
            If there is no ledger, or one that no training wrote.
        """
        if self._unaccounted():
            return None
        return self._spent(PrivacyLedger.load(folder))

    def _spent(self, ledger: PrivacyLedger) -> dict[str, Any] | None:
        epsilon, accountant = ledger.bound(self.target_delta)
        if epsilon == float("inf"):
            return None
        return {
            "epsilon": epsilon,
            "delta": self.target_delta,
            "accountant": accountant.upper(),
            "sampler": "Poisson",
            "unit": self.args.privacy_unit,
        }

    def _allowed_steps(self, most: int) -> int:
        if self.args.target_epsilon is None:
            return most
        return steps_within(
            self.ledger,
            target_epsilon=self.args.target_epsilon,
            noise_multiplier=self.plan(),
            sample_rate=self.sample_rate,
            delta=self.target_delta,
            most=most,
        )

    # ---- training ----

    def private_losses(self, call: Callable[..., Any], batch: dict[str, torch.Tensor]) -> torch.Tensor:
        """The loss of each example of a batch, [B]; no example's may depend on another's, nor on the batch.

        ``call`` is the model, or stands in for it with other weights.
        """
        return self.task.separate_losses(call, batch)

    def _inner_training_loop(self, *args: Any, **kwargs: Any) -> Any:
        """Train with hooks on the model, which leave it again whatever happens."""
        check_private(self.model)
        # The same keys on all processes: they draw one batch and add one and the same noise.
        self._sampling, self._noise = SecretStream(self._shared_key()), SecretStream(self._shared_key())
        self._attempt = PrivacyLedger(self.args.accountant)
        self._journal = ReleaseJournal(self.args.output_dir, self.ledger.training)
        self._sums = None
        self._checked = None
        way, max_norm = self.args.per_sample_gradients, self.args.max_grad_norm
        with clipped_gradients(self.model, way, max_norm=max_norm, losses=self.private_losses) as clipped_sum:
            self._clipped_sum, self._multiplier = clipped_sum, self.plan()
            try:
                return super()._inner_training_loop(*args, **kwargs)
            finally:
                self._clipped_sum = self._multiplier = None
                self._release()  # the weights are in the caller's hands, also after Ctrl-C

    def _shared_key(self) -> bytes:
        """A key from the operating system: process 0's, on all."""
        key = torch.tensor(list(secrets.token_bytes(KEY_BYTES)), dtype=torch.uint8, device=self.args.device)
        if self.args.world_size > 1:
            key = self.accelerator.gather(key)[:KEY_BYTES]
        return bytes(key.tolist())

    def _release(self) -> None:
        """Write down that the weights as they are now are about to be seen."""
        if self.is_world_process_zero():
            self._journal.release(self._attempt.steps)

    def get_train_dataloader(self) -> DataLoader:
        """Poisson batches; each is entered in the ledger before it is handed out."""
        resumed_at, self._resumed_at = self._resumed_at, 0
        left = max(self.planned_steps() - resumed_at, 0)
        allowed = self._allowed_steps(left)
        if left and not allowed:
            raise InputError(
                f"target_epsilon is {self.args.target_epsilon}: the budget does not allow one further step with "
                f"noise_multiplier {self.plan():.3g}; raise the budget or the noise"
            )
        if self.second_phase is not None and allowed < left:
            raise InputError(
                f"target_epsilon is {self.args.target_epsilon}: the budget allows {allowed:,} of {left:,} steps of "
                "training and fine-tuning; raise the budget or the noise, or train for fewer epochs"
            )
        self._budget.last_step = resumed_at + allowed
        steps_per_epoch = round(1 / self.sample_rate)
        assert self.units is not None
        sampler = PoissonBatchSampler(
            self.n_units,
            sample_rate=self.sample_rate,
            n_parts=self.args.gradient_accumulation_steps,
            rank=self.args.process_index,
            world_size=self.args.world_size,
            stream=self._sampling,
            on_batch=self._account,
            n_skipped=resumed_at % steps_per_epoch,
        )
        rows = self.units.as_dataset() if self.args.privacy_unit == "group" else self.train_dataset
        return DataLoader(rows, batch_sampler=sampler, collate_fn=self._collate_poisson)

    def _account(self) -> None:
        for ledger in (self.ledger, self._attempt):
            ledger.record(noise_multiplier=self.plan(), sample_rate=self.sample_rate)

    def _collate_poisson(self, batch: Any) -> dict[str, torch.Tensor]:
        if not isinstance(self.train_dataset, TensorDataset) and len(batch) == 0:
            return {"labels": torch.zeros(0, dtype=torch.int64)}
        return self.data_collator(batch)

    def training_step(
        self, model: torch.nn.Module, inputs: dict[str, torch.Tensor], num_items_in_batch: Any = None
    ) -> torch.Tensor:
        """Add the micro-batch's clipped gradients up; with the step's last one, make them its noisy gradient."""
        inner = self.model  # what accelerate gives when asked, after a look through the packages at each step
        inner.train()
        inputs = self._prepare_inputs(inputs)
        loss = torch.zeros((), device=self.args.device)
        parameters = [parameter for parameter in inner.parameters() if parameter.requires_grad]
        if len(inputs["labels"]):
            assert self._clipped_sum is not None
            inputs = self.private_inputs(model, inputs)
            with self.compute_loss_context_manager():
                # Once, and again where others are trained: what was frozen may be used in another way.
                trained = [id(parameter) for parameter in parameters]
                if self._checked != trained:
                    self._checked = trained if self._check_clipping(model, inputs) else None
                gradients, losses = self._clipped_sum(inputs)
            self._sums = (
                gradients
                if self._sums is None
                else [
                    one if other is None else other if one is None else one.add_(other)
                    for one, other in zip(self._sums, gradients, strict=True)
                ]
            )
            loss = losses.mean() / self.current_gradient_accumulation_steps
        if self.accelerator.sync_gradients:
            self._set_noisy_gradient(parameters)
        return loss

    def private_inputs(self, model: torch.nn.Module, inputs: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """What `private_losses` is given of a batch that is not empty: here, the batch.

        To a model that learns its positions they are given for each row: what is looked up once for all rows has no
        gradient of a row's own.
        """
        if self.task.has_classes or not _learns_positions(self.model):
            return inputs
        ids = inputs["input_ids"]
        return {**inputs, "position_ids": torch.arange(ids.shape[1], device=ids.device).expand_as(ids).contiguous()}

    def _check_clipping(self, model: torch.nn.Module, inputs: dict[str, torch.Tensor]) -> bool:
        """Hold the first batch's sum against one example at a time, and that of the shortest and the longest text.

        In a batch of one unit nothing of another can be found: then two more rows are tried, or, of data that is no
        `TensorDataset`, the next batch is held too. Whether it is enough.
        """
        assert self._clipped_sum is not None
        batches, rows = [inputs], self.train_dataset
        several = units_in(inputs) > 1
        known = isinstance(rows, TensorDataset) and len(rows) > 1
        if known and ("attention_mask" in rows.column_names or not several):
            both = self._prepare_inputs(extremes(rows).__getitems__([0, 1]))
            batches.append(self.private_inputs(model, both))
        self._clipped_sum.check(*batches)
        return several or known

    def _set_noisy_gradient(self, parameters: list[torch.nn.Parameter]) -> None:
        assert self._noise is not None
        sums = [None] * len(parameters) if self._sums is None else self._sums
        expected = self.sample_rate * self.n_units
        noises = drawn_together(self._noise, parameters, scale=self.plan() * self.args.max_grad_norm / expected)
        for parameter, total, noise in zip(parameters, sums, noises, strict=True):
            if self.args.world_size > 1:
                total = torch.zeros_like(parameter, dtype=torch.float32) if total is None else total.float()
                # In one order on all: what is summed is memory, and a transposed weight's sum lies there transposed.
                total = total.contiguous()
                total = self.accelerator.reduce(total, reduction="sum")
            if total is not None:
                noise.add_(total, alpha=1 / expected)
            parameter.grad = noise.to(parameter.dtype)
        self._sums = None

    def _clip_grad_norm(self, model: torch.nn.Module) -> None:
        """Nothing: the examples' gradients were clipped, and clipping the noisy sum would only bias it."""
        return None

    # ---- saving and resuming ----

    def evaluation_loop(self, *args: Any, **kwargs: Any) -> Any:
        """As in `PrivacyTrainer`; what `evaluate` and `predict` give tells of the weights: their steps count now."""
        self._release()
        return super().evaluation_loop(*args, **kwargs)

    def _save(self, output_dir: str | None = None, state_dict: dict | None = None) -> None:
        self._release()
        super()._save(output_dir, state_dict)
        if self.args.should_save:
            self.ledger.save(output_dir or self.args.output_dir)

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: torch.nn.Module | None = None) -> None:
        ledger = PrivacyLedger.load(resume_from_checkpoint)
        if ledger.accountant != self.args.accountant:
            raise InputError(
                f"the checkpoint was accounted by {ledger.accountant} and accountant is {self.args.accountant}: keep "
                "the one it was begun with"
            )
        state = TrainerState.load_from_json(str(Path(resume_from_checkpoint) / TRAINER_STATE_NAME))
        if ledger.n_steps < state.global_step:
            raise InputError(
                f"the checkpoint is {state.global_step:,} steps old, its ledger {ledger.n_steps:,}: ε would be "
                "under-reported; resume from another one"
            )
        if self.args.noise_multiplier != 0 and any(noise == 0 for noise, _, _ in ledger.steps):
            raise InputError(
                "the checkpoint's ledger has steps without noise: no ε holds for what comes after them; train anew"
            )
        folder = Path(resume_from_checkpoint).resolve().parent
        if folder != Path(self.args.output_dir).resolve():
            raise InputError(
                f"the checkpoint {Path(resume_from_checkpoint).name} lies in another folder than output_dir: the "
                "journal of what this training released is kept there; resume with the output_dir it was begun in"
            )
        self._journal = ReleaseJournal(folder, ledger.training)
        ledger.steps = self._ever_released(ledger)
        self._attempt = PrivacyLedger(self.args.accountant)
        self.ledger, self._resumed_at = ledger, state.global_step
        super()._load_from_checkpoint(resume_from_checkpoint, model)

    def _ever_released(self, ledger: PrivacyLedger) -> list[Step]:
        """What the journal says of a checkpoint's training: at least what its ledger does."""
        released = self._journal.released()
        counts = {step[:2]: step[2] for step in released}
        if any(counts.get((noise, rate), 0) < count for noise, rate, count in merged(ledger.steps)):
            raise InputError(
                f"{JOURNAL_FILE} says less than the checkpoint's ledger: it was cut or changed, and ε would be "
                "under-reported; restore it, or train anew"
            )
        return released


def _learns_positions(model: torch.nn.Module) -> bool:
    """Whether a language model trains a table beside that of its tokens, such as GPT-2's, counted from 0.

    One with a row for padding, such as RoBERTa's, is counted from there on, by the model itself and for each row.
    """
    own = model.get_input_embeddings()
    tables = [layer for layer in model.modules() if isinstance(layer, torch.nn.Embedding) and layer is not own]
    return any(table.weight.requires_grad and table.padding_idx is None for table in tables)
