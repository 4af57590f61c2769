"""What a trainer publishes: the card and the gated push."""

from __future__ import annotations

from dataclasses import fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from transformers.training_args import OptimizerNames

from hf_privacy.errors import InputError
from hf_privacy.hub import REPORT_NAME, check_login
from hf_privacy.models import guard_push

if TYPE_CHECKING:
    from hf_privacy.reports import CardData


class PublishingMixin:
    """The part of `PrivacyTrainer` that writes cards and pushes; stands before `transformers.Trainer`."""

    def init_hf_repo(self, token: str | None = None, private: bool | None = None) -> None:
        """Settle the repository's name and see that there is a token; the repository is made by the push itself."""
        if not self.is_world_process_zero():
            return
        check_login(token)
        self.hub_model_id = self.args.hub_model_id or Path(self.args.output_dir).absolute().name

    def train(self, *args: Any, **kwargs: Any) -> Any:
        """Train, unless the arguments were changed to what would push a token or weights without a report."""
        self.args.check_hub_settings()
        try:
            return super().train(*args, **kwargs)
        finally:
            # From here on the model's own push would publish what no report speaks of.
            guard_push(self.model)
            guard_push(self.processing_class)

    def card_data(self) -> CardData:
        """What the card says of the model: read off the saved configuration, with the training arguments."""
        from hf_privacy.reports import card_data_of_folder  # only here: training draws nothing

        data = card_data_of_folder(self.args.output_dir)
        data.hyperparameters = {name: value for name, value in self.hyperparameters().items() if value is not None}
        return data

    def hyperparameters(self) -> dict[str, Any]:
        """The training arguments a reader needs to train the model again: plain values, no paths, no Hub settings."""
        args = self.args
        return {
            "optimizer": getattr(args.optim, "value", args.optim),
            "learning_rate": args.learning_rate,
            "lr_scheduler_type": getattr(args.lr_scheduler_type, "value", args.lr_scheduler_type),
            "weight_decay": args.weight_decay,
            "momentum": args.momentum if args.optim == OptimizerNames.SGD else None,
            "num_train_epochs": args.num_train_epochs if args.max_steps <= 0 else None,
            "max_steps": args.max_steps if args.max_steps > 0 else None,
            "train_batch_size": args.train_batch_size * args.gradient_accumulation_steps * args.world_size,
            "loss_average": None if self.task.has_classes else self.loss_average,
            "label_smoothing_factor": args.label_smoothing_factor,
            "max_grad_norm": args.max_grad_norm,
            "mixed_precision": "bf16" if args.bf16 else "fp16" if args.fp16 else "no",
            "seed": args.seed,
        }

    def create_model_card(self, **card_fields: Any) -> None:
        """Write the card, with the report's section when the output folder holds a report.

        Parameters
        ----------
        **card_fields
            Fields of `hf_privacy.reports.CardData`: ``license``, ``language``, ``tags``, ``model_name``, …
        """
        from hf_privacy.reports import CardData, PrivacyReport, write_card

        known = [field.name for field in fields(CardData) if field.init]
        for name in card_fields:
            if name not in known:
                raise InputError(f"the model card has no field {name!r}: pass one of {', '.join(known)}")
        if not self.is_world_process_zero():
            return
        folder = Path(self.args.output_dir)
        report = PrivacyReport.load(folder) if (folder / REPORT_NAME).exists() else None
        write_card(folder, report, replace(self.card_data(), **card_fields))

    def _push_from_checkpoint(self, checkpoint_folder: str) -> None:
        """Push nothing: no report speaks of a checkpoint, and the stock Trainer would send the whole folder."""
        self.args.check_hub_settings()

    def push_to_hub(
        self,
        commit_message: str | None = "End of training",
        blocking: bool = True,
        token: str | None = None,
        revision: str | None = None,
        private: bool | None = None,
        *,
        base_model_id: str | None = None,
        dry_run: bool = False,
        **card_fields: Any,
    ) -> Any:
        """Push weights, card and report in one commit, after the gate.

        Parameters
        ----------
        commit_message, token, revision, private : as in `transformers.Trainer`
        blocking : bool
            Must be True: a push is one commit, and its refusal must be seen.
        base_model_id : str, optional
            Repository id of an adapter's base model, where it was loaded from a local folder.
        dry_run : bool
            Return the plan of the commit and send nothing.
        **card_fields
            As in `create_model_card`.

        Raises
        ------
        GateError
            If the output folder holds no report, one for other weights, or one over the budget of the config.
        """
        self.args.check_hub_settings()
        if not blocking:
            raise InputError("blocking is False: a push that the gate may refuse has to be waited for")
        self.callback_handler.on_push_begin(self.args, self.state, self.control)
        self.save_model(_internal_call=True)
        if not self.is_world_process_zero():
            return None
        repo_id = self.hub_model_id or self.args.hub_model_id or Path(self.args.output_dir).absolute().name
        if base_model_id is not None:
            card_fields["base_model"] = base_model_id
        card_fields["repo_id"] = repo_id
        self.create_model_card(**card_fields)
        options = {
            "private": private if private is not None else self.args.hub_private_repo is not False,
            "create_pr": self.args.hub_create_pr,
            "revision": revision or self.args.hub_revision,
            "commit_message": commit_message,
            "base_model_id": base_model_id,
            "card_data": replace(self.card_data(), **card_fields),
            **self.args.gate_settings(),
        }
        from hf_privacy.reports import plan_push, push_folder

        if dry_run:
            return plan_push(self.args.output_dir, repo_id, **options)
        return push_folder(self.args.output_dir, repo_id, token=token, **options)
