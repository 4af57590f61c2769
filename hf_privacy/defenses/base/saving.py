"""What a trainer writes to disk and reads back: no pickle, no token, no foreign card, and all of the weights."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import torch
from transformers import PreTrainedModel
from transformers.trainer import TRAINING_ARGS_NAME
from transformers.trainer_utils import PREFIX_CHECKPOINT_DIR, TrainOutput

from hf_privacy.atomic_file import write_atomically
from hf_privacy.defenses.base.checkpoints import (
    MANIFEST,
    damage_of,
    last_whole_checkpoint,
    remove_old_checkpoints,
    seal_checkpoint,
)
from hf_privacy.errors import InputError

_CARD = "README.md"


class SavingMixin:
    """The part of `PrivacyTrainer` that saves and reloads; stands before `transformers.Trainer`."""

    _callbacks_follow = False
    _unsealed: Path | None = None

    def save_model(self, output_dir: str | None = None, _internal_call: bool = False) -> None:
        """Save the model, and never push it: the audit, and with it the report, comes after saving.

        Files that were not written to their end, as on a full disk, are taken away again.
        """
        folder = Path(output_dir or self.args.output_dir)
        before = _times(folder)
        try:
            super().save_model(output_dir, _internal_call=True)
        except Exception:
            if self.args.should_save:
                for path, time in _times(folder).items():
                    if before.get(path) != time and path.name != _CARD:
                        path.unlink(missing_ok=True)
            raise

    def _save(self, output_dir: str | None = None, state_dict: dict | None = None) -> None:
        folder = Path(output_dir or self.args.output_dir)
        card = folder / _CARD
        earlier_card = card.read_bytes() if card.exists() else None
        try:
            super()._save(output_dir, state_dict)
        finally:
            if self.args.should_save:
                # The pickled arguments hold tokens and machine paths, and nothing reads them back.
                (folder / TRAINING_ARGS_NAME).unlink(missing_ok=True)
                # peft writes a card of its own, an empty form with the base model's path.
                if earlier_card is None:
                    card.unlink(missing_ok=True)
                elif not card.exists() or card.read_bytes() != earlier_card:
                    write_atomically(card, earlier_card)

    def train(self, resume_from_checkpoint: str | bool | None = None, *args: Any, **kwargs: Any) -> TrainOutput:
        """As in the stock Trainer; True goes on from the last checkpoint that is whole, which need not be the last.

        Raises
        ------
        InputError
            When a checkpoint is to be resumed that was not saved to its end, or was changed since; and what the
            defence refuses.
        """
        if resume_from_checkpoint is True:
            resume_from_checkpoint = last_whole_checkpoint(self.args.output_dir)
            if resume_from_checkpoint is None:
                raise InputError(
                    f"resume_from_checkpoint is True and {Path(self.args.output_dir).name} has no whole checkpoint: "
                    "leave it out to start anew"
                )
        return super().train(resume_from_checkpoint, *args, **kwargs)

    def _maybe_log_save_evaluate(self, *args: Any, **kwargs: Any) -> None:
        # Callbacks add their files after the Trainer has written its own: only then is a checkpoint whole.
        self._callbacks_follow, self._unsealed = True, None
        try:
            super()._maybe_log_save_evaluate(*args, **kwargs)
            if self._unsealed is not None:
                self._seal(self._unsealed)
        except Exception:
            if self._unsealed is not None and self.args.should_save and not (self._unsealed / MANIFEST).is_file():
                shutil.rmtree(self._unsealed, ignore_errors=True)
            raise
        finally:
            self._callbacks_follow = False

    def _save_checkpoint(self, model: torch.nn.Module, trial: Any) -> None:
        checkpoint = Path(self._get_output_dir(trial=trial)) / f"{PREFIX_CHECKPOINT_DIR}-{self.state.global_step}"
        # Nothing older goes before the manifest is there, or a kill in between would leave no whole checkpoint.
        limit, self.args.save_total_limit = self.args.save_total_limit, None
        try:
            if self.args.should_save:
                (checkpoint / MANIFEST).unlink(missing_ok=True)
            super()._save_checkpoint(model, trial)
        except Exception:
            if self.args.should_save:
                shutil.rmtree(checkpoint, ignore_errors=True)  # a full disk is no place for half a checkpoint
            raise
        finally:
            self.args.save_total_limit = limit
        self._unsealed = checkpoint
        if not self._callbacks_follow:
            self._seal(checkpoint)

    def _seal(self, checkpoint: Path) -> None:
        self.accelerator.wait_for_everyone()  # each process writes files of its own
        if self.args.should_save:
            seal_checkpoint(checkpoint)
            best = self.state.best_model_checkpoint
            remove_old_checkpoints(checkpoint.parent, limit=self.args.save_total_limit, latest=checkpoint, best=best)

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: torch.nn.Module | None = None) -> None:
        damage = damage_of(resume_from_checkpoint)
        if damage is not None:
            raise InputError(
                f"the checkpoint {Path(resume_from_checkpoint).name} {damage}: resume from an earlier one (True takes "
                "the last whole one), or start anew"
            )
        if isinstance(self.model, PreTrainedModel) and not self.is_fsdp_enabled:
            self._load_weights(resume_from_checkpoint)
        else:
            super()._load_from_checkpoint(resume_from_checkpoint, model)

    def _load_best_model(self) -> None:
        if isinstance(self.model, PreTrainedModel) and not (self.is_fsdp_enabled or self.is_deepspeed_enabled):
            self._load_weights(self.state.best_model_checkpoint)
        else:
            super()._load_best_model()

    def _load_weights(self, checkpoint: str) -> None:
        """Read weights as `from_pretrained` does, which knows that ViT and others are saved under older names.

        The stock Trainer compares names as they stand and leaves what it does not find at its random start.
        """
        saved, loading = type(self.model).from_pretrained(
            checkpoint,
            config=self.model.config,
            dtype=self.model.dtype,
            trust_remote_code=False,
            use_safetensors=True,
            output_loading_info=True,
        )
        if loading["missing_keys"]:
            missing = ", ".join(sorted(loading["missing_keys"])[:3])
            raise InputError(f"the checkpoint {checkpoint} lacks the weights {missing}: resume from another one")
        self.model.load_state_dict(saved.state_dict())


def _times(folder: Path) -> dict[Path, int]:
    """When each file at the top level of a folder was written."""
    return {path: path.stat().st_mtime_ns for path in folder.glob("*") if path.is_file()}
