"""What unlearners of language models share: their losses are of scored tokens, beside the model as it was."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import torch
from peft import set_peft_model_state_dict
from safetensors.torch import load_file
from transformers.trainer_utils import TrainOutput

from hf_privacy.arguments import check_choice, check_number, check_switch
from hf_privacy.errors import InputError
from hf_privacy.models import bare_model
from hf_privacy.models.second_adapter import SECOND, add_second_adapter, first_adapter_alone, join_adapters
from hf_privacy.tasks import LANGUAGE_MODELS
from hf_privacy.unlearning.base.config import UnlearningConfig
from hf_privacy.unlearning.base.trainer import Batch, UnlearningTrainer

RETAIN_LOSSES = ("nll", "kl")


@dataclass
class LanguageUnlearningConfig(UnlearningConfig):
    """`UnlearningConfig` with what keeps a language model as it is on the rest of its training set.

    Parameters
    ----------
    retain_weight : float ≥ 0, default 1
        Weight of the retain rows' loss beside the forget rows'; 0 leaves it out.
    retain_loss : {"nll", "kl"}, default "nll"
        The negative log-likelihood of the retain rows, or the divergence KL(original ‖ model) of what both say at
        their scored tokens; each row's mean over its own.
    second_adapter : bool, default False
        Of a model with a LoRA adapter: keep it frozen and train another on top of it. What is left is one adapter,
        exactly both, of both their ranks together. By default the adapter itself is trained, beside a frozen copy.

    Raises
    ------
    InputError
        For values outside their range.

    Examples
    --------
    >>> LanguageUnlearningConfig("runs/doc", retain_loss="l2")
    Traceback (most recent call last):
    ...
    hf_privacy.errors.InputError: retain_loss is 'l2': pass 'nll' or 'kl'
    """

    retain_weight: float = field(default=1.0, metadata={"help": "Weight of the retain rows' loss; 0 leaves it out."})
    retain_loss: str = field(
        default="nll",
        metadata={"help": "'nll', or 'kl' to the model before unlearning.", "choices": RETAIN_LOSSES},
    )
    second_adapter: bool = field(default=False, metadata={"help": "Train another adapter on top of the model's own."})

    def __post_init__(self) -> None:
        check_number("retain_weight", self.retain_weight, 0.0)
        check_choice("retain_loss", self.retain_loss, RETAIN_LOSSES)
        check_switch("second_adapter", self.second_adapter)
        super().__post_init__()
        if self.second_adapter and self.load_best_model_at_end:
            raise InputError(
                "load_best_model_at_end is set with second_adapter: keep the model at its end, leave it out"
            )

    @property
    def grows_adapter(self) -> bool:
        """See `UnlearningConfig`."""
        return self.second_adapter


class LanguageUnlearningTrainer(UnlearningTrainer):
    """`UnlearningTrainer` for causal language models: the losses of rows are made of their scored tokens alone.

    A method overrides `forget_loss`, and says in `needs_reference` whether it reads `reference`: the model before
    unlearning. Under an adapter that is base and adapter; the base alone has never seen what is to be forgotten.

    Attributes
    ----------
    reference : torch.nn.Module or None
        See `UnlearningTrainer.original_model`; there from `prepare` on, where it is needed.
    """

    tasks: ClassVar[tuple[str, ...]] = LANGUAGE_MODELS
    needs_reference: ClassVar[bool] = False

    args: LanguageUnlearningConfig
    reference: torch.nn.Module | None = None

    def __init__(
        self,
        model: torch.nn.Module | None = None,
        args: LanguageUnlearningConfig | None = None,
        *sets: Any,
        **others: Any,
    ) -> None:
        self._before: torch.nn.Module | None = None
        super().__init__(model, args, *sets, **others)
        if self.args.second_adapter and model is not None:
            self._before = first_adapter_alone(super().original_model())

    def attach_to(self, model: torch.nn.Module, args: LanguageUnlearningConfig) -> None:
        """As of any unlearner; with ``second_adapter`` that one."""
        super().attach_to(model, args)
        if args.second_adapter:
            add_second_adapter(bare_model(model), seed=args.seed)

    def original_model(self) -> torch.nn.Module:
        """As of any unlearner; with a second adapter, the model with that off."""
        return super().original_model() if self._before is None else self._before

    def train(self, resume_from_checkpoint: str | bool | None = None, **kwargs: Any) -> TrainOutput:
        """As any unlearner; a second adapter is then joined with the first."""
        output = super().train(resume_from_checkpoint, **kwargs)
        if self._before is not None:
            join_adapters(self.accelerator.unwrap_model(self.model))
        return output

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: torch.nn.Module | None = None) -> None:
        if self._before is None:
            super()._load_from_checkpoint(resume_from_checkpoint, model)
            return
        weights = load_file(Path(resume_from_checkpoint) / SECOND / "adapter_model.safetensors")
        set_peft_model_state_dict(self.accelerator.unwrap_model(self.model), weights, adapter_name=SECOND)

    def prepare(self) -> None:
        """Keep the model as it was, where a loss compares with it."""
        if self.needs_reference or (self.args.retain_weight and self.args.retain_loss == "kl"):
            self.reference = self.original_model()

    def forget_loss(self, model: torch.nn.Module, forget: Batch) -> torch.Tensor:
        """What the method minimises on the rows to be forgotten: a scalar, mean over rows."""
        raise NotImplementedError(f"{type(self).__name__} has no loss")

    def unlearning_loss(self, model: torch.nn.Module, forget: Batch, retain: Batch) -> torch.Tensor:
        """The forget rows' loss, and the weighted one of the retain rows."""
        loss = self.forget_loss(model, forget)
        if not self.args.retain_weight:
            return loss
        kept = self.mean_loss(model, retain) if self.args.retain_loss == "nll" else self.divergence(model, retain)
        return loss + self.args.retain_weight * kept

    def token_losses(self, model: torch.nn.Module, batch: Batch) -> torch.Tensor:
        """−ln p of each scored token, flat in the order of the rows, in nats: [n]."""
        return self.task.token_losses(self.forward_without_labels(model, batch), batch)

    def sequence_log_prob(self, model: torch.nn.Module, batch: Batch) -> torch.Tensor:
        """Ln p of all scored tokens of each row, their sum in nats: [B]."""
        scored = self.forward_without_labels(model, batch)
        return -scored.row_sums(self.task.token_losses(scored, batch))

    def log_ratio(self, model: torch.nn.Module, batch: Batch) -> torch.Tensor:
        """Ln p(row) − ln p_reference(row), sums over scored tokens: [B]."""
        return self.sequence_log_prob(model, batch) - self.of_reference(self.sequence_log_prob, batch)

    def divergence(self, model: torch.nn.Module, batch: Batch) -> torch.Tensor:
        """KL(reference ‖ model) at each scored token, mean over each row's own, then over rows: a scalar."""
        scored = self.forward_without_labels(model, batch)
        before = self.of_reference(self.forward_without_labels, batch)
        return scored.row_means(scored.map(_kl, before)[0]).mean()

    def of_reference(self, function: Any, batch: Batch) -> Any:
        """A method that takes a model and a batch, of the model before unlearning; in the precision of training."""
        assert self.reference is not None
        with torch.no_grad(), self.accelerator.autocast():
            return function(self.reference, batch)


def _kl(logits: torch.Tensor, targets: torch.Tensor, before: torch.Tensor) -> tuple[torch.Tensor]:
    log_p, log_before = logits.log_softmax(dim=-1), before.log_softmax(dim=-1)
    return ((log_before.exp() * (log_before - log_p)).sum(dim=-1),)
