"""Short names for readers: of attacks, norms and budgets of an adversarial attack."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hf_privacy.attack_table import ATTACKS

_NORMS = {"linf": "L∞", "l2": "L2"}
_UNITS = {"pixels": "pixels of 0 to 1", "features": "units of the features", "embeddings": "units of the embeddings"}


def short_title(name: str, attacks: Sequence[dict[str, Any]]) -> str:
    """Give an attack's name for a column: short where the attack is well known, else its title.

    Examples
    --------
    >>> short_title("lira", []), short_title("loss", [{"name": "loss", "title": "LOSS"}])
    ('LiRA', 'LOSS')
    """
    if name in ATTACKS and (short := ATTACKS[name].short):
        return short
    return next((attack["title"] for attack in attacks if attack["name"] == name), name)


def norm_title(norm: str) -> str:
    """Write a norm.

    Examples
    --------
    >>> norm_title("linf")
    'L∞'
    """
    return _NORMS[norm]


def epsilon_text(robustness: dict[str, Any]) -> str:
    """Write the size of an adversarial change, in 255ths where it is a whole number of them.

    Examples
    --------
    >>> epsilon_text({"norm": "linf", "epsilon": 8 / 255, "space": "pixels"})
    '8/255'
    >>> epsilon_text({"norm": "l2", "epsilon": 0.5, "space": "pixels"})
    '0.5'
    """
    return _in_255ths(robustness["epsilon"], robustness)


def attack_words(robustness: dict[str, Any]) -> str:
    """Describe the adversarial attack in one phrase.

    Examples
    --------
    >>> found = {"norm": "linf", "epsilon": 8 / 255, "n_steps": 20, "step_size": 1 / 255, "space": "pixels"}
    >>> attack_words(found)
    'L∞, ε = 8/255 in pixels of 0 to 1; PGD of 20 steps of 1/255'
    """
    step_size = robustness["step_size"]
    steps = f"PGD of {robustness['n_steps']} step{'s' * (robustness['n_steps'] != 1)}"
    size = "" if step_size is None else f" of {_in_255ths(step_size, robustness)}"
    where = f"{norm_title(robustness['norm'])}, ε = {epsilon_text(robustness)} in {_UNITS[robustness['space']]}"
    return f"{where}; {steps}{size}"


def _in_255ths(size: float, robustness: dict[str, Any]) -> str:
    whole = round(255 * size)
    if robustness["norm"] == "linf" and robustness["space"] == "pixels" and whole and abs(255 * size - whole) < 1e-6:
        return f"{whole}/255"
    return f"{size:.3g}"
