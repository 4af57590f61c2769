"""The errors that are no defect: what a user can cause, and a network that does not answer."""

from __future__ import annotations


class InputError(ValueError):
    """Bad input: the message names the argument, the value seen and the way out, in one sentence.

    The command line prints the message alone and exits with status 2; any other exception is a defect of ours and
    keeps its traceback.

    Examples
    --------
    >>> raise InputError("fraction is 1.5: pass a number in (0, 1)")
    Traceback (most recent call last):
    ...
    hf_privacy.errors.InputError: fraction is 1.5: pass a number in (0, 1)
    """


class NetworkError(InputError):
    """The Hub, or another store, cannot be reached; the message says what was tried and the way out.

    The command line exits with status 4: a script may try again, which helps against no other bad input.
    """


def one_line(error: BaseException, *, longest: int | None = 300) -> str:
    """Another library's message on one line, so that a sentence of ours can hold it; cut at ``longest`` characters.

    Examples
    --------
    >>> one_line(ValueError("sizes differ:\\n  3 and 4"))
    'sizes differ: 3 and 4'
    """
    return " ".join(str(error).split())[:longest]
