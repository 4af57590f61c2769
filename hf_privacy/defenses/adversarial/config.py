"""Arguments of `AdversarialTrainer`."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from hf_privacy.arguments import check_choice, check_number, check_whole
from hf_privacy.defenses.adversarial.objectives import INNER_DIVERGENCES, OBJECTIVES
from hf_privacy.defenses.base.config import PrivacyConfig
from hf_privacy.defenses.base.config_checks import refuse_label_smoothing
from hf_privacy.errors import InputError

NORMS = ("linf", "l2")


def _says(help_text: str, **more: Any) -> dict[str, Any]:
    """Of a setting of the attack, which rows of tokens are trained without."""
    return {"help": help_text, "for": "classes", **more}


@dataclass
class AdversarialConfig(PrivacyConfig):
    """`PrivacyConfig` with an objective of adversarial training and the attack it trains against.

    Parameters
    ----------
    objective : {"pgd_at", "trades", "mart"}, default "pgd_at"
    epsilon : float ≥ 0, default 8/255
        Radius of the ball the attack may move an example in: for images in pixels of 0–1, whatever the processor's
        normalisation; for tables in units of the features; for text in the norm of the word embeddings.
    norm : {"linf", "l2"}, default "linf"
    n_steps : int, default 3
        Steps of the attack on each batch; each costs about one training step.
    step_size : float above 0, optional
        By default 1.25·ε/n_steps.
    random_start : bool, default True
        Begin the attack at a random point of the ball. TRADES needs it: at x itself its divergence is flat.
    beta : float ≥ 0, default 6.0
        Weight of the divergence in TRADES and MART.
    inner_divergence : {"kl", "reverse_kl"}, default "kl"
        What TRADES' attack raises: KL(f(x) ‖ f(x′)), the divergence of its loss and of the authors' code, or the
        reverse KL(f(x′) ‖ f(x)), a control.
    awp_gamma : float ≥ 0, default 0.0
        Relative size of the adversarial weight perturbation; 0 trains without. The authors': 0.01 for PGD-AT,
        0.005 for TRADES.
    awp_warmup_epochs : int ≥ 0, default 0
        Epochs before the weights are perturbed (the authors': 0 for PGD-AT, 10 for TRADES).

    Raises
    ------
    InputError
        For a value outside its range, label smoothing, sharded weights, or buffers broadcast by DDP.

    Examples
    --------
    >>> AdversarialConfig("runs/doc", objective="fgsm")
    Traceback (most recent call last):
    ...
    hf_privacy.errors.InputError: objective is 'fgsm': pass 'pgd_at' or 'trades' or 'mart'
    """

    objective: str = field(
        default="pgd_at", metadata=_says("Adversarial training: 'pgd_at', 'trades' or 'mart'.", choices=OBJECTIVES)
    )
    epsilon: float = field(default=8 / 255, metadata=_says("Adversarial training: radius, pixels in 0-1."))
    norm: str = field(
        default="linf", metadata=_says("Adversarial training: norm of the ball, 'linf' or 'l2'.", choices=NORMS)
    )
    n_steps: int = field(default=3, metadata=_says("Adversarial training: steps of the attack."))
    step_size: float | None = field(
        default=None, metadata=_says("Adversarial training: step of the attack (1.25 * epsilon / n_steps).")
    )
    random_start: bool = field(default=True, metadata=_says("Adversarial training: start at a random point."))
    beta: float = field(default=6.0, metadata=_says("TRADES, MART: weight of the divergence."))
    inner_divergence: str = field(
        default="kl", metadata=_says("TRADES: its attack raises 'kl' or 'reverse_kl'.", choices=INNER_DIVERGENCES)
    )
    awp_gamma: float = field(default=0.0, metadata=_says("AWP: size relative to the weights; 0 is off."))
    awp_warmup_epochs: int = field(default=0, metadata=_says("AWP: epochs before it begins."))

    def __post_init__(self) -> None:
        check_choice("objective", self.objective, OBJECTIVES)
        check_number("epsilon", self.epsilon, 0.0)
        check_choice("norm", self.norm, NORMS)
        check_whole("n_steps", self.n_steps, at_least=1)
        if self.step_size is not None:
            check_number("step_size", self.step_size, 0.0, low_open=True)
        if self.objective == "trades" and not self.random_start and self.epsilon > 0:
            raise InputError(
                "random_start is False: the divergence that TRADES attacks has no gradient at the example itself, so "
                "the attack would not move; leave it True"
            )
        check_number("beta", self.beta, 0.0)
        check_choice("inner_divergence", self.inner_divergence, INNER_DIVERGENCES)
        check_number("awp_gamma", self.awp_gamma, 0.0, 1.0, high_open=True)
        check_whole("awp_warmup_epochs", self.awp_warmup_epochs, at_least=0)
        refuse_label_smoothing(self, "adversarial training")
        if self.fsdp or self.deepspeed:
            raise InputError("the weights are sharded (FSDP or DeepSpeed): train adversarially under DDP")
        if self.ddp_broadcast_buffers:
            raise InputError(
                "ddp_broadcast_buffers is set: it would write to the buffers between the two forward passes of a "
                "step; leave it unset, the trainer sends them round once a step"
            )
        self.ddp_broadcast_buffers = False
        super().__post_init__()
