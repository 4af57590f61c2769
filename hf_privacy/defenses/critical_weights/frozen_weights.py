"""Frozen single weights on any trainer, through checkpoints and over processes."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from transformers import TrainerCallback
from transformers.trainer_callback import ExportableState
from transformers.trainer_utils import PREFIX_CHECKPOINT_DIR

from hf_privacy.errors import InputError
from hf_privacy.weights import FrozenWeights, load_mask, mask_digest, save_mask

# In a folder of its own: beside the weights, a safetensors file that is none of them would stop a push.
MASK_FILE = Path("frozen_weights") / "mask.safetensors"


class FrozenWeightsError(RuntimeError):
    """A weight that was to stay bit for bit as it was has moved."""


class FrozenWeightsCallback(TrainerCallback, ExportableState):
    """Trains all weights but the masked ones, which keep their bits under every optimizer.

    After clipping, the gradients of frozen weights are set to zero; after the step the weights are put back and the
    optimizer's momentum and moments for them cleared, so that neither weight decay nor noise, be it added to the
    gradients or by the optimizer, nor what was accumulated earlier moves them. Works with every trainer here,
    under mixed precision, gradient accumulation and DDP. ``max_grad_norm`` clips before, and so still counts the
    gradients of frozen weights; 0 turns it off.

    The frozen values are those at the start of training. The mask is written to the run's folder when training
    begins and to each checkpoint, and its digest stands in the checkpoint's trainer state: a resumed run must have
    the same mask, from the constructor or from these files, and find the frozen weights at the same values.

    Parameters
    ----------
    mask : mapping of str to bool tensor, optional
        By parameter name, True where frozen, as `hf_privacy.weights.select` returns it. May be left out when a
        checkpoint is resumed from its run's folder.

    Raises
    ------
    InputError
        When training begins: without a mask; with one that does not suit the model or differs between processes;
        with sharded weights (FSDP, DeepSpeed); with two of these callbacks; on resuming a checkpoint that was saved
        without frozen weights, or with another mask or other frozen values.
    FrozenWeightsError
        When training ends and a frozen weight has moved all the same: another callback has written to it.

    Examples
    --------
    >>> import tempfile
    >>> from hf_privacy.data import TensorDataset
    >>> from hf_privacy.defenses import PrivacyConfig, PrivacyTrainer
    >>> from hf_privacy.models import TabularMLPConfig, TabularMLPForClassification
    >>> model = TabularMLPForClassification(TabularMLPConfig(input_size=4, hidden_sizes=[8], num_labels=2))
    >>> mask = {"classifier.weight": torch.arange(16).view(2, 8) < 4}
    >>> before = model.classifier.weight.detach().clone()
    >>> trainer = PrivacyTrainer(
    ...     model,
    ...     PrivacyConfig(tempfile.mkdtemp(), max_steps=2, save_strategy="no", disable_tqdm=True, report_to="none"),
    ...     train_dataset=TensorDataset({"features": torch.randn(8, 4), "labels": torch.tensor([0, 1] * 4)}),
    ...     callbacks=[FrozenWeightsCallback(mask)],
    ... )
    >>> _ = trainer.train()  # doctest: +ELLIPSIS
    {...
    >>> torch.equal(model.classifier.weight.cpu()[mask["classifier.weight"]], before[mask["classifier.weight"]])
    True
    """

    def __init__(self, mask: Mapping[str, torch.Tensor] | None = None) -> None:
        self.mask = None if mask is None else dict(mask)
        self.mask_sha256: str | None = None
        self.values_sha256: str | None = None
        self._frozen: FrozenWeights | None = None

    def state(self) -> dict[str, Any]:
        """What each checkpoint's trainer state says of the frozen weights."""
        return {
            "args": {},
            "attributes": {"mask_sha256": self.mask_sha256, "values_sha256": self.values_sha256},
        }

    def on_train_begin(self, args, state, control, *, model, optimizer, **kwargs) -> None:
        if args.fsdp or args.deepspeed:
            raise InputError("the weights are sharded (FSDP or DeepSpeed): train with frozen weights under DDP")
        saved = state.stateful_callbacks.get(type(self).__name__)
        if isinstance(saved, list):
            raise InputError(f"{len(saved)} {type(self).__name__} were passed: merge their masks into one with |")
        before = saved["attributes"] if state.global_step > 0 and saved is not None else {}
        if state.global_step > 0 and before.get("mask_sha256") is None:
            raise InputError(
                f"the checkpoint at step {state.global_step} was saved without frozen weights: resume it without "
                "them, or start anew"
            )
        self._frozen = FrozenWeights(model, self._find_mask(Path(args.output_dir), state.global_step, before))
        self.mask_sha256, self.values_sha256 = self._frozen.mask_sha256, self._frozen.values_sha256
        if before and before["mask_sha256"] != self.mask_sha256:
            raise InputError(
                f"the mask differs from that of the checkpoint at step {state.global_step}: pass the same one, or none"
            )
        if before and before["values_sha256"] != self.values_sha256:
            raise InputError(
                f"the frozen weights of the checkpoint at step {state.global_step} are not those its run began with: "
                "resume from another one"
            )
        self._compare_processes()
        self._frozen.clear_state(optimizer)
        if state.is_world_process_zero:
            save_mask(self._frozen.mask, Path(args.output_dir) / MASK_FILE)

    def on_pre_optimizer_step(self, args, state, control, **kwargs) -> None:
        self._frozen.zero_gradients()

    def on_optimizer_step(self, args, state, control, *, optimizer, **kwargs) -> None:
        self._frozen.restore()
        self._frozen.clear_state(optimizer)

    def on_save(self, args, state, control, **kwargs) -> None:
        checkpoint = _checkpoint(Path(args.output_dir), state.global_step)
        if state.is_world_process_zero and checkpoint.is_dir():
            save_mask(self._frozen.mask, checkpoint / MASK_FILE)

    def on_train_end(self, args, state, control, **kwargs) -> None:
        moved = self._frozen.moved()
        if moved:
            raise FrozenWeightsError(
                f"frozen weights of {', '.join(moved[:3])} have moved: another callback writes to them"
            )

    def _find_mask(self, folder: Path, step: int, before: dict[str, Any]) -> dict[str, torch.Tensor]:
        if self.mask is not None:
            return self.mask
        if not before:
            raise InputError("mask is missing: pass the weights to freeze, as hf_privacy.weights.select returns them")
        path = _checkpoint(folder, step) / MASK_FILE
        if path.is_file():
            mask = load_mask(path)
            if mask_digest(mask) == before["mask_sha256"]:
                return mask
        raise InputError(
            f"{folder} holds no mask of the checkpoint at step {step}: pass mask=load_mask(file) with the file "
            f"{MASK_FILE} of its run"
        )

    def _compare_processes(self) -> None:
        if not (torch.distributed.is_available() and torch.distributed.is_initialized()):
            return
        digests: list[Any] = [None] * torch.distributed.get_world_size()
        torch.distributed.all_gather_object(digests, (self.mask_sha256, self.values_sha256))
        if len(set(digests)) > 1:
            raise InputError(
                "the mask or the frozen weights differ between processes: select from the same scores on all"
            )


def _checkpoint(folder: Path, step: int) -> Path:
    return folder / f"{PREFIX_CHECKPOINT_DIR}-{step}"
