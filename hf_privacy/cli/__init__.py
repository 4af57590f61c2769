"""The command line: `hf-privacy <command> --config recipe.yaml [--section.key value ...]`."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

from hf_privacy.errors import InputError


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command.

    Returns
    -------
    int
        0 when it did what was asked, 2 when the input was bad: one sentence on standard error, nothing half-written.
    """
    from hf_privacy.cli.arguments import parse

    try:
        command, options = parse(sys.argv[1:] if arguments is None else list(arguments))
        if not sys.stderr.isatty():
            # The libraries' bars are for terminals; ours turn into plain lines by themselves.
            os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
            os.environ.setdefault("HF_DATASETS_DISABLE_PROGRESS_BARS", "1")
            os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
        return command(options)
    except InputError as error:
        print(f"hf-privacy: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("hf-privacy: interrupted; the same command goes on from here", file=sys.stderr)
        return 130
