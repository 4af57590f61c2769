"""The model that DuoLearn holds a token's loss against: given, or trained on rows that nobody asks about."""

from __future__ import annotations

import copy
import tempfile
import time
from typing import TYPE_CHECKING, Any

import torch
from transformers import PrinterCallback, TrainerCallback

from hf_privacy.data import TensorDataset, tensors_digest
from hf_privacy.defenses.base.trainer import PrivacyTrainer
from hf_privacy.errors import InputError
from hf_privacy.models import bare_model, beside, load_saved_model
from hf_privacy.signals import check_fit
from hf_privacy.tasks import task_of

if TYPE_CHECKING:
    from hf_privacy.defenses.duolearn.config import DuoLearnConfig


class ReferenceLossCallback(TrainerCallback):
    """Holds the reference of a DuoLearn trainer, one for the target and all its reference models.

    Its seconds of training stand in the log history of the run that trained it ("reference_seconds").

    Parameters
    ----------
    validation_dataset : TensorDataset, optional
        What it is trained on, where no folder is given.
    folder : str, optional
    """

    def __init__(self, validation_dataset: TensorDataset | None, folder: str | None = None) -> None:
        self.validation_dataset = validation_dataset
        # Each is part of the recipe's hash, as every plain attribute of a callback is.
        self.validation_hash = None if validation_dataset is None or folder else validation_dataset.digest()
        self.model: Any = None
        self.model_hash = None
        self._seconds: list[float] = []  # not yet written
        if folder is not None:
            self.model = load_saved_model(folder).requires_grad_(False)
            self.model_hash = tensors_digest(self.model.state_dict())

    def __deepcopy__(self, memo: dict) -> ReferenceLossCallback:
        # One reference, however many models are trained beside the target.
        return self

    def check(self, trainer: PrivacyTrainer) -> None:
        """Refuse rows that are trained on too, and a reference of another kind.

        Raises
        ------
        InputError
        """
        data = trainer.train_dataset
        if self.model is not None:
            if task_of(self.model) is not trainer.task:
                raise InputError(
                    f"reference_model is for {task_of(self.model).name} and the model for {trainer.task.name}: pass "
                    "one of the same task"
                )
            if isinstance(data, TensorDataset):
                check_fit(self.model, data)
            return
        rows = self.validation_dataset
        shared = rows.shared_rows(data) if rows is not None and isinstance(data, TensorDataset) else 0
        if shared:
            raise InputError(
                f"validation_dataset shares {shared} rows with train_dataset: the reference is to know none of them; "
                "pass rows apart"
            )

    def train(self, trainer: PrivacyTrainer) -> None:
        """Train the reference as `trainer` would be without a defence, if there is none yet."""
        if self.model is not None:
            return
        started = time.perf_counter()
        with tempfile.TemporaryDirectory() as folder:
            args = _undisturbing(trainer.args, folder)
            model = None if trainer.model_init is not None else beside(bare_model(trainer.model))
            plain = PrivacyTrainer(
                model,
                args,
                model_init=trainer.model_init,
                data_collator=trainer.data_collator,
                train_dataset=self.validation_dataset,
                processing_class=trainer.processing_class,
                optimizer_cls_and_kwargs=trainer.optimizer_cls_and_kwargs,
            )
            plain.remove_callback(PrinterCallback)
            plain.train()
        self.model = plain.accelerator.unwrap_model(plain.model, keep_fp32_wrapper=False)
        self.model.eval().requires_grad_(False)
        self._seconds.append(time.perf_counter() - started)

    def token_losses(self, trainer: PrivacyTrainer, inputs: dict[str, torch.Tensor]) -> torch.Tensor:
        """The reference's loss of each scored token of a batch: [n], without a gradient."""
        self.model.to(inputs["labels"].device)
        with torch.no_grad():
            return trainer.task.token_losses(trainer.forward_without_labels(self.model, inputs), inputs)

    def on_train_begin(self, args, state, control, **kwargs) -> None:
        while self._seconds:
            state.log_history.append({"reference_seconds": round(self._seconds.pop(), 4), "step": state.global_step})


def _undisturbing(args: DuoLearnConfig, folder: str) -> DuoLearnConfig:
    """The same training, that logs, saves, evaluates and pushes nothing."""
    quiet = copy.deepcopy(args)
    quiet.output_dir = folder
    quiet.seed, quiet.data_seed = args.reference_seed, None
    quiet.push_to_hub = quiet.load_best_model_at_end = False
    quiet.save_strategy = quiet.eval_strategy = quiet.logging_strategy = "no"
    quiet.report_to = []
    quiet.disable_tqdm = True
    return quiet
