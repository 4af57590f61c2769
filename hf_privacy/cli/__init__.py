"""The command line: `hf-privacy <command> --config recipe.yaml [--section.key value ...]`."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

from hf_privacy.errors import InputError
from hf_privacy.launch import launched_processes, leave_process_group


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command.

    Returns
    -------
    int
        An exit code of `hf_privacy.cli.exit_codes`: 0 when it did what was asked, else one sentence on standard error.
        An error that is none of the user's keeps its traceback, with which Python exits with 1.
    """
    from hf_privacy.cli.arguments import Options, parse
    from hf_privacy.cli.output import output

    name, options = "", Options()
    try:
        command, options = parse(sys.argv[1:] if arguments is None else list(arguments))
        quiet_without_terminal(quiet=bool(options.flags.get("quiet")))
        name = command.__module__.rpartition(".")[2]
        _refuse_launch(name)
        with output(as_json=bool(options.flags.get("json")), quiet=bool(options.flags.get("quiet"))):
            code = command(options)
            sys.stdout.flush()
            return code
    except (Exception, KeyboardInterrupt) as error:
        from hf_privacy.cli.exit_codes import ending

        code, sentence = ending(error, name, options)
        if sentence is None:
            raise
        said_elsewhere = isinstance(error, KeyboardInterrupt) and options.flags.get("worker")  # by the main process
        if sentence and not said_elsewhere:
            print(f"hf-privacy: {sentence}", file=sys.stderr)
        return code
    finally:
        if "hf_privacy.cli.workers" in sys.modules:
            sys.modules["hf_privacy.cli.workers"].stop()
        leave_process_group()


def quiet_without_terminal(*, quiet: bool = False) -> None:
    """The libraries' bars are for terminals; ours turn into plain lines by themselves."""
    from hf_privacy.cli.output import without_bars

    if quiet or not sys.stderr.isatty():
        without_bars()
        os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
        os.environ.setdefault("HF_HUB_VERBOSITY", "error")  # else a line for each try to reach it


# What shares its work among the processes of a launch, or writes nothing.
_LAUNCHED = ("audit", "compare", "env", "keys", "references", "train")


def _refuse_launch(command: str) -> None:
    """Refuse a launch in several processes of a command that each of them would do as a whole."""
    count = launched_processes()
    if count > 1 and command not in _LAUNCHED:
        also = "; on several GPUs use an unlearner from Python" if command == "unlearn" else ""
        raise InputError(f"{command} was started in {count} processes, each of which would do it all: start one{also}")
