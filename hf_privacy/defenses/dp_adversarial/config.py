"""Arguments of `DPAdversarialTrainer`."""

from __future__ import annotations

from dataclasses import dataclass

from hf_privacy.defenses.adversarial.config import AdversarialConfig
from hf_privacy.defenses.adversarial.objectives import NEEDS_CLEAN
from hf_privacy.defenses.dp.config import DPConfig
from hf_privacy.errors import InputError


@dataclass
class DPAdversarialConfig(DPConfig, AdversarialConfig):
    """`DPConfig` and `AdversarialConfig` together, as far as the guarantee allows.

    Parameters
    ----------
    target_epsilon, noise_multiplier, target_delta, max_grad_norm, accountant, per_sample_gradients
        See `DPConfig`; ``"ghost"`` is for ``"pgd_at"`` alone.
    objective, epsilon, norm, n_steps, step_size, random_start, beta
        See `AdversarialConfig`.

    Raises
    ------
    InputError
        As in both, for AWP, or for ghost clipping with an objective of two forward passes.

    Examples
    --------
    >>> DPAdversarialConfig("runs/doc", noise_multiplier=1.0, awp_gamma=0.01)
    Traceback (most recent call last):
    ...
    hf_privacy.errors.InputError: awp_gamma is 0.01: the weight perturbation follows the batch's gradient before it is
    clipped and noised, so no ε would hold; leave it at 0
    """

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.awp_gamma:
            raise InputError(
                f"awp_gamma is {self.awp_gamma}: the weight perturbation follows the batch's gradient before it is "
                "clipped and noised, so no ε would hold; leave it at 0"
            )
        if self.per_sample_gradients == "ghost" and self.objective in NEEDS_CLEAN:
            raise InputError(
                f"per_sample_gradients is 'ghost' and objective {self.objective!r}, which passes each example twice: "
                "ghost norms are of one pass; use 'functional' or 'hooks'"
            )
