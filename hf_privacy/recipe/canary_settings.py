"""How a lower bound of ε is measured: the ``canaries`` section of an audit's settings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from hf_privacy.arguments import check_choice, check_number, check_whole, unknown_key
from hf_privacy.errors import InputError

CLASS_KINDS = ("mislabelled", "random")
WORDED_KINDS = ("random_tokens", "suffix", "new_last_token")
FEWEST_CANARIES = 10  # fewer show next to nothing, and their coins may all fall on one side
MOST_CANARIES = 10_000_000
# Version 0.1's keys beside the section, which were one for each; they are still read.
FORMER_KEYS = {"canary_kind": "kind", "canary_guesses": "guesses", "delta": "delta"}


@dataclass(frozen=True)
class CanarySettings:
    """Settings of a canary audit.

    Parameters
    ----------
    n : int
        Above 0: a second model is trained with that many canaries, each put in by a fair coin, for a lower bound of ε;
        see `hf_privacy.auditing.canary_audit`.
    kind : str, optional
        For models with classes "mislabelled" (default) or "random": real examples with a wrong label, or made-up ones.
        For causal language models "random_tokens" (default), "suffix" or "new_last_token": see
        `hf_privacy.data.make_worded_canaries`.
    guesses : list of int, optional
        Numbers of canaries guessed, even; by default a tenth, a quarter and a half.
    delta : float, optional
        δ of that bound; by default the accountant's, else 1 / (10 · number of members).
    secret_tokens : int
        Of a language model's canary: how many of its tokens are the secret.
    repetitions : int
        How often an inserted canary stands in the training set; the bound, which is of all of them together, is
        brought back to one.
    exposure_references : int
        Of a language model: how many secrets that were not trained on stand for all there could be, for the canaries'
        exposure; its ceiling is their log₂. 0 for none.

    Examples
    --------
    >>> CanarySettings.of(64)
    CanarySettings(n=64, kind=None, guesses=None, delta=None, secret_tokens=10, repetitions=1,
    exposure_references=1000)
    >>> CanarySettings(n=5).check()
    Traceback (most recent call last):
    ...
    hf_privacy.errors.InputError: canaries is 5: pass 0 for none, or at least 10; a few hundred say more
    """

    n: int = 0
    kind: str | None = field(default=None, metadata={"choices": (*CLASS_KINDS, *WORDED_KINDS)})
    guesses: list | None = None
    delta: float | None = None
    secret_tokens: int = 10
    repetitions: int = 1
    exposure_references: int = 1000

    @classmethod
    def of(cls, value: Any) -> CanarySettings:
        """Of a mapping of them; anything else is their number."""
        if isinstance(value, cls):
            return value
        if not isinstance(value, Mapping):
            return cls(n=value)
        known = [known.name for known in fields(cls)]
        for key in value:
            if key not in known:
                raise unknown_key(str(key), known, "canaries")
        return cls(**value)

    @classmethod
    def moved(cls, values: Mapping[str, Any]) -> dict[str, Any]:
        """An audit's settings with a bare number of canaries, and `FORMER_KEYS`, put into the section.

        Examples
        --------
        >>> CanarySettings.moved({"canaries": 64, "canary_kind": "random"})
        {'canaries': {'n': 64, 'kind': 'random'}}
        """
        values = dict(values)
        former = {key: values.pop(old) for old, key in FORMER_KEYS.items() if old in values}
        section = values.pop("canaries", None)
        if isinstance(section, cls):
            section = asdict(section)
        if section is not None and not isinstance(section, Mapping):
            section = {"n": section}
        return {**values, "canaries": {**(section or {}), **former}} if section is not None or former else values

    def check(self) -> None:
        """Raise `InputError` for settings that no audit can run with."""
        if check_whole("canaries", self.n, at_most=MOST_CANARIES) and self.n < FEWEST_CANARIES:
            raise InputError(
                f"canaries is {self.n}: pass 0 for none, or at least {FEWEST_CANARIES}; a few hundred say more"
            )
        if self.kind is not None:
            check_choice("canaries.kind", self.kind, (*CLASS_KINDS, *WORDED_KINDS))
        if self.guesses == []:
            raise InputError("canaries.guesses is empty: leave it out for the default, or pass even numbers")
        for count in self.guesses or []:
            if check_whole("an entry of canaries.guesses", count) < 2 or count % 2 or count > self.n:
                raise InputError(
                    f"canaries.guesses holds {count!r} for {self.n} canaries: pass even numbers from 2 to that"
                )
        if self.delta is not None:
            check_number("canaries.delta", self.delta, 0.0, 1.0, low_open=True, high_open=True)
        limits = {"secret_tokens": (1, 1000), "repetitions": (1, 1000), "exposure_references": (0, MOST_CANARIES)}
        for name, (least, most) in limits.items():
            check_whole(f"canaries.{name}", getattr(self, name), at_least=least, at_most=most)


def canary_kind(kind: str | None, *, has_classes: bool) -> str:
    """The kind of canary that a model is audited with: the one asked for, or the usual one.

    Raises
    ------
    InputError
        For one that such a model cannot be trained on.

    Examples
    --------
    >>> canary_kind(None, has_classes=True), canary_kind(None, has_classes=False)
    ('mislabelled', 'random_tokens')
    """
    kinds = CLASS_KINDS if has_classes else WORDED_KINDS
    if kind is not None and kind in (*CLASS_KINDS, *WORDED_KINDS) and kind not in kinds:
        what = "a model with classes" if has_classes else "a causal language model"
        raise InputError(f"canaries.kind is {kind!r}, and {what} takes {' or '.join(map(repr, kinds))}")
    return kinds[0] if kind is None else kind
