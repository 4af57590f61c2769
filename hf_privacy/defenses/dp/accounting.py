"""What differential privacy a training has spent: the ledger of its noisy steps."""

from __future__ import annotations

import json
import math
import secrets
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from hf_privacy.atomic_file import write_atomically
from hf_privacy.errors import InputError

LEDGER_FILE = "dp_ledger.json"
ACCOUNTANTS = ("prv", "rdp")
_FORMAT = "hf_privacy dp ledger 2"
# Beyond these no step was ever taken; they keep an accountant from hanging on a forged or damaged ledger.
MOST_NOISE = 1e6
_MOST_STEPS = 10**12
_MOST_KINDS = 1000
# Points of the grid on which PRV composes; beyond it takes minutes and gigabytes, for an ε that protects nobody.
_MOST_POINTS = 2**24

Step = tuple[float, float, int]


@dataclass
class PrivacyLedger:
    """The noisy steps taken, and the ε they add up to.

    Parameters
    ----------
    accountant : "prv" or "rdp"
        Opacus's accountant; PRV is the tighter one.
    steps : list of (noise_multiplier, sample_rate, count)
        Of the Poisson-subsampled Gaussian mechanism.
    training : str
        Which training they belong to, a random name: `ReleaseJournal` knows what else that training released.

    Examples
    --------
    >>> ledger = PrivacyLedger("rdp")
    >>> ledger.record(noise_multiplier=1.0, sample_rate=0.01)
    >>> ledger.n_steps
    1
    """

    accountant: str = "prv"
    steps: list[Step] = field(default_factory=list)
    training: str = field(default_factory=lambda: secrets.token_hex(8))

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
        return self.bound(delta)[0]

    def bound(self, delta: float) -> tuple[float, str]:
        """ε at ``delta`` and whose it is, "prv" or "rdp".

        Where PRV would need too fine a grid (an ε in the hundreds, or millions of steps), it is the larger one of
        RDP, which holds as well.
        """
        if self.n_steps == 0:
            return 0.0, self.accountant
        if any(noise == 0 for noise, _, _ in self.steps):
            return math.inf, self.accountant
        return _bound(self.accountant, tuple(merged(self.steps)), delta)

    def save(self, folder: str | Path) -> None:
        """Write the ledger into a checkpoint."""
        content = {
            "format": _FORMAT,
            "training": self.training,
            "accountant": self.accountant,
            "steps": [list(step) for step in self.steps],
        }
        write_atomically(Path(folder) / LEDGER_FILE, (json.dumps(content, indent=2) + "\n").encode())

    @classmethod
    def load(cls, folder: str | Path) -> PrivacyLedger:
        """Read a checkpoint's ledger.

        Raises
        ------
        InputError
            If it is not there, is none, or holds steps that nobody took (a count below 1, a rate outside (0, 1], a
            noise that is negative or no number): with it the ε of what follows would be too low.
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
            if not isinstance(content["training"], str) or not content["training"]:
                raise ValueError(f"training is {content['training']!r}")
            steps = checked_steps(content["steps"])
        except (ValueError, KeyError, TypeError) as error:
            raise InputError(
                f"{LEDGER_FILE} of {Path(folder).name} is no ledger: {error}; what was spent is unknown, resume from "
                "another checkpoint, or train anew"
            ) from error
        return cls(content["accountant"], steps, content["training"])


def checked_steps(steps: object) -> list[Step]:
    """Steps as a file holds them, when they can have been taken.

    Raises
    ------
    ValueError
        Which entry is impossible, and why.

    Examples
    --------
    >>> checked_steps([[1.0, 0.1, -5]])
    Traceback (most recent call last):
    ...
    ValueError: steps[0] counts -5 steps
    """
    if not isinstance(steps, list) or len(steps) > _MOST_KINDS:
        raise ValueError(f"steps is no list of at most {_MOST_KINDS:,} entries")
    checked = []
    for index, step in enumerate(steps):
        if not isinstance(step, list) or len(step) != 3:
            raise ValueError(f"steps[{index}] is no list of noise, rate and count")
        noise, rate, count = step
        if not _is_number(noise) or not 0 <= noise <= MOST_NOISE:
            raise ValueError(f"steps[{index}] has the noise multiplier {noise!r}")
        if not _is_number(rate) or not 0 < rate <= 1:
            raise ValueError(f"steps[{index}] has the sample rate {rate!r}")
        if not isinstance(count, int) or isinstance(count, bool) or not 1 <= count <= _MOST_STEPS:
            raise ValueError(f"steps[{index}] counts {count!r} steps")
        checked.append((float(noise), float(rate), count))
    return checked


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def merged(steps: Iterable[Step]) -> list[Step]:
    """Equal kinds as one entry: ε does not hang on the order of the steps.

    Examples
    --------
    >>> merged([(1.0, 0.1, 5), (2.0, 0.1, 1), (1.0, 0.1, 3)])
    [(1.0, 0.1, 8), (2.0, 0.1, 1)]
    """
    counts: dict[tuple[float, float], int] = {}
    for noise, rate, count in steps:
        counts[noise, rate] = counts.get((noise, rate), 0) + count
    return [(*kind, count) for kind, count in counts.items()]


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
def _bound(accountant: str, steps: tuple[Step, ...], delta: float) -> tuple[float, str]:
    by_rdp = _by_rdp(steps, delta)
    if accountant == "rdp" or not math.isfinite(by_rdp):
        return by_rdp, "rdp"
    # PRV's grid: as wide as the loss is at a thousandth of δ, the mesh as fine as its errors (0.01 in ε and that
    # thousandth) ask for.
    mesh = 0.01 / math.sqrt(sum(count for _, _, count in steps) * math.log(12_000 / delta) / 2)
    if 2 * _by_rdp(steps, delta / 1000) / mesh > _MOST_POINTS:
        return by_rdp, "rdp"
    prv: Any = create("prv")
    prv.history = list(steps)
    try:
        return float(prv.get_epsilon(delta=delta)), "prv"
    except RuntimeError:  # the grid's own check fails for next to no noise
        return by_rdp, "rdp"


def _by_rdp(steps: tuple[Step, ...], delta: float) -> float:
    """ε by Rényi differential privacy, which takes milliseconds whatever the steps."""
    created: Any = create("rdp")
    created.history = list(steps)
    try:
        epsilon = float(created.get_epsilon(delta=delta))
    except (ZeroDivisionError, OverflowError):  # next to no noise
        return math.inf
    return math.inf if math.isnan(epsilon) else epsilon


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
