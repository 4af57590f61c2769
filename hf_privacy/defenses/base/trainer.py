"""The trainer all defences stand on, and the undefended baseline itself."""

from __future__ import annotations

import copy
import math
import warnings
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar

import datasets
import torch
from torch.utils.data import DataLoader
from transformers import Trainer, TrainerCallback
from transformers.trainer_utils import TrainOutput
from transformers.training_args import OptimizerNames

from hf_privacy.data import TensorDataset, collate_batch, refuse_without_rows
from hf_privacy.defenses.base.batch_sampler import MembershipBatchSampler
from hf_privacy.defenses.base.config import PrivacyConfig, own_arguments
from hf_privacy.defenses.base.device_loader import DeviceLoader, can_be_made_on
from hf_privacy.defenses.base.direct_steps import DirectStepsMixin
from hf_privacy.defenses.base.lean_loop import LeanLoopMixin
from hf_privacy.defenses.base.publishing import PublishingMixin
from hf_privacy.defenses.base.robust_evaluation import RobustEvaluationMixin
from hf_privacy.defenses.base.saving import SavingMixin
from hf_privacy.defenses.base.second_phase import SecondPhaseMixin
from hf_privacy.defenses.base.token_evaluation import TokenEvaluationMixin
from hf_privacy.defenses.base.weight_motion import WeightMotionCallback
from hf_privacy.errors import InputError
from hf_privacy.models import ScoredTokens, align_padding, without_autocast
from hf_privacy.signals import check_fit
from hf_privacy.tasks import TASKS, task_of


class _EpochCallback(TrainerCallback):
    """Tells the batch sampler the epoch, on a resumed run too, where the loader may be wrapped."""

    def __init__(self) -> None:
        self.batch_sampler: MembershipBatchSampler | None = None

    def on_epoch_begin(self, args, state, control, **kwargs) -> None:
        if self.batch_sampler is not None:
            self.batch_sampler.set_epoch(int(state.epoch or 0))


class PrivacyTrainer(
    SecondPhaseMixin,
    TokenEvaluationMixin,
    RobustEvaluationMixin,
    SavingMixin,
    PublishingMixin,
    LeanLoopMixin,
    DirectStepsMixin,
    Trainer,
):
    """A `Trainer` whose model can be audited: the baseline without a defence, and the base of every defence.

    What it does beyond `transformers.Trainer`:

    - the loss is computed here, by the model's task, as the mean over all examples of an optimizer step, or over all
      their tokens (`loss_average`): the same gradient for 8 × 1 and 2 × 4 (batch × accumulation), for one process and
      many, for every architecture (the stock Trainer's gradient is 4 times too large at 4 accumulation steps for BERT
      and others, transformers#47688);
    - evaluation always uses the task's plain loss, whatever is trained on, and attacks too where
      ``args.eval_attack`` asks for it (`RobustEvaluationMixin`);
    - each example is drawn exactly once an epoch, on any number of processes (`MembershipBatchSampler`);
    - training that moves no weight stops (`WeightMotionCallback`);
    - nothing that is saved holds a token or a pickle of the arguments;
    - a push is one private commit of weights, card and report, and passes the gate first.

    A loss defence overrides `training_loss` and nothing else; a weight defence is a callback, which may ask for a
    second phase of training (`SecondPhase`).

    Parameters
    ----------
    model, model_init : as in `transformers.Trainer`
        Pass ``model_init`` (a function without arguments) when reference models are to be trained: each starts from
        it, under a seed of its own.
    args : PrivacyConfig
    **kwargs
        The rest of `transformers.Trainer`, except ``compute_loss_func``: the loss belongs to the defence.

    Raises
    ------
    InputError
        If ``args`` is no `PrivacyConfig`, a ``compute_loss_func`` is passed, several GPUs are driven by one process
        (`DataParallel`), or the model cannot take a `TensorDataset` that it is to be trained on.

    Examples
    --------
    >>> import tempfile
    >>> from hf_privacy.data import TensorDataset
    >>> from hf_privacy.defenses import PrivacyConfig, PrivacyTrainer
    >>> from hf_privacy.models import TabularMLPConfig, TabularMLPForClassification
    >>> data = TensorDataset({"features": torch.randn(8, 4), "labels": torch.tensor([0, 1] * 4)})
    >>> config = TabularMLPConfig(input_size=4, hidden_sizes=[8], num_labels=2)
    >>> trainer = PrivacyTrainer(
    ...     args=PrivacyConfig(tempfile.mkdtemp(), num_train_epochs=2, save_strategy="no", disable_tqdm=True),
    ...     model_init=lambda: TabularMLPForClassification(config),
    ...     train_dataset=data,
    ... )
    >>> trainer.train().global_step  # doctest: +ELLIPSIS
    {...
    2
    """

    # What `args` must be an instance of: a defence's config holds its own arguments.
    config_class: ClassVar[type[PrivacyConfig]] = PrivacyConfig
    defense_name: ClassVar[str] = "none"
    # Title, identifier and citation of the paper a defence comes from; None for the baseline.
    paper: ClassVar[dict[str, str] | None] = None
    # What the paper itself gives, and the ranges a search should cover, by field of the defence's config.
    paper_defaults: ClassVar[dict[str, Any]] = {}
    search_space: ClassVar[dict[str, list[Any]]] = {}
    # The tasks it is written for, by their names in recipes.
    tasks: ClassVar[tuple[str, ...]] = tuple(TASKS)
    # Whether training looks at a ``validation_dataset``: rows that are no member, no non-member, no reference's.
    needs_validation: ClassVar[bool] = False
    # Whether it trains on paraphrases of its rows too, which a recipe names by ``data.paraphrase_column``.
    needs_paraphrases: ClassVar[bool] = False
    # Whether an example's loss depends on others of its batch: then no example's influence can be bounded.
    couples_rows: ClassVar[bool] = False
    # Whether it is differentially private, so that `privacy_spent` gives an ε.
    is_private: ClassVar[bool] = False
    # Whether it trains weights of which each process holds a part (FSDP, DeepSpeed).
    takes_sharded_weights: ClassVar[bool] = True
    # Whether its step is the same where ``torch_compile`` is set, and nearly so under bf16 or fp16 autocast; else both
    # are refused.
    compiles: ClassVar[bool] = True
    mixes_precision: ClassVar[bool] = True
    # Whether predictions are defended too: a comparison then audits the plain outputs and those of
    # ``defended_outputs(model, members, *, seed)``, a method that gives a model as its users see it.
    has_output_defense: ClassVar[bool] = False

    # `compute_loss` returns a value that the Trainer still divides by the number of accumulation steps.
    loss_is_scaled_for_ga = False

    args: PrivacyConfig
    _has_warned = False

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """Give a defence from outside that does not say its name that of its class: it is no longer its base."""
        super().__init_subclass__(**kwargs)
        if "defense_name" not in vars(cls) and not cls.__module__.startswith("hf_privacy."):
            cls.defense_name = cls.__name__

    def __init__(
        self,
        model: torch.nn.Module | None = None,
        args: PrivacyConfig | None = None,
        data_collator: Callable | None = None,
        train_dataset: Any = None,
        *,
        model_init: Callable[[], torch.nn.Module] | None = None,
        callbacks: list[TrainerCallback] | None = None,
        **kwargs: Any,
    ) -> None:
        if not isinstance(args, self.config_class):
            raise InputError(f"args is {type(args).__name__}: pass a {self.config_class.__name__}")
        self._check_modes(args)
        if kwargs.get("compute_loss_func") is not None:
            raise InputError("compute_loss_func is set: override training_loss, so that evaluation stays undefended")
        if args.n_gpu > 1:
            raise InputError(
                f"{args.n_gpu} GPUs are visible to one process: start one process a GPU with accelerate launch, or "
                "show one GPU with CUDA_VISIBLE_DEVICES"
            )
        if (model is None) == (model_init is None):
            raise InputError("pass exactly one of model and model_init (model_init where references are trained)")
        refuse_without_rows(train_dataset, argument="train_dataset")
        if data_collator is None and any(
            isinstance(dataset, TensorDataset) for dataset in (train_dataset, kwargs.get("eval_dataset"))
        ):
            data_collator = collate_batch
        self.processing_class = kwargs.get("processing_class")  # `call_model_init` comes before the stock Trainer's
        # Reference models get callbacks of their own, as they were before this trainer touched them.
        self.initial_callbacks = copy.deepcopy(callbacks or [])
        self._epoch_callback = _EpochCallback()
        self._weight_motion = WeightMotionCallback()
        super().__init__(
            model,
            args,
            data_collator,
            train_dataset,
            model_init=model_init,
            callbacks=[self._epoch_callback, self._weight_motion, *(callbacks or [])],
            **kwargs,
        )
        if (self.is_fsdp_enabled or self.is_deepspeed_enabled) and not self.takes_sharded_weights:
            raise InputError(
                f"the weights are sharded (FSDP or DeepSpeed) and {type(self).__name__} works on whole ones: train it "
                "under DDP, such as with recipes/accelerate_configs/multi_gpu.yaml"
            )
        self.task = task_of(self.model)
        if self.task.name not in self.tasks:
            raise InputError(
                f"{type(self).__name__} is for {', '.join(self.tasks)} and the model for {self.task.name}: pass a "
                "model of such a task"
            )
        for callback in callbacks or []:
            if self.task.name not in getattr(callback, "tasks", self.tasks):
                raise InputError(
                    f"{type(callback).__name__} is for {', '.join(callback.tasks)} and the model for "
                    f"{self.task.name}: leave it out"
                )
        self._check_loss_average()
        # Kept False so that no version of the Trainer hands the scaling to the model.
        self.model_accepts_loss_kwargs = False
        align_padding(self.model, self.processing_class)
        if isinstance(train_dataset, TensorDataset) and not (self.is_fsdp_enabled or self.is_deepspeed_enabled):
            check_fit(self.model, train_dataset)
        self.prepare_eval_attacks()
        self._check_metric()

    def _check_modes(self, args: PrivacyConfig) -> None:
        """Refuse what the defence does not declare."""
        if args.torch_compile and not self.compiles:
            raise InputError(
                f"torch_compile is set and {type(self).__name__} does not run the compiled model, so that nothing "
                "would be gained: leave it out"
            )
        if (args.bf16 or args.fp16) and not self.mixes_precision:
            name = "bf16" if args.bf16 else "fp16"
            raise InputError(f"{name} is set and {type(self).__name__} computes in float32 alone: leave it out")

    def _check_loss_average(self) -> None:
        """Refuse what the task or the defence has no mean over."""
        if self.args.loss_average != "token":
            return
        if self.task.has_classes:
            raise InputError("loss_average is 'token': an example of a classifier has one label; leave it out")
        if type(self).training_loss is not PrivacyTrainer.training_loss or self.is_private:
            raise InputError(
                f"loss_average is 'token': {type(self).__name__} is defined on each example's loss; pass 'example'"
            )

    def _check_metric(self) -> None:
        """Refuse now what the stock Trainer finds after an epoch: a metric to choose by that nobody computes."""
        args, wanted = self.args, self.args.metric_for_best_model
        by_metric = args.save_strategy == "best" or args.lr_scheduler_type == "reduce_lr_on_plateau"
        chooses = args.load_best_model_at_end or by_metric
        if not chooses or wanted is None or self.compute_metrics is not None or isinstance(self.eval_dataset, dict):
            return
        computed = ["loss", *self.eval_attacks]
        if wanted.removeprefix("eval_") not in computed:
            raise InputError(
                f"metric_for_best_model is {wanted!r} and nothing computes it: pass compute_metrics, or one of "
                f"{', '.join(f'eval_{name}' for name in computed)}"
            )

    def call_model_init(self, trial: Any = None) -> torch.nn.Module:
        """As in the stock Trainer, with the processor's pad token named by the model from the start."""
        model = super().call_model_init(trial)
        align_padding(model, self.processing_class)
        return model

    def train(self, *args: Any, **kwargs: Any) -> TrainOutput:
        """As in the stock Trainer; of training data that are not tensors yet, a few rows are tried first.

        Raises
        ------
        InputError
            As `hf_privacy.signals.check_fit`.
        """
        dataset = self.train_dataset
        sharded = self.is_fsdp_enabled or self.is_deepspeed_enabled
        # What is drawn by whole batches alone, as an unlearner's pairs are, is checked by whoever built it.
        has_rows = getattr(type(dataset), "__getitem__", None) not in (None, torch.utils.data.Dataset.__getitem__)
        if has_rows and not isinstance(dataset, TensorDataset) and not sharded:
            few = PrivacyTrainer.get_train_dataloader(self)
            rows = [few.dataset[row] for row in range(min(32, len(dataset)))]
            check_fit(self.model, TensorDataset(few.collate_fn(rows)))
        self._has_warned = False
        return super().train(*args, **kwargs)

    # ---- the loss ----

    def training_loss(self, model: torch.nn.Module, inputs: dict[str, torch.Tensor]) -> tuple[torch.Tensor, Any]:
        """The loss to minimise on one batch: the one method a loss defence overrides.

        Parameters
        ----------
        model : torch.nn.Module
            In training mode, possibly wrapped for distributed training.
        inputs : dict of tensor
            A batch on the device, with "labels" of shape [B], or [B, L] for rows of tokens.

        Returns
        -------
        loss : tensor, scalar
            Mean over the batch's examples, or over their tokens, see `loss_average`.
        outputs : ModelOutput or ScoredTokens
            With "logits" of shape [B, C]; of a causal language model, what the task's ``forward`` gives.
        """
        outputs = self.forward_without_labels(model, inputs)
        smoothing = self.args.label_smoothing_factor
        return self.task.mean_loss(outputs, inputs, average=self.loss_average, label_smoothing=smoothing), outputs

    @property
    def step_is_its_loss(self) -> bool:
        """Whether a step is the gradient of `training_loss` and nothing else: no noise, no weights moved for it."""
        return type(self).training_step is PrivacyTrainer.training_step

    def forward_without_labels(self, model: torch.nn.Module, inputs: dict[str, torch.Tensor]) -> Any:
        """Run the model without the labels, so that it computes no loss of its own."""
        return self.task.forward(model, inputs)

    def loss_phase(self) -> Hashable | None:
        """What the computation of `training_loss` depends on beside weights and batch, such as the epoch's parity.

        Two steps of one phase differ in numbers alone: a GPU may be told of one and repeat it. None, as for a
        `training_loss` that does not say: steps are taken one by one.
        """
        return 0 if type(self).training_loss is PrivacyTrainer.training_loss else None

    @property
    def loss_average(self) -> str:
        """What the loss of an optimizer step is the mean over: "example", or "token" of all its examples alike.

        A defence is defined on examples. The undefended baseline of a language model weighs tokens, as `Trainer` does,
        unless its arguments say otherwise.
        """
        plain = type(self).training_loss is PrivacyTrainer.training_loss and not self.is_private
        return self.args.loss_average or ("example" if self.task.has_classes or not plain else "token")

    def compute_loss(
        self,
        model: torch.nn.Module,
        inputs: dict[str, torch.Tensor],
        return_outputs: bool = False,
        num_items_in_batch: torch.Tensor | int | None = None,
    ) -> Any:
        """The defended loss while training, the task's plain one otherwise.

        While training, the batch mean is weighted by the batch's share of the examples of the whole optimizer step
        (``num_items_in_batch``, over accumulation steps and processes), so that unequal batches count by their size.
        """
        if model.training:
            loss, outputs = self.training_loss(model, inputs)
            if num_items_in_batch is not None:
                share = self.task.count(inputs, average=self.loss_average) / num_items_in_batch
                # Undoes the two averages that follow: over accumulation steps and, in DDP, over processes.
                loss = loss * (share * self.current_gradient_accumulation_steps * self.args.world_size)
        else:
            with without_autocast(model):  # as an audit of the saved model measures it
                # Who asks for predictions is given the model's output as it is.
                wanted = return_outputs and self.wants_predictions
                outputs = _model_output(model, inputs) if wanted else self.forward_without_labels(model, inputs)
            loss = self.evaluation_loss(outputs, inputs)
            if isinstance(outputs, ScoredTokens):
                outputs = {"scored_tokens": outputs}  # the stock loop takes a mapping or a tuple
        return (loss, outputs) if return_outputs else loss

    def get_batch_samples(
        self, epoch_iterator: Any, num_batches: int, device: torch.device
    ) -> tuple[list, int | torch.Tensor]:
        """The batches of a step on this process, and how many the step's loss is the mean of, over all processes."""
        if self.state.global_step >= self.state.max_steps:
            return [], 0  # a finished run that is resumed within an epoch: the stock loop would take one step more
        with self._own_random_state():
            batches, _ = super().get_batch_samples(epoch_iterator, num_batches, device)
        batches = [self.located(batch) for batch in batches]
        count = sum(self.task.count(batch, average=self.loss_average) for batch in batches)
        if self.args.world_size > 1:
            # On the device, where it is divided by: the host need not know.
            count = self.accelerator.gather(torch.full((1,), count, device=device)).sum()
        return batches, count

    @contextmanager
    def _own_random_state(self) -> Iterator[None]:
        """Inside, random augmentation draws from a generator state of the step's and the process's own.

        A resumed run draws what it would have drawn (the Trainer restores the global state only after the batches are
        fetched), and processes differ. Where nothing draws, nothing is done.
        """
        draws_nothing = getattr(self.train_dataset, "augmentation", self) is None
        if draws_nothing and self.data_collator is collate_batch:
            yield
            return
        random_state = torch.get_rng_state()
        torch.default_generator.manual_seed(
            (self._data_seed * 1_000_003 + self.state.global_step) * 1_009 + self.args.process_index
        )
        try:
            yield
        finally:
            torch.set_rng_state(random_state)

    def located(self, batch: Any) -> Any:
        """A batch that is still on the host, with what the task asks of it there (see `hf_privacy.tasks.Task`)."""
        # What is taken apart by examples holds rows alone.
        return batch if self.is_private else self.task.located(batch)

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """As in the stock Trainer; the first loss that is not finite is warned of."""
        if not self._has_warned and not all(math.isfinite(logs.get(name, 0.0)) for name in ("loss", "train_loss")):
            self._has_warned = True
            warnings.warn(
                f"the training loss is not finite by step {self.state.global_step}: what is trained from there on "
                "is lost; lower the learning rate, or look for inputs that are not finite",
                stacklevel=2,
            )
        super().log(logs, start_time)

    # ---- what the report says ----

    def describe_defense(self) -> dict[str, Any]:
        """Name, parameters and paper of the defence, as in the report's ``defense``.

        The parameters are all fields that the config's classes declare beyond `PrivacyConfig`, and those of
        ``paper_defaults``; callbacks that are part of the defence add theirs (see `SecondPhase`).
        """
        described = {
            "name": self.defense_name,
            "parameters": own_arguments(self.args, also=self.paper_defaults),
            "paper": None if self.paper is None else {"title": self.paper["title"], "id": self.paper["id"]},
        }
        for callback in self.callback_handler.callbacks:
            if hasattr(callback, "describe_defense"):
                described = callback.describe_defense(described)
        return described

    def check_run(self) -> None:
        """Ask the callbacks now for what they would refuse when training begins (see `SecondPhase`)."""
        for callback in self.callback_handler.callbacks:
            if hasattr(callback, "check_run"):
                callback.check_run(self.args, self.model, self.train_dataset)

    # ---- the guarantee ----

    def privacy_spent(self) -> dict[str, Any] | None:
        """The differential privacy that this training guarantees; None without a guarantee, as here.

        Returns
        -------
        dict or None
            ``epsilon``, ``delta``, ``accountant`` and ``sampler`` (names), as in the report's ``epsilon.upper``. A
            defence that overrides this answers from its arguments and the size of the training set, so that it can
            be asked before training as well; its figure is that of the whole run.
        """
        return None

    def privacy_spent_by(self, folder: str | Path) -> dict[str, Any] | None:
        """The guarantee of the model that a trainer of this recipe saved in ``folder``, as `privacy_spent` tells it.

        A defence that keeps a ledger answers from the one saved with the model, which may have taken more steps than
        were planned.
        """
        return self.privacy_spent()

    # ---- batches and optimizer ----

    def get_train_dataloader(self) -> DataLoader:
        """Batches from `MembershipBatchSampler`, fetched whole; already this process's share, so not sharded again."""
        if self.train_dataset is None:
            raise InputError("train_dataset is missing: pass it to the trainer before train()")
        refuse_without_rows(self.train_dataset, argument="train_dataset")
        dataset, collate = self.train_dataset, self.data_collator
        if isinstance(dataset, datasets.Dataset):
            dataset = self._remove_unused_columns(dataset, description="training")
        elif not isinstance(dataset, TensorDataset):
            collate = self._get_collator_with_removed_columns(collate, description="training")
        batch_sampler = MembershipBatchSampler(
            len(dataset),
            batch_size=self._train_batch_size,
            rank=self.args.process_index,
            world_size=self.args.world_size,
            seed=self._data_seed,
            drop_last=self.args.dataloader_drop_last,
        )
        self._epoch_callback.batch_sampler = batch_sampler
        device, pins = self.args.device, self.args.dataloader_pin_memory and self.args.device.type == "cuda"
        if (
            collate is collate_batch
            and self.task.has_classes
            and not self.args.dataloader_num_workers
            and can_be_made_on(device, dataset)
        ):
            return DeviceLoader(dataset, device, batch_sampler=batch_sampler, collate_fn=collate, pin_memory=pins)
        return DataLoader(
            dataset,
            batch_sampler=batch_sampler,
            collate_fn=collate,
            num_workers=self.args.dataloader_num_workers,
            pin_memory=pins,
            persistent_workers=self.args.dataloader_persistent_workers,
        )

    @property
    def _data_seed(self) -> int:
        return self.args.data_seed if self.args.data_seed is not None else self.args.seed

    def _get_collator_with_removed_columns(self, data_collator: Callable, description: str | None = None) -> Callable:
        # A batch fetched whole is already a dict of tensors, not the list of examples the stock collator expects.
        if data_collator is collate_batch:
            return data_collator
        return super()._get_collator_with_removed_columns(data_collator, description)

    @staticmethod
    def get_optimizer_cls_and_kwargs(args: PrivacyConfig, model: Any = None) -> tuple[Any, dict[str, Any]]:
        """As in the stock Trainer, with `PrivacyConfig.momentum` for plain SGD."""
        optimizer_class, kwargs = Trainer.get_optimizer_cls_and_kwargs(args, model)
        if args.optim == OptimizerNames.SGD:
            # Fused as the stock Trainer's AdamW is: one pass over the weights in place of three.
            kwargs.update(momentum=args.momentum, fused=True)
        return optimizer_class, kwargs


def _model_output(model: torch.nn.Module, inputs: dict[str, torch.Tensor]) -> Any:
    return model(**{name: value for name, value in inputs.items() if name != "labels"})
