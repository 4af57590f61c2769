"""What a canary audit found."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

METHOD = "one-run audit with canaries"


@dataclass(frozen=True)
class CanaryResult:
    """What a canary audit found, as aggregates: no coin, no seed, no score.

    Attributes
    ----------
    one_run : float
        Lower bound of ε at ``delta`` for any training that is (ε, δ)-differentially private (Steinke et al.).
    one_run_fdp : float
        The same for a training whose trade-off curve is Gaussian, as that of DP-SGD nearly is (Mahloujifar et al.);
        no bound for other training.
    delta, confidence : float
        Of both bounds, each on its own.
    n_canaries, n_inserted : int
        How many were made, and how many the coins put into the training set.
    n_guesses : tuple of int
        Numbers of guesses, fixed beforehand.
    kind : str
        Of `hf_privacy.data.make_canaries` or `hf_privacy.data.make_worded_canaries`.
    score : str
        The signal that canaries were guessed by.
    auc, auc_low, auc_high : float
        Of inserted against left-out canaries, with the interval.
    epsilon_upper : dict or None
        What the trainer's accountant guarantees for this run: ``epsilon``, ``delta``, ``accountant``, ``sampler``.
    seconds : float
        Training and scoring, also where an earlier call did it.
    ceiling : float
        What `one_run` would be were every guess right.
    repetitions : int
        How often each inserted canary stood in the training set; all bounds are of one example.
    exposure : dict, optional
        Of a language model's canaries, in bits: means of those ``inserted`` and ``left_out``, the ``ceiling`` that
        ``n_references`` secrets can show, and ``extrapolated``, None where no distribution fits.
    """

    one_run: float
    one_run_fdp: float
    delta: float
    confidence: float
    n_canaries: int
    n_inserted: int
    n_guesses: tuple[int, ...]
    kind: str
    score: str
    auc: float
    auc_low: float
    auc_high: float
    epsilon_upper: dict[str, Any] | None
    seconds: float
    ceiling: float
    repetitions: int = 1
    exposure: dict[str, Any] | None = None

    @property
    def epsilon_lower(self) -> dict[str, Any]:
        """The bound to state, as the report's ``epsilon.lower``: `one_run`, which assumes nothing of the training.

        The method is fixed beforehand; the larger of two bounds would not hold at the stated confidence.
        """
        return {"epsilon": self.one_run, "delta": self.delta, "confidence": self.confidence, "method": METHOD}

    @property
    def contradiction(self) -> str | None:
        """A sentence where the measured lower bound lies above the accountant's upper bound, else None."""
        upper = self.epsilon_upper
        # (ε, δ) implies (ε, δ') for a larger δ' alone.
        if upper is None or self.delta < upper["delta"] or self.one_run <= upper["epsilon"]:
            return None
        return (
            f"The guarantee is contradicted: canaries show ε ≥ {self.one_run:.3g} at δ = {self.delta:.3g} with "
            f"{100 * self.confidence:g} % confidence and the accountant claims ε ≤ {upper['epsilon']:.3g} at δ = "
            f"{upper['delta']:.3g}; the accountant or the implementation is wrong."
        )

    @property
    def section(self) -> dict[str, Any]:
        """The report's ``canaries``."""
        left_out = {"epsilon_upper", *(["exposure"] if self.exposure is None else [])}
        return {name: value for name, value in vars(self).items() if name not in left_out}
