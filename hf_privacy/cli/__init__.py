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
        0 when it did what was asked; 2 when the input was bad, or a disk is full or read only: one sentence on
        standard error, nothing half-written; 130 when it was interrupted.
    """
    from hf_privacy.cli.arguments import Options, parse

    name, options = "", Options()
    try:
        command, options = parse(sys.argv[1:] if arguments is None else list(arguments))
        quiet_without_terminal()
        name = command.__module__.rpartition(".")[2]
        _refuse_launch(name)
        return command(options)
    except InputError as error:
        from hf_privacy.cli.flags import as_flags

        print(f"hf-privacy: {as_flags(str(error), options.overrides, options.flags)}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        from hf_privacy.cli.endings import kept_sentence

        if not options.flags.get("worker"):  # whose main process says it
            print(f"hf-privacy: {kept_sentence(name, options)}", file=sys.stderr)
        return 130
    except Exception as error:
        from hf_privacy.cli.endings import disk_sentence

        sentence = disk_sentence(error)
        if sentence is None:
            raise
        print(f"hf-privacy: {sentence}", file=sys.stderr)
        return 2
    finally:
        if "hf_privacy.cli.workers" in sys.modules:
            sys.modules["hf_privacy.cli.workers"].stop()
        leave_process_group()


def quiet_without_terminal() -> None:
    """The libraries' bars are for terminals; ours turn into plain lines by themselves."""
    if not sys.stderr.isatty():
        os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
        os.environ.setdefault("HF_DATASETS_DISABLE_PROGRESS_BARS", "1")
        os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")


# What shares its work among the processes of a launch, or writes nothing.
_LAUNCHED = ("audit", "compare", "env", "keys", "references", "train")


def _refuse_launch(command: str) -> None:
    """Refuse a launch in several processes of a command that each of them would do as a whole."""
    count = launched_processes()
    if count > 1 and command not in _LAUNCHED:
        also = "; on several GPUs use an unlearner from Python" if command == "unlearn" else ""
        raise InputError(f"{command} was started in {count} processes, each of which would do it all: start one{also}")
