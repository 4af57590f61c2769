"""The exit codes of a command, and the one sentence that goes with each. Light to import.

0 it did what was asked; 2 the input is bad, or a disk is full or read only; 3 the gate refuses; 4 the Hub or another
store cannot be reached; 130 it was interrupted; 141 who read its output is gone (`| head`), as the shell itself says;
1 anything else, which is a defect of ours and keeps its traceback.
"""

from __future__ import annotations

import os
import select
import sys

from hf_privacy.cli.arguments import Options
from hf_privacy.cli.endings import disk_sentence, kept_sentence
from hf_privacy.cli.flags import as_flags
from hf_privacy.errors import InputError, NetworkError
from hf_privacy.network import hub_host, network_reason

DEFECT, INPUT, GATE, NETWORK, INTERRUPTED, UNREAD = 1, 2, 3, 4, 130, 141


def ending(error: BaseException, command: str, options: Options) -> tuple[int, str | None]:
    """The exit code of an error that ends a command, and what to say of it; None where its traceback does.

    Parameters
    ----------
    error : exception
    command : str
        Its name, where it is known.
    options : Options

    Examples
    --------
    >>> ending(InputError("references is 1: pass 2"), "audit", Options(overrides={"audit.references": "1"}))
    (2, '--audit.references is 1: pass 2')
    >>> ending(ConnectionRefusedError(111, "Connection refused"), "push", Options())[0]
    4
    >>> ending(KeyError("x"), "push", Options())
    (1, None)
    """
    if isinstance(error, KeyboardInterrupt):
        return INTERRUPTED, kept_sentence(command, options)
    if isinstance(error, InputError):
        by_gate = any(kind.__name__ == "GateError" for kind in type(error).__mro__)  # imported where it is needed
        code = NETWORK if _is_of_network(error) else GATE if by_gate else INPUT
        return code, as_flags(str(error), options.overrides, options.flags, options.spelled)
    if isinstance(error, BrokenPipeError) and _is_unread():
        return UNREAD, ""
    sentence = disk_sentence(error)
    if sentence is not None:
        return INPUT, sentence
    reason = network_reason(error)
    if reason is not None:
        return NETWORK, (
            f"the network failed during {command or 'the command'} (the Hub is {hub_host()}; {reason}): check it, the "
            "proxy (HTTPS_PROXY) and HF_ENDPOINT, then run the same command again"
        )
    return DEFECT, None


def _is_unread() -> bool:
    """Whether it was standard output that broke; what is still in it goes nowhere then, or it would break again."""
    try:
        number = sys.stdout.fileno()
    except (OSError, ValueError):  # no file of the system
        return False
    if hasattr(select, "poll"):  # elsewhere no other pipe is written to
        pipe = select.poll()
        pipe.register(number, 0)
        if not pipe.poll(0):
            return False
    os.dup2(os.open(os.devnull, os.O_WRONLY), number)
    return True


def _is_of_network(error: BaseException | None) -> bool:
    """Whether it is a `NetworkError`, or one in other words."""
    return error is not None and (isinstance(error, NetworkError) or _is_of_network(error.__cause__))
