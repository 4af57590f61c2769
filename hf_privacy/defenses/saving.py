"""What a trainer writes to disk and reads back: no pickle, no token, no foreign card, and all of the weights."""

from __future__ import annotations

from pathlib import Path

import torch
from transformers import PreTrainedModel
from transformers.trainer import TRAINING_ARGS_NAME

from hf_privacy.errors import InputError


class SavingMixin:
    """The part of `PrivacyTrainer` that saves and reloads; stands before `transformers.Trainer`."""

    def save_model(self, output_dir: str | None = None, _internal_call: bool = False) -> None:
        """Save the model, and never push it: the audit, and with it the report, comes after saving."""
        super().save_model(output_dir, _internal_call=True)

    def _save(self, output_dir: str | None = None, state_dict: dict | None = None) -> None:
        folder = Path(output_dir or self.args.output_dir)
        card = folder / "README.md"
        earlier_card = card.read_bytes() if card.exists() else None
        super()._save(output_dir, state_dict)
        if not self.args.should_save:
            return
        # The pickled arguments hold tokens and machine paths, and nothing reads them back.
        (folder / TRAINING_ARGS_NAME).unlink(missing_ok=True)
        # peft writes a card of its own, an empty form with the base model's path.
        if earlier_card is not None:
            card.write_bytes(earlier_card)
        else:
            card.unlink(missing_ok=True)

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: torch.nn.Module | None = None) -> None:
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
