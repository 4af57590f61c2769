"""How extraction is measured: the ``extraction`` mapping of an audit's settings, for causal language models."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from hf_privacy.arguments import check_number, check_whole, unknown_key
from hf_privacy.errors import InputError

LARGEST = 10_000_000  # of tokens or rows: more is a slip of the pen


@dataclass(frozen=True)
class ExtractionSettings:
    """Which part of a row is given, which is asked for, and how a model is sampled.

    Parameters
    ----------
    prefix_tokens : int, optional
        How many of a row's first tokens are given, its prompt among them; never less than the prompt. By default the
        prompt where there is one, else 50, or half of a row that has fewer than 100.
    suffix_tokens : int
        How many of the scored tokens after the prefix are asked for, at most.
    temperature : float
        Of sampling, above 0.
    top_k : int, optional
        Sampling draws from the k likeliest tokens alone; None for all.
    top_p : float, optional
        And from the fewest whose probabilities reach that sum, in (0, 1]; None for all.
    generated : int
        On how many rows of each side text is generated, greedily, to be compared with the true one (longest common
        run, eight-token runs); 0 for none. Whether greedy decoding gives a row back is known without.

    Examples
    --------
    >>> ExtractionSettings.of({"suffix_tokens": 30})
    ExtractionSettings(prefix_tokens=None, suffix_tokens=30, temperature=1.0, top_k=40, top_p=None, generated=64)
    >>> ExtractionSettings.of({"top_k": 0})
    Traceback (most recent call last):
    ...
    hf_privacy.errors.InputError: extraction.top_k is 0: pass a whole number from 1 to 10,000,000
    """

    prefix_tokens: int | None = None
    suffix_tokens: int = 50
    temperature: float = 1.0
    top_k: int | None = 40
    top_p: float | None = None
    generated: int = 64

    @classmethod
    def of(cls, values: Mapping[str, Any] | bool | None) -> ExtractionSettings:
        """Of a mapping of them, checked; of None or True the defaults.

        Raises
        ------
        InputError
            For an unknown key, or a value of the wrong kind or out of range.
        """
        if values is None or values is True:
            return cls()
        if not isinstance(values, Mapping):
            raise InputError(
                f"extraction is {values!r}: pass a mapping such as {{'suffix_tokens': 50}}, true or false"
            )
        known = [field.name for field in fields(cls)]
        for key in values:
            if key not in known:
                raise unknown_key(str(key), known, "extraction")
        settings = cls(**values)
        for name, least in (("prefix_tokens", 1), ("suffix_tokens", 1), ("generated", 0)):
            if getattr(settings, name) is not None or name != "prefix_tokens":
                check_whole(f"extraction.{name}", getattr(settings, name), at_least=least, at_most=LARGEST)
        check_number("extraction.temperature", settings.temperature, 0.0, low_open=True)
        if settings.top_k is not None:
            check_whole("extraction.top_k", settings.top_k, at_least=1, at_most=LARGEST)
        if settings.top_p is not None:
            check_number("extraction.top_p", settings.top_p, 0.0, 1.0, low_open=True)
        return settings
