"""Which checkpoint a killed training goes on from."""

from __future__ import annotations

import json
from pathlib import Path

from transformers.trainer import TRAINER_STATE_NAME


def last_whole_checkpoint(folder: str | Path) -> str | None:
    """The latest checkpoint in ``folder`` that was written to its end; None if there is none, or no such folder.

    A kill in the middle of a save leaves a checkpoint that cannot be resumed from. The Trainer writes its state last,
    so a checkpoint with a readable one is whole.
    """
    numbered = {}
    for checkpoint in Path(folder).glob("checkpoint-*"):
        number = checkpoint.name.removeprefix("checkpoint-")
        if number.isdigit():
            numbered[int(number)] = checkpoint
    for _, checkpoint in sorted(numbered.items(), reverse=True):
        try:
            json.loads((checkpoint / TRAINER_STATE_NAME).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            continue
        return str(checkpoint)
    return None
