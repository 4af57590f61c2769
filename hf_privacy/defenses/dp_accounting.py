"""What differential privacy a training has spent: the ledger of its noisy steps."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from hf_privacy.atomic_file import write_atomically
from hf_privacy.errors import InputError

LEDGER_FILE = "dp_ledger.json"
ACCOUNTANTS = ("prv", "rdp")
_FORMAT = "hf_privacy dp ledger 1"


@dataclass
class PrivacyLedger:
    """The noisy steps taken, and the ε they add up to.

    Parameters
    ----------
    accountant : "prv" or "rdp"
        Opacus's accountant; PRV is the tighter one.
    steps : list of (noise_multiplier, sample_rate, count)
        Of the Poisson-subsampled Gaussian mechanism.

    Examples
    --------
    >>> ledger = PrivacyLedger("rdp")
    >>> ledger.record(noise_multiplier=1.0, sample_rate=0.01)
    >>> ledger.n_steps
    1
    """

    accountant: str = "prv"
    steps: list[tuple[float, float, int]] = field(default_factory=list)

    def record(self, *, noise_multiplier: float, sample_rate: float, count: int = 1) -> None:
        """Add steps."""
        if self.steps and self.steps[-1][:2] == (noise_multiplier, sample_rate):
            count += self.steps.pop()[2]
        self.steps.append((noise_multiplier, sample_rate, count))

    @property
    def n_steps(self) -> int:
        """Steps taken in all."""
        return sum(count for _, _, count in self.steps)

    def epsilon(self, delta: float) -> float:
        """ε at ``delta``; 0 before the first step and infinite where a step had no noise."""
        if self.n_steps == 0:
            return 0.0
        if any(noise == 0 for noise, _, _ in self.steps):
            return math.inf
        return _epsilon(self.accountant, tuple(self.steps), delta)

    def save(self, folder: str | Path) -> None:
        """Write the ledger into a checkpoint."""
        content = {"format": _FORMAT, "accountant": self.accountant, "steps": [list(step) for step in self.steps]}
        write_atomically(Path(folder) / LEDGER_FILE, (json.dumps(content, indent=2) + "\n").encode())

    @classmethod
    def load(cls, folder: str | Path) -> PrivacyLedger:
        """Read a checkpoint's ledger.

        Raises
        ------
        InputError
            If it is not there or is none: without it the ε of what follows would be too low.
        """
        path = Path(folder) / LEDGER_FILE
        if not path.is_file():
            raise InputError(
                f"the checkpoint {Path(folder).name} has no {LEDGER_FILE}: what it has spent is unknown, and ε would "
                "be under-reported; resume from a checkpoint of a DPTrainer"
            )
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            if content["format"] != _FORMAT or content["accountant"] not in ACCOUNTANTS:
                raise ValueError("another format")
            steps = [(float(noise), float(rate), int(count)) for noise, rate, count in content["steps"]]
        except (ValueError, KeyError, TypeError) as error:
            raise InputError(f"{LEDGER_FILE} of {Path(folder).name} is no ledger: {error}") from error
        return cls(content["accountant"], steps)


def epsilon_of(accountant: str, *, noise_multiplier: float, sample_rate: float, n_steps: int, delta: float) -> float:
    """ε of ``n_steps`` steps of one kind.

    Examples
    --------
    >>> epsilon_of("rdp", noise_multiplier=0.0, sample_rate=0.1, n_steps=1, delta=1e-5)
    inf
    """
    ledger = PrivacyLedger(accountant)
    if n_steps:
        ledger.record(noise_multiplier=noise_multiplier, sample_rate=sample_rate, count=n_steps)
    return ledger.epsilon(delta)


def noise_multiplier_for(
    accountant: str, *, target_epsilon: float, sample_rate: float, n_steps: int, delta: float
) -> float:
    """The least noise (to one part in a thousand) with which ``n_steps`` steps keep ε at or below the target.

    Raises
    ------
    InputError
        If no noise up to 1,000 does.
    """

    def spent(noise: float) -> float:
        return epsilon_of(accountant, noise_multiplier=noise, sample_rate=sample_rate, n_steps=n_steps, delta=delta)

    low, high = 0.0, 1.0
    while spent(high) > target_epsilon:
        low, high = high, 2 * high
        if high > 1024:
            raise InputError(
                f"target_epsilon is {target_epsilon} over {n_steps:,} steps: no noise is enough; raise it, or train "
                "for fewer steps"
            )
    while high - low > 1e-3 * high:
        middle = (low + high) / 2
        # The mechanism is not defined for next to no noise; there the budget is certainly exceeded.
        if middle > 0.05 and spent(middle) <= target_epsilon:
            high = middle
        else:
            low = middle
    return high


def steps_within(
    ledger: PrivacyLedger,
    *,
    target_epsilon: float,
    noise_multiplier: float,
    sample_rate: float,
    delta: float,
    most: int,
) -> int:
    """How many further steps, at most ``most``, keep ε at or below the target."""

    def fits(count: int) -> bool:
        after = PrivacyLedger(ledger.accountant, list(ledger.steps))
        if count:
            after.record(noise_multiplier=noise_multiplier, sample_rate=sample_rate, count=count)
        return after.epsilon(delta) <= target_epsilon

    if fits(most):
        return most
    low, high = -1, most  # low fits or is -1, high does not
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if fits(middle) else (low, middle)
    return max(low, 0)


@cache
def _epsilon(accountant: str, steps: tuple[tuple[float, float, int], ...], delta: float) -> float:
    created: Any = create(accountant)
    created.history = list(steps)
    return float(created.get_epsilon(delta=delta))


def create(accountant: str) -> Any:
    """Opacus's accountant of that name.

    Raises
    ------
    InputError
        If opacus is not installed.
    """
    try:
        from opacus.accountants import create_accountant
    except ImportError as error:
        raise InputError('differential privacy needs opacus: pip install "hf-privacy[dp]"') from error
    return create_accountant(accountant)
